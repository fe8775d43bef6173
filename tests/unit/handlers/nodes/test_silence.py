"""A node that dies is noticed before Kubernetes says so, and a node that lives is left alone."""

import logging

import pytest

from ferryman.clients.kubernetes_errors import ForbiddenError, NotFoundError, TemporaryError
from tests.fakes import seconds
from tests.unit.handlers.scenes import serving

ELSEWHERE, HERE = "cpu-large", "cpu-small"


async def two_types(cluster):
    """Have a model serve on one of two node types; the other one fits as well."""
    await serving(cluster)
    cluster.node("node-2", ELSEWHERE)
    await cluster.settle(10)
    assert place(cluster) == HERE


def place(cluster):
    return cluster.status()["placement"]["nodeType"]


def fall_silent(cluster):
    for server in cluster.tritons.servers.values():
        server.silent = True


async def until_moved(cluster, most_s):
    """Return after how many seconds the model was placed elsewhere."""
    since_s = seconds()
    while place(cluster) == HERE and seconds() - since_s < most_s:
        await cluster.settle(1)
    return seconds() - since_s


def test_a_node_whose_pods_and_kubelet_are_silent_loses_its_models_within_half_a_minute(
    cluster, play
):
    async def script(cluster):
        await two_types(cluster)
        fall_silent(cluster)
        cluster.api.dead["node-1"] = "last"
        return await until_moved(cluster, 60)

    assert play(script) < 30
    message = cluster.status()["placement"]["message"]
    assert message.startswith("placed anew because node-1 is not ready and nothing of the model")
    assert cluster.api.get("nodes", "node-1", "")["status"]["conditions"][0]["status"] == "True"


@pytest.mark.parametrize(
    ("lease", "why"),
    [
        pytest.param(None, "its kubelet renews its Lease", id="the kubelet lives"),
        pytest.param(NotFoundError("gone", status=404), "there is none", id="there is no Lease"),
        pytest.param(TemporaryError("busy", status=503), "nothing is known", id="nobody can say"),
        pytest.param(ForbiddenError("no", status=403), "we may not ask", id="we may not ask"),
    ],
)
def test_pods_that_are_silent_alone_move_no_model(cluster, play, lease, why):
    async def script(cluster):
        await two_types(cluster)
        fall_silent(cluster)
        if lease is not None:
            cluster.api.dead["node-1"] = lease
        await until_moved(cluster, 120)

    play(script)
    assert place(cluster) == HERE, why


def test_a_kubelet_that_is_silent_alone_moves_no_model(cluster, play):
    async def script(cluster):
        await two_types(cluster)
        cluster.api.dead["node-1"] = "last"
        await until_moved(cluster, 120)

    play(script)
    assert place(cluster) == HERE


def test_after_the_api_server_was_away_listening_starts_over(cluster, play):
    async def script(cluster):
        await two_types(cluster)
        fall_silent(cluster)
        cluster.api.dead["node-1"] = "last"
        await cluster.settle(15)
        cluster.api.dead["node-1"] = TemporaryError("away")
        await cluster.settle(15)
        cluster.api.dead["node-1"] = "last"
        return await until_moved(cluster, 60)

    assert play(script) >= 20, "kubelets could not renew their Leases meanwhile"


def test_a_node_that_comes_back_is_a_place_again_and_the_model_stays_where_it_went(
    cluster, play, caplog
):
    caplog.set_level(logging.WARNING, "ferryman.handlers.nodes.silence")

    async def script(cluster):
        await two_types(cluster)
        fall_silent(cluster)
        cluster.api.dead["node-1"] = "last"
        await until_moved(cluster, 60)
        del cluster.api.dead["node-1"]
        await cluster.settle(10)

    play(script)
    changes = [(r.silent, r.back) for r in caplog.records if hasattr(r, "back")]
    assert changes == [(["node-1"], []), ([], ["node-1"])]
    assert place(cluster) == ELSEWHERE
    refused = {c["nodeType"]: c["reason"] for c in cluster.status()["placement"]["candidates"]}
    assert refused[HERE] != "NodeNotReady"


def test_that_we_may_not_ask_is_said_once(cluster, play, caplog):
    caplog.set_level(logging.WARNING, "ferryman.handlers.nodes.silence")

    async def script(cluster):
        await two_types(cluster)
        fall_silent(cluster)
        cluster.api.dead["node-1"] = ForbiddenError("may not get leases", status=403)
        await cluster.settle(60)

    play(script)
    ours = [each for each in caplog.records if each.name.endswith("silence")]
    assert [(each.message, each.why) for each in ours] == [
        ("nodes that die are noticed by their condition alone", "may not get leases")
    ]


def test_a_fault_of_ours_does_not_end_the_listening(cluster, play, caplog):
    async def script(cluster):
        await two_types(cluster)
        fall_silent(cluster)
        cluster.api.dead["node-1"] = ValueError("nobody foresaw it")
        await cluster.settle(10)
        cluster.api.dead["node-1"] = "last"
        return await until_moved(cluster, 60)

    assert play(script) < 40
    assert "the look at nodes that are silent failed" in caplog.messages
