"""Where a model goes, and when that is looked at again."""

import pytest

from ferryman.api.inference_model import ResourceRequirements, RuntimeRef
from ferryman.core import timestamps
from ferryman.core.placement.validity import COMPARE_AGAIN_S
from ferryman.handlers.gather import Nodes
from ferryman.handlers.reservations import Reservations
from ferryman.handlers.watch import Concern, EventMapper
from tests import factories
from tests.fakes import node_object, now, pod_object, wire
from tests.unit.handlers.scenes import KEY, SERVING, prepare, serving


def test_an_unknown_runtime_is_a_condition_and_the_model_recovers_when_it_appears(cluster, play):
    async def script(cluster):
        cluster.node()
        cluster.model()
        await cluster.settle()
        before = cluster.condition("Stalled"), set(cluster.writes())
        cluster.api.put("runtimes", wire(factories.runtime()))
        await cluster.settle()
        return before

    stalled, writes = play(script)
    assert stalled == ("True", "RuntimeNotFound")
    assert not writes & {("apply", kind) for kind in SERVING}
    assert cluster.condition("Placed") == ("True", "LeastWorkload")


def test_a_node_type_that_vanishes_leaves_the_model_without_a_candidate(cluster, play):
    async def script(cluster):
        await serving(cluster)
        cluster.api.drop("profiles", "node-1")
        cluster.api.drop("nodes", "node-1")
        await cluster.settle()

    play(script)
    status, reason = cluster.condition("Placed")
    assert (status, reason) == ("False", "NoNodeProfile")
    assert cluster.api.get("deployments", "resnet50-triton") is not None, "what serves stays"


def test_a_model_is_placed_anew_where_another_node_type_is_left(cluster, play):
    async def script(cluster):
        await serving(cluster)
        cluster.node("node-2", "cpu-large")
        await cluster.settle()
        cluster.api.drop("profiles", "node-1")
        cluster.api.drop("nodes", "node-1")
        await cluster.settle()

    play(script)
    assert cluster.status()["placement"]["nodeType"] == "cpu-large"


def test_a_node_that_is_not_ready_any_more_loses_its_models_and_a_cordoned_one_does_not(
    cluster, play
):
    async def script(cluster):
        await serving(cluster)
        cluster.node("node-2", "cpu-large")
        await cluster.settle()
        cluster.api.put("nodes", node_object("node-1", unschedulable=True))
        await cluster.settle()
        cordoned = cluster.status()["placement"]["nodeType"]
        cluster.api.put("nodes", node_object("node-1", ready=False))
        await cluster.settle()
        lost = cluster.status()["placement"]["nodeType"]
        cluster.api.put("nodes", node_object("node-1"))
        await cluster.settle()
        return cordoned, lost

    assert play(script) == ("cpu-small", "cpu-large")
    assert cluster.status()["placement"]["nodeType"] == "cpu-large", "it does not go back"
    required = cluster.api.get("deployments", "resnet50-triton")["spec"]["template"]["spec"]
    assert "cpu-large" in str(required["affinity"]["nodeAffinity"])


def test_models_created_together_do_not_all_go_to_the_node_that_was_idle(cluster, play):
    async def script(cluster):
        cluster.api.put("runtimes", wire(factories.runtime()))
        cluster.node("node-1", "type-a")
        cluster.node("node-2", "type-b")
        await cluster.settle()
        for n in range(4):
            cluster.model(f"model-{n}")
        await cluster.settle()

    play(script)
    chosen = [cluster.status(f"model-{n}")["placement"]["nodeType"] for n in range(4)]
    assert sorted(chosen) == ["type-a", "type-a", "type-b", "type-b"]


@pytest.mark.parametrize(
    ("config", "first", "second"),
    [
        pytest.param({}, "cpu-small", None, id="a model that will be deployed"),
        pytest.param({"nonsense": 1}, "cpu-small", "cpu-small", id="one whose pods will not come"),
    ],
)
def test_what_is_placed_is_reserved_until_its_pods_show_it(cluster, play, config, first, second):
    """No pod is ever seen here; a node has four cores."""
    most = ResourceRequirements(requests={"cpu": "3"})

    async def script(cluster):
        cluster.api.put("runtimes", wire(factories.runtime()))
        cluster.node()
        cluster.model("first", resources=most, model=factories.source(config=config))
        await cluster.beat(120)
        cluster.model("second", resources=most)
        await cluster.settle()

    play(script)
    placed = [cluster.status(name)["placement"].get("nodeType") for name in ("first", "second")]
    assert placed == [first, second]


def test_a_runtime_that_names_itself_differently_is_found_by_its_reference(cluster, play):
    async def script(cluster):
        prepare(cluster)
        cluster.model("other", runtime_ref=RuntimeRef(name="missing"))
        await cluster.settle()
        return now()

    play(script)
    assert cluster.condition("Stalled", "other") == ("True", "RuntimeNotFound")
    assert cluster.condition("Placed") == ("True", "LeastWorkload")


def test_a_place_that_is_found_lost_with_a_window_is_decided_anew_and_noted(
    cluster, play, monkeypatch
):
    """No event tells of it: the first to see the other node type is a window's decision."""
    placed = []
    monkeypatch.setattr(Reservations, "place", lambda _self, key, *_, **__: placed.append(key))

    async def script(cluster):
        await serving(cluster)
        monkeypatch.setattr(EventMapper, "map", lambda *_, **__: Concern())
        cluster.heartbeat("node-1", "cpu-large")
        await cluster.beat(COMPARE_AGAIN_S + 35, node_type="cpu-large")

    play(script)
    assert cluster.status()["placement"]["nodeType"] == "cpu-large"
    assert placed == [KEY, KEY]


def test_a_model_whose_pods_find_no_node_moves_on_in_time_and_only_then(cluster, play):
    def wait_for_a_node():
        words = "0/2 nodes are available: 1 Insufficient cpu"
        unscheduled = {"type": "PodScheduled", "status": "False", "message": words}
        since = {"lastTransitionTime": timestamps.text(now())}
        pod = pod_object(node="", ready=False, conditions=[unscheduled | since])
        cluster.api.put("pods", pod)
        cluster.api.indices["pods"][KEY] = [pod]

    async def script(cluster):
        cluster.node("node-2", "cpu-large")
        prepare(cluster)
        cluster.model(progress_deadline_seconds=120)
        await cluster.settle()
        first = cluster.status()["placement"]["nodeType"]
        wait_for_a_node()
        await cluster.settle(100)
        waiting = cluster.status()["placement"], cluster.condition("Ready")
        await cluster.settle(40)
        return first, *waiting

    first, waiting, ready = play(script)
    assert waiting["nodeType"] == first
    assert ready == ("False", "PodUnschedulable")
    found = cluster.status()["placement"]
    assert found["nodeType"] != first
    assert [each["nodeType"] for each in found["unschedulable"]] == [first]
    template = cluster.api.get("deployments", "resnet50-triton")["spec"]["template"]["spec"]
    assert found["nodeType"] in str(template["affinity"])
    assert cluster.api.events[-1][2] == "LeastWorkload"
    assert "kube-scheduler has no" in cluster.api.events[-1][3]


def test_nodes_are_compared_again_only_when_something_bears_on_the_placement(
    cluster, play, monkeypatch
):
    compared = []
    views = Nodes.views
    monkeypatch.setattr(
        Nodes, "views", lambda self, own, now_s: compared.extend(own) or views(self, own, now_s)
    )

    async def script(cluster):
        await serving(cluster)
        counts = [len(compared)]
        await cluster.beat(200)
        counts.append(len(compared))
        cluster.node("node-2", "cpu-large")
        await cluster.settle()
        counts.append(len(compared))
        cluster.model(replicas=2)
        await cluster.settle()
        counts.append(len(compared))
        return counts

    first, later, after_a_node, after_a_change = play(script)
    assert later == first
    assert after_a_node > later
    assert after_a_change > after_a_node
    assert {c["nodeType"] for c in cluster.status()["placement"]["candidates"]} == {
        "cpu-small",
        "cpu-large",
    }
