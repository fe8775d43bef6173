"""Batching: changes of it reach pods and status, and what is observed is told."""

import copy

import pytest

from ferryman.api.batching import Batching, BatchingSpec
from ferryman.api.conditions import Reason
from ferryman.clients.triton import ConfigRefused
from ferryman.core import render
from ferryman.core.batching import tuning
from ferryman.core.tuners.needs import Replicas, Unattainable
from ferryman.core.tuners.select import TuneDecision
from tests.unit.handlers.scenes import POD, fixed, prepare, serving


def test_a_change_of_the_specification_reaches_running_pods_and_then_the_configmap(cluster, play):
    async def script(cluster):
        await serving(cluster)
        cluster.model(batching=fixed(16))
        await cluster.settle()

    play(script)
    assert cluster.tritons.at("10.0.0.1").batching.max_batch_size == 16
    assert cluster.status()["batching"]["applied"]["maxBatchSize"] == 16
    change = cluster.status()["batching"]["changes"][0]
    assert (change["outcome"], change["reason"]) == ("Applied", "SpecChanged")
    config = cluster.api.get("configmaps", "resnet50-triton")["data"]["config.pbtxt"]
    assert "max_batch_size: 16" in config
    assert cluster.writes()["apply", "Deployment"] == 1, "no rollout"


def test_a_change_that_triton_refuses_is_reported_and_not_tried_again_soon(cluster, play):
    async def script(cluster):
        await serving(cluster)
        cluster.tritons.at("10.0.0.1").refusal = ConfigRefused("out of memory")
        cluster.model(batching=fixed(16))
        await cluster.beat(300)

    play(script)
    batching = cluster.status()["batching"]
    assert batching["applied"]["maxBatchSize"] == 8
    assert [c["outcome"] for c in batching["changes"]] == ["Refused"]
    assert "out of memory" in batching["changes"][0]["message"]


def test_a_pod_that_came_up_otherwise_is_converged(cluster, play):
    async def script(cluster):
        await serving(cluster)
        cluster.tritons.at("10.0.0.1").batching = Batching(max_batch_size=2)
        await cluster.beat(700)

    play(script)
    assert cluster.tritons.at("10.0.0.1").batching.max_batch_size == 8
    assert cluster.status()["batching"]["changes"][0]["reason"] == "Drifted"


def test_observations_reach_the_status(cluster, play):
    async def script(cluster):
        await serving(cluster)
        cluster.tritons.at("10.0.0.1").requests_per_s = 50.0
        await cluster.beat(120)

    play(script)
    assert cluster.condition("ObjectivesMet") == ("True", "Met")
    assert cluster.status()["observed"]["inferencesPerSecond"] == 50


async def overloaded(cluster):
    """Serve 100 requests a second and reject 40 more."""
    prepare(cluster)
    cluster.model(batching=BatchingSpec(on_overload="Reject"))
    await cluster.settle()
    server = cluster.tritons.at("10.0.0.1")
    server.requests_per_s, server.rejected_per_s = 100.0, 40.0
    cluster.serve()
    await cluster.beat(60)
    return server


def gauge(cluster, name):
    labels = {"namespace": "default", "model": "resnet50"}
    return cluster.metrics.registry.get_sample_value(f"ferryman_model_{name}", labels)


def test_rejected_requests_are_shown_and_raise_the_condition_while_they_last(cluster, play):
    async def script(cluster):
        server = await overloaded(cluster)
        during = (
            cluster.condition("NeedsCapacity"),
            cluster.status()["observed"]["rejectedRequests"],
            gauge(cluster, "rejected_requests"),
            cluster.status()["observed"]["failedRequests"],
        )
        server.rejected_per_s = 0.0
        await cluster.beat(60)
        return (*during, gauge(cluster, "rejected_requests"))

    condition, rejected, shown, failed, shown_after = play(script)
    assert condition == ("True", "NeedsCapacity")
    # A window of 140 requests a second ends after 8 s.
    assert rejected == shown == 8 * 40
    assert failed == 0
    assert cluster.condition("NeedsCapacity") is None
    assert shown_after == 0
    reasons = [event[2] for event in cluster.api.events]
    assert reasons.count("NeedsCapacity") == reasons.count("CapacitySuffices") == 1


def test_an_hour_of_steady_rejections_writes_nothing(cluster, play):
    async def script(cluster):
        await overloaded(cluster)
        before = cluster.writes()
        await cluster.beat(3600)
        return before

    before = play(script)
    assert cluster.writes() == before


def test_where_no_number_of_replicas_would_do_there_is_a_reason_and_no_code(
    cluster, play, monkeypatch
):
    why = "even a batch of one takes too long"

    def needs_a_miracle(_spec, _objectives, applied, _window, state, **_):
        return TuneDecision(applied, Reason.NEEDS_CAPACITY, "m", state, needs=Unattainable(why))

    monkeypatch.setattr(tuning, "tune", needs_a_miracle)

    async def script(cluster):
        prepare(cluster)
        await cluster.settle()
        shown = [gauge(cluster, "desired_replicas")]
        cluster.tritons.at("10.0.0.1").requests_per_s = 100.0
        cluster.serve()
        await cluster.beat(60)
        return [*shown, gauge(cluster, "desired_replicas"), gauge(cluster, "needed_replicas")]

    assert play(script) == [1.0, 1.0, None]
    batching = cluster.status()["batching"]
    assert ("neededReplicas" in batching, batching["unattainable"]) == (False, why)
    assert cluster.condition("NeedsCapacity") == ("True", "NeedsCapacity")


def test_needed_replicas_are_shown_until_there_are_to_be_so_many(cluster, play, monkeypatch):
    def needs_three(_spec, _objectives, applied, _window, state, **_):
        message = "too much is asked"
        return TuneDecision(applied, Reason.NEEDS_CAPACITY, message, state, needs=Replicas(3))

    monkeypatch.setattr(tuning, "tune", needs_three)

    async def script(cluster):
        prepare(cluster)
        await cluster.settle()
        cluster.tritons.at("10.0.0.1").requests_per_s = 100.0
        cluster.serve()
        await cluster.beat(60)
        during = (
            cluster.status()["batching"]["neededReplicas"],
            gauge(cluster, "needed_replicas"),
            gauge(cluster, "desired_replicas"),
            cluster.condition("NeedsCapacity"),
        )
        cluster.model(replicas=3)
        await cluster.settle()
        return (*during, gauge(cluster, "needed_replicas"), gauge(cluster, "desired_replicas"))

    assert play(script) == (3, 3.0, 3.0, ("True", "NeedsCapacity"), None, 3.0)
    assert "neededReplicas" not in cluster.status()["batching"]
    assert cluster.condition("NeedsCapacity") is None


def test_after_a_restart_the_tuner_knows_which_batches_failed(cluster, play, monkeypatch):
    seen = []

    def too_large(_spec, _objectives, applied, _window, state, **_):
        seen.append(state.learned.safe_bound)
        smaller = applied.with_(max_batch_size=2)
        return TuneDecision(smaller, Reason.BATCH_TOO_LARGE, "a batch of 4 failed", state)

    monkeypatch.setattr(tuning, "tune", too_large)

    async def script(cluster):
        await serving(cluster)
        await cluster.beat(60)
        before = list(seen)
        await cluster.end()
        await cluster.begin()
        await cluster.beat(60)
        return before

    before = play(script)
    assert cluster.status()["batching"]["applied"]["maxBatchSize"] == 2
    assert (before[0], seen[len(before)]) == (None, 2)


def test_only_what_ended_windows_say_is_decided_in_executor(cluster, play):
    async def script(cluster):
        await serving(cluster)
        before = cluster.decided_in_executor
        await cluster.beat(65)
        return before

    assert play(script) == 0
    assert cluster.decided_in_executor == 2


@pytest.mark.parametrize(
    ("made_for", "brings_all"),
    [
        pytest.param("this", True, id="a pod that stays"),
        pytest.param("another", False, id="a pod that is being replaced"),
        pytest.param(None, True, id="a pod of which it is not known"),
    ],
)
def test_a_reload_leaves_a_pod_the_configuration_that_it_was_made_for(
    cluster, play, made_for, brings_all
):
    async def script(cluster):
        await serving(cluster)
        template = cluster.api.get("deployments", "resnet50-triton")["spec"]["template"]
        this = template["metadata"]["annotations"][render.ANNOTATION_CONFIG_HASH]
        value = this if made_for == "this" else made_for
        pod = copy.deepcopy(cluster.api.get("pods", POD))
        pod["metadata"]["annotations"] = {render.ANNOTATION_CONFIG_HASH: value} if value else {}
        cluster.api.put("pods", pod)
        cluster.model(batching=fixed(16))
        await cluster.settle()

    play(script)
    assert cluster.tritons.at("10.0.0.1").batching.max_batch_size == 16
    [config] = cluster.tritons.at("10.0.0.1").configs
    assert (config is not None) == brings_all
