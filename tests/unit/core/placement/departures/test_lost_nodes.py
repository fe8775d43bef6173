"""Nodes that died take no model with them; the placement changes by a rule, and stays then."""

import pytest

from ferryman.api.conditions import Reason
from ferryman.api.inference_model_status import InferenceModelStatus, PlacementStatus
from ferryman.core.placement.choose import choose
from ferryman.core.placement.departures.unschedulable import serves_there
from ferryman.core.snapshot import PodView, ServingState
from tests.factories import NOW, at, benchmark, model, node, processor, snapshot

FULL = {"reserved_cpu_millicores": 4000}


def small(name="small-1", **fields):
    """Return an idle node of a slow type."""
    return node(name, "small", processors=[processor("cpu", 0.1, 0.1)], **fields)


def large(name="large-1", **fields):
    """Return an idle node of a type four times as fast."""
    table = benchmark(400.0, node_type="large")
    cpu = processor("cpu", 0.1, 0.1)
    return node(name, "large", processors=[cpu], benchmarks=[table], **fields)


def pod(on, *, ready=True):
    """Return a pod that the API server still calls ready: it is the last to learn of a death."""
    return PodView(name=f"pod-{on}", node=on, ready=ready)


def on_large():
    """Return a model that was placed on the fast type some time ago."""
    placement = PlacementStatus(
        node_type="large",
        processor="cpu",
        preferred_node="large-1",
        since=at(-600),
        reason=Reason.LEAST_WORKLOAD,
        message="then",
    )
    return model(status=InferenceModelStatus(placement=placement))


def decided(nodes, pods=(), asked=None):
    state = ServingState(exists=True, desired_replicas=2, pods=tuple(pods))
    return choose(snapshot(model=asked or on_large(), nodes=nodes, serving=state), NOW)


@pytest.mark.parametrize(
    ("nodes", "pods", "expected", "why"),
    [
        pytest.param(
            [small(), large(lost=True)],
            [pod("large-1"), pod("large-1")],
            ("small", "small-1"),
            "large-1 is not ready and nothing of the model is left on large",
            id="the only node of its type died with all its pods",
        ),
        pytest.param(
            [small(), large(lost=True), large("large-2", ready=False)],
            [pod("large-1")],
            ("small", "small-1"),
            "large-1 is not ready and nothing",
            id="the other node of its type is cordoned and has none of its pods",
        ),
        pytest.param(
            [small(), large(lost=True), large("large-2", reserved=FULL)],
            [pod("large-1")],
            ("small", "small-1"),
            "large-1 is not ready and nothing",
            id="the other node of its type is full",
        ),
        pytest.param(
            [small(), large(lost=True), large("large-2")],
            [pod("large-1"), pod("large-1")],
            ("large", "large-2"),
            "large-1 is not ready and nothing",
            id="the other node of its type takes them: its pods need not wait for their eviction",
        ),
        pytest.param(
            [small(), large(lost=True), large("large-2", lost=True)],
            [pod("large-1"), pod("large-2")],
            ("small", "small-1"),
            "large-1, large-2 are not ready and nothing",
            id="both nodes of its type died",
        ),
        pytest.param(
            [small(), *(large(f"large-{n}", lost=True) for n in range(1, 6))],
            [pod("large-1")],
            ("small", "small-1"),
            "large-1, large-2, large-3 and others are not ready and nothing",
            id="many died: some are named",
        ),
        pytest.param(
            [small(), large(lost=True), large("large-2")],
            [pod("large-1"), pod("large-2", ready=False)],
            ("large", "large-2"),
            "large-1 is not ready and nothing",
            id="the replica on the living node does not serve",
        ),
    ],
)
def test_a_model_serves_elsewhere_when_its_nodes_died(nodes, pods, expected, why):
    placement = decided(nodes, pods)

    assert (placement.node_type, placement.preferred_node) == expected
    assert placement.message.startswith(f"placed anew because {why}")
    assert placement.since == at(0)


@pytest.mark.parametrize(
    ("nodes", "pods"),
    [
        pytest.param([small(), large(ready=False)], [pod("large-1")], id="its node is cordoned"),
        pytest.param([small(), large(ready=False)], [], id="and has none of its pods"),
        pytest.param(
            [small(), large(lost=True), large("large-2")],
            [pod("large-1"), pod("large-2")],
            id="a replica serves on another node of the type",
        ),
        pytest.param(
            [small(), large(lost=True), large("large-2", ready=False)],
            [pod("large-1"), pod("large-2")],
            id="a replica serves on a cordoned node of the type",
        ),
        pytest.param(
            [small(), large(), large("large-2", lost=True)],
            [pod("large-2")],
            id="its pods were not where it prefers them, and come back there by themselves",
        ),
        pytest.param([small(lost=True), large()], [], id="nodes of another type died"),
        pytest.param(
            [small(lost=True), large(lost=True)],
            [pod("large-1")],
            id="every node seems dead: something else is at fault",
        ),
        pytest.param(
            [small(reserved=FULL), large(lost=True)],
            [pod("large-1")],
            id="no other place has room: it waits for its node",
        ),
    ],
)
def test_a_model_stays_where_it_is(nodes, pods):
    placement = decided(nodes, pods)

    assert (placement.node_type, placement.preferred_node) == ("large", "large-1")
    assert (placement.message, placement.since) == ("then", at(-600))


def test_it_does_not_go_back_by_itself_when_its_node_returns():
    moved = decided([small(), large(lost=True)], [pod("large-1")])
    after = model(status=InferenceModelStatus(placement=moved))

    returned = decided([small(), large()], [pod("small-1")], after)

    assert (returned.node_type, returned.message) == ("small", moved.message)


def test_of_a_lost_node_its_candidate_says_so():
    placement = decided([small(reserved=FULL), large(lost=True)], [pod("large-1")])

    [kept] = [each for each in placement.candidates if each.chosen]
    assert (kept.reason, kept.message) == (
        Reason.NODE_NOT_READY,
        "large-1 is not ready, or not heard of",
    )


@pytest.mark.parametrize("lost", [False, True])
def test_a_pod_on_a_lost_node_does_not_serve_there(lost):
    serving = ServingState(pods=(pod("large-1"),))

    assert serves_there([large(lost=lost)], serving, ["large"]) is not lost
