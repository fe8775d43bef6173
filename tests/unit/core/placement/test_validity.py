"""When nodes need not be compared again."""

import pytest

from ferryman.api.conditions import Reason
from ferryman.api.inference_model_status import InferenceModelStatus, PlacementStatus
from ferryman.core.placement.validity import COMPARE_AGAIN_S, Compared, must_compare
from ferryman.core.snapshot import Advice, ServingState
from tests.factories import NOW, at, model

PLACED = PlacementStatus(
    node_type="small", processor="cpu", since=at(-3600), reason="X", message="x"
)
FOUND = Compared(epoch=3, generation=1, placement=PLACED, at_s=10.0)


def placed(placement=PLACED, generation=1):
    return model(generation=generation, status=InferenceModelStatus(placement=placement))


def test_a_placement_is_valid_while_nothing_that_bears_on_it_has_changed():
    assert FOUND.is_valid(placed(), 3, 10.0 + COMPARE_AGAIN_S - 1)


@pytest.mark.parametrize(
    ("asked", "epoch", "now_s"),
    [
        pytest.param(placed(), 4, 11.0, id="a node, profile or runtime changed"),
        pytest.param(placed(generation=2), 3, 11.0, id="the specification changed"),
        pytest.param(placed(PLACED.with_(node_type="large")), 3, 11.0, id="it is elsewhere"),
        pytest.param(placed(None), 3, 11.0, id="its status was lost"),
        pytest.param(placed(), 3, 10.0 + COMPARE_AGAIN_S, id="it is long ago"),
    ],
)
def test_a_placement_is_not_valid_any_more_when(asked, epoch, now_s):
    assert not FOUND.is_valid(asked, epoch, now_s)


def test_a_pod_that_begins_to_wait_for_a_node_has_the_placement_compared_once():
    assert not FOUND.is_valid(placed(), 3, 11.0, waiting=True)
    compared = Compared(epoch=3, generation=1, placement=PLACED, at_s=11.0, waiting=True)
    assert compared.is_valid(placed(), 3, 12.0, waiting=True)
    assert not compared.is_valid(placed(), 3, 12.0, waiting=False)


ADVICE = Advice(node_type="large", processor="cpu", message="m")
WAITING = ServingState(unscheduled_since=at(-700), problem_reason=Reason.POD_UNSCHEDULABLE)


@pytest.mark.parametrize(
    ("valid", "serving", "advice", "compare"),
    [
        pytest.param(True, ServingState(), None, False, id="it is valid"),
        pytest.param(False, ServingState(), None, True, id="it is not valid"),
        pytest.param(True, ServingState(), ADVICE, True, id="rebalancing advises another"),
        pytest.param(True, WAITING, None, True, id="kube-scheduler finds no node"),
    ],
)
def test_nodes_are_compared_unless_the_placement_is_valid_and_stays(
    valid, serving, advice, compare
):
    assert must_compare(placed(), serving, advice, NOW, valid=valid) == compare
