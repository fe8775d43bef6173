from datetime import timedelta

import pytest

from ferryman.api.conditions import Reason
from ferryman.api.inference_model_status import (
    InferenceModelStatus,
    PlacementStatus,
    UnschedulablePlace,
)
from ferryman.core.placement.choose import choose, score
from ferryman.core.placement.departures.unschedulable import (
    FORGET_AFTER,
    MAX_PLACES,
    has_waited,
    noted,
    remembered,
)
from ferryman.core.snapshot import ServingState
from tests.factories import NOW, at, benchmark, model, node, pod, processor, snapshot

WORDS = "0/2 nodes are available: 2 Insufficient cpu"
WAITING = ServingState(
    exists=True,
    desired_replicas=1,
    problem_reason=Reason.POD_UNSCHEDULABLE,
    problem_message=WORDS,
    unscheduled_since=at(-600),
)


def of_type(node_type, images_per_second):
    """Return an idle node of a type."""
    table = benchmark(images_per_second, node_type=node_type)
    idle = [processor("cpu", 0.1, 0.1)]
    return node(f"{node_type}-1", node_type, processors=idle, benchmarks=[table])


NODES = [of_type("small", 100.0), of_type("medium", 200.0), of_type("large", 400.0)]


def placed(node_type="large", *, since_s=-600.0, tried=(), **fields):
    """Return a model that was placed, and may have been elsewhere before."""
    placement = PlacementStatus(
        node_type=node_type,
        processor="cpu",
        since=at(since_s),
        reason=Reason.LEAST_WORKLOAD,
        message="then",
        unschedulable=tried,
    )
    return model(status=InferenceModelStatus(placement=placement), **fields)


def given_up(node_type="large", time_s=-600.0):
    """Return a place that was given up."""
    return UnschedulablePlace(node_type=node_type, processor="cpu", time=at(time_s), message=WORDS)


def decided(asked, nodes=NODES, serving=WAITING, now=NOW):
    return choose(snapshot(model=asked, nodes=nodes, serving=serving), now)


def test_pods_that_wait_past_the_deadline_get_the_next_best_node_type():
    found = decided(placed())
    assert (found.node_type, found.since) == ("medium", at(0))
    assert found.message.startswith(
        "placed anew because kube-scheduler has no large node for its pods: medium (cpu): "
    )
    assert found.unschedulable == (given_up(time_s=0.0),)
    (large,) = [each for each in found.candidates if each.node_type == "large"]
    assert (large.reason, large.chosen) == (Reason.POD_UNSCHEDULABLE, False)
    assert WORDS in large.message


def test_each_node_type_gets_its_turn_and_then_the_model_waits():
    third = decided(placed("medium", tried=(given_up(),)))
    assert third.node_type == "small"
    assert [each.node_type for each in third.unschedulable] == ["medium", "large"]
    last = decided(placed("small", tried=third.unschedulable))
    assert (last.node_type, last.since) == ("small", at(-600))
    assert last.unschedulable == third.unschedulable


def test_after_an_hour_a_place_is_tried_again():
    tried = (given_up("medium", -FORGET_AFTER.total_seconds() + 1), given_up("large", -3600))
    assert decided(placed("small", tried=tried)).node_type == "large"


@pytest.mark.parametrize(
    ("asked", "serving"),
    [
        pytest.param(placed(), WAITING.with_(unscheduled_since=at(-599)), id="not for long enough"),
        pytest.param(placed(since_s=-599), WAITING, id="placed not long enough ago"),
        pytest.param(placed(), WAITING.with_(unscheduled_since=None), id="no pod waits"),
        pytest.param(
            placed(), WAITING.with_(problem_reason=Reason.MODEL_SOURCE_NOT_FOUND), id="no volume"
        ),
        pytest.param(placed(progress_deadline_seconds=601), WAITING, id="a longer deadline"),
        pytest.param(model(), WAITING, id="not placed"),
    ],
)
def test_nothing_is_given_up_while(asked, serving):
    assert not has_waited(asked, serving, NOW)


def test_a_model_of_which_a_replica_serves_there_stays():
    serving = WAITING.with_(ready_replicas=1, pods=(pod(node="large-1"),))
    found = decided(placed(), serving=serving)
    assert (found.node_type, found.since) == ("large", at(-600))


def test_a_model_that_cannot_move_to_where_it_should_goes_back():
    serves_on = pod(node="medium-1"), pod(node="large-1", ready=False)
    found = decided(placed(), serving=WAITING.with_(ready_replicas=1, pods=serves_on))
    assert found.node_type == "medium"


def test_the_model_sets_the_deadline():
    serving = WAITING.with_(unscheduled_since=at(-60))
    assert has_waited(placed(progress_deadline_seconds=60), serving, NOW)
    assert not has_waited(placed(progress_deadline_seconds=61), serving, NOW)


def test_where_there_is_no_other_the_model_waits():
    found = decided(placed(), nodes=[NODES[-1]])
    assert (found.node_type, found.since, found.unschedulable) == ("large", at(-600), ())


def test_a_place_that_was_given_up_is_listed_so_and_forgotten_in_time():
    asked = placed("medium", tried=(given_up(),))
    calm = ServingState(exists=True, ready_replicas=1)
    kept = decided(asked, serving=calm)
    reasons = {each.node_type: each.reason for each in kept.candidates}
    assert reasons["large"] == Reason.POD_UNSCHEDULABLE
    assert {each.node_type: each.reason for each in score(snapshot(model=asked, nodes=NODES), NOW)}[
        "large"
    ] == Reason.POD_UNSCHEDULABLE
    later = decided(asked, serving=calm, now=NOW + FORGET_AFTER)
    assert later.unschedulable == ()


def test_when_its_nodes_are_gone_a_place_that_was_given_up_is_better_than_none():
    asked = placed("medium", tried=(given_up(),))
    assert decided(asked, nodes=[NODES[0], NODES[2]]).node_type == "small"
    only = decided(asked, nodes=[NODES[2]])
    assert (only.node_type, only.unschedulable) == ("large", ())
    assert only.message.startswith("placed anew because no node of type medium is left: large")


def test_no_more_places_are_kept_than_status_holds():
    many = tuple(given_up(f"type-{number}") for number in range(MAX_PLACES))
    kept = noted(many, placed().status.placement, WORDS, NOW)
    assert len(kept) == MAX_PLACES
    assert kept[0].node_type == "large"
    assert remembered(None, NOW) == ()
    assert remembered(placed(tried=kept).status.placement, NOW + timedelta(days=1)) == ()
