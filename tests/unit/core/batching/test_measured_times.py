import pytest

from ferryman.api.conditions import Reason
from ferryman.api.inference_model_status import MAX_SERVICE_TIME_MS, PlacementStatus
from ferryman.core.batching.measured_times import CHANGED, MAX_NODE_TYPES, MAX_POINTS, kept
from ferryman.core.tuners.learned.service_time import Parabola
from ferryman.core.tuners.state import Learned
from tests.factories import at
from tests.unit.core.placement.test_costs import times
from tests.unit.core.tuners.guarded.pods import knowing

SERVED_HERE = PlacementStatus(
    node_type="cpu-small", processor="cpu", reason=Reason.LEAST_WORKLOAD, message=""
)


def after(*before, sizes=(1, 2, 4, 8), placement=SERVED_HERE, age_s=60, **service):
    learned = Learned(service=knowing(sizes, **service))
    return kept(tuple(before), placement, learned, 1, at(age_s))


def test_what_serving_pods_showed_is_kept_at_doubling_sizes():
    (own,) = after(sizes=(1, 2, 4, 9))
    assert (own.node_type, own.processor, own.measured_at) == ("cpu-small", "cpu", at(60))
    shown = {point.batch_size: point.milliseconds for point in own.points}
    assert shown == pytest.approx({1: 6, 2: 7, 4: 9, 8: 13, 9: 14})


def test_times_beyond_what_the_status_can_state_count_as_the_longest():
    (own,) = after(shape=Parabola(3e7, 1.0, 0.0))
    assert {point.milliseconds for point in own.points} == {MAX_SERVICE_TIME_MS}


def test_of_pods_on_several_node_types_nothing_is_known_of_one():
    assert after(placement=SERVED_HERE.with_(further_node_types=("cpu-large",))) == ()


def test_a_curve_that_has_not_changed_causes_no_write():
    (own,) = after()
    assert after(own, age_s=900) == (own,)


def test_a_curve_that_has_changed_replaces_the_one_before():
    (own,) = after()
    slower = tuple(
        point.with_(milliseconds=point.milliseconds / (1 + 2 * CHANGED)) for point in own.points
    )
    (fresh,) = after(own.with_(points=slower), age_s=900)
    assert fresh == own.with_(measured_at=at(900))


def test_so_does_one_that_reaches_twice_as_far():
    (own,) = after()
    (fresh,) = after(own, sizes=(1, 2, 4, 8, 16), age_s=900)
    assert fresh.points[-1].batch_size == 16
    assert after(own, sizes=(1, 2, 4, 8, 15), age_s=900) == (own,)


def test_other_node_types_stay():
    other = times("large")
    assert [each.node_type for each in after(other)] == ["cpu-small", "large"]


def test_the_one_that_has_not_changed_for_longest_makes_room():
    full = [times(f"type-{i:02}").with_(measured_at=at(i)) for i in range(MAX_NODE_TYPES)]
    kinds = [each.node_type for each in after(*full)]
    assert len(kinds) == MAX_NODE_TYPES
    assert "cpu-small" in kinds
    assert "type-00" not in kinds


@pytest.mark.parametrize(
    "placement",
    [
        pytest.param(None, id="never placed"),
        pytest.param(SERVED_HERE.with_(node_type=None), id="no node type"),
        pytest.param(SERVED_HERE.with_(processor=None), id="no class"),
    ],
)
def test_what_is_placed_nowhere_shows_nothing(placement):
    assert after(placement=placement) == ()


def test_one_size_shows_no_curve():
    assert after(sizes=(4,)) == ()


def test_there_are_never_more_points_than_status_may_hold():
    (own,) = after(sizes=(1, 128))
    assert len(own.points) <= MAX_POINTS
    assert own.points[-1].batch_size == 128
