"""A drain sends pods away; a cordon alone moves nobody."""

import pytest

from ferryman.api.conditions import Reason
from ferryman.api.inference_model_status import InferenceModelStatus, PlacementStatus
from ferryman.core.placement.choose import choose
from ferryman.core.snapshot import PodView, ServingState
from tests.factories import NOW, at, benchmark, model, node, processor, snapshot

PLACEMENT = PlacementStatus(
    node_type="large",
    processor="cpu",
    preferred_node="large-1",
    since=at(-600),
    reason=Reason.LEAST_WORKLOAD,
    message="then",
)
SERVES = PodView(name="pod-1", node="large-1", ready=True)
WAITS = PodView(name="pod-2")


def small(**fields):
    return node("small-1", "small", processors=[processor("cpu", 0.1, 0.1)], **fields)


def large(name="large-1", **fields):
    """Return an idle node of a type four times as fast."""
    table = benchmark(400.0, node_type="large")
    return node(
        name, "large", processors=[processor("cpu", 0.1, 0.1)], benchmarks=[table], **fields
    )


def decided(nodes, *, waits, problem=Reason.POD_UNSCHEDULABLE):
    waiting = {"unscheduled_since": at(-1), "problem_reason": problem} if waits else {}
    pods = (SERVES, WAITS) if waits else (SERVES,)
    state = ServingState(exists=True, desired_replicas=2, pods=pods, **waiting)
    asked = model(status=InferenceModelStatus(placement=PLACEMENT))
    return choose(snapshot(model=asked, nodes=nodes, serving=state), NOW)


@pytest.mark.parametrize(
    ("nodes", "why"),
    [
        pytest.param(
            [small(), large(ready=False)],
            "its only node is cordoned and a pod waits for one of type large",
            id="the only node of its type",
        ),
        pytest.param(
            [small(), large(ready=False), large("large-2", ready=False)],
            "each of its 2 nodes is cordoned",
            id="every node of its type",
        ),
        pytest.param(
            [small(), large(ready=False), large("large-2", ready=False, lost=True)],
            "its only node is cordoned",
            id="the last living node of its type",
        ),
    ],
)
def test_a_model_of_which_a_pod_was_evicted_goes_elsewhere_at_once(nodes, why):
    found = decided(nodes, waits=True)
    assert (found.node_type, found.preferred_node) == ("small", "small-1")
    assert found.message.startswith(f"placed anew because {why}")


@pytest.mark.parametrize(
    ("nodes", "waits"),
    [
        pytest.param([small(), large(ready=False)], False, id="nothing of it waits: a mere cordon"),
        pytest.param(
            [small(), large(ready=False), large("large-2")],
            True,
            id="another node of the type takes pods: kube-scheduler will see",
        ),
        pytest.param([large(ready=False)], True, id="there is nowhere else"),
        pytest.param([small(ready=False), large(ready=False)], True, id="all that is is drained"),
    ],
)
def test_a_model_stays_where(nodes, waits):
    assert decided(nodes, waits=waits).node_type == "large"


def test_pods_that_have_another_trouble_move_nothing():
    found = decided([small(), large(ready=False)], waits=True, problem=Reason.POD_FAILING)
    assert found.node_type == "large"
