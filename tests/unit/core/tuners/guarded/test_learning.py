from math import inf, log

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ferryman.core.tuners.guarded import learning
from ferryman.core.tuners.guarded.learning import SUSPECT, expected, goal, overhead_ms
from ferryman.core.tuners.guarded.prediction import Goal
from ferryman.core.tuners.learned.drift import SLACK
from ferryman.core.tuners.state import Learned
from tests.factories import objectives, window
from tests.unit.core.tuners.guarded.pods import LINE, bound, curve, knowing, shown

SIZES = (1, 2, 4, 8)


def after(known, seen):
    return learning.after(known, bound(8), seen)


def ran(factor=1.0, sizes=SIZES, count=100):
    """Return a window in which batches took so many times what LINE says."""
    times_ms = curve()(1, max(sizes))
    return window(service_times={size: (count, factor * times_ms[size - 1]) for size in sizes})


def known(**fields):
    return Learned(**{"service": knowing(SIZES), **fields})


def test_the_first_window_teaches_service_times_and_demand():
    taught = after(Learned(), shown(bound(8)))
    assert taught.service.curve_ms(1, 4)[3] == pytest.approx(9, rel=0.05)
    assert taught.demand.rate_per_s == pytest.approx(100, rel=0.1)
    assert taught.failing == 0
    assert taught.drift.recent == ()


def test_instances_of_which_nothing_was_seen_are_learned_apart():
    taught = learning.after(known(), bound(8, instances=2), ran(2.0))
    assert taught.service.points[2][4].mean_ms == pytest.approx(18)
    assert taught.service.points[1][4].mean_ms == pytest.approx(9)


def test_a_window_as_expected_is_learned_from():
    taught = after(known(), ran(1 + SUSPECT / 2))
    assert taught.service.points[1][4].mean_ms > 9
    assert taught.drift.recent == pytest.approx((log(1 + SUSPECT / 2),), abs=0.01)


def test_a_window_that_deviates_is_not_learned_from_before_the_next_ones_confirm_it():
    before = known()
    taught = after(before, ran(1.18))
    assert taught.service == before.service
    assert taught.drift.up == pytest.approx(log(1.18) - SLACK, abs=0.01)
    calm = after(taught, ran())
    assert calm.service.points[1][4].mean_ms == pytest.approx(9)


def test_when_the_next_window_confirms_it_the_curve_moves_to_the_new_level():
    taught = after(after(known(), ran(1.18)), ran(1.18))
    assert taught.service.curve_ms(1, 8)[7] == pytest.approx(1.18 * 13, rel=0.02)
    assert taught.drift.recent == ()


@settings(deadline=None)
@given(st.floats(1.3, 4))
def test_a_jump_is_followed_at_once_for_all_sizes(factor):
    """Also for those that the window did not run."""
    taught = after(known(), ran(factor, sizes=(2, 4)))
    assert taught.service.curve_ms(1, 8)[7] == pytest.approx(factor * 13, rel=0.03)
    faster = after(known(), ran(1 / factor, sizes=(2, 4)))
    assert faster.service.curve_ms(1, 8)[7] == pytest.approx(13 / factor, rel=0.03)


def test_a_window_that_holds_both_levels_does_not_bend_the_curve():
    """A jump by half in its middle: small batches ran before it, large ones after."""
    mixed = {1: (50, 6.0), 2: (50, 7.0), 4: (100, 1.5 * 9), 8: (100, 1.5 * 13)}
    curve = after(known(), window(service_times=mixed)).service.curve_ms(1, 8)
    assert curve[7] / curve[0] == pytest.approx(13 / 6, rel=0.01)
    assert 1.2 < curve[7] / 13 < 1.5


@pytest.mark.parametrize(
    ("fields", "share"),
    [
        pytest.param({}, 0.0, id="served"),
        pytest.param({"requests": 900, "failures": 100}, 0.1, id="some failed"),
        pytest.param({"requests": 0, "failures": 7}, 1.0, id="all failed"),
        pytest.param({"requests": 0}, 0.5, id="with nothing to serve it stays what it was"),
        pytest.param({"requests": 500, "rejected": 500}, 0.0, id="rejected is not failed"),
    ],
)
def test_the_share_of_requests_that_fail_is_that_of_the_latest_window(fields, share):
    assert after(known(failing=0.5), window(**fields)).failing == pytest.approx(share)


@pytest.mark.parametrize(
    ("wanted", "pods", "held"),
    [
        pytest.param(objectives(50, percentile=95), 1, Goal(95, 50.0), id="latency"),
        pytest.param(objectives(None, 300), 3, Goal(99, inf, 0.0, 100.0), id="throughput"),
        pytest.param(objectives(50, 300), 2, Goal(99, 50.0, 0.0, 150.0), id="both"),
    ],
)
def test_the_goal_is_what_one_pod_must_do(wanted, pods, held):
    assert goal(wanted, window(pods=pods)) == held


def test_the_overhead_is_what_neither_waiting_nor_computing_explains():
    """Requests compute as long as their batch does: 8 of 10 in batches of 4."""
    seen = window(mean_latency_ms=15.0, queue_ms=3.0, service_times={1: (2, 6.0), 4: (2, 9.0)})
    assert overhead_ms(seen) == pytest.approx(15 - 3 - (2 * 6 + 8 * 9) / 10)


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({"service_times": {}}, id="no batches"),
        pytest.param({"queue_ms": None}, id="no waits"),
        pytest.param({"mean_latency_ms": None}, id="no latencies"),
        pytest.param({"mean_latency_ms": 1.0}, id="less than nothing"),
    ],
)
def test_without_all_of_these_there_is_no_overhead(fields):
    assert overhead_ms(window(**fields)) == 0


def test_on_the_twin_there_is_no_overhead():
    assert overhead_ms(shown(bound(8), 300)) == pytest.approx(0, abs=0.2)


def test_what_a_window_should_have_shown_is_what_it_showed_where_the_curve_is_right():
    seen = shown(bound(8), 400)
    told = expected(knowing(), bound(8), seen, goal(objectives(50), seen))
    assert told.mean_ms == pytest.approx(seen.mean_latency_ms, rel=0.1)
    assert told.latency_ms == pytest.approx(seen.latency_ms, rel=0.15)


def test_of_a_window_in_which_nobody_came_nothing_is_expected():
    assert expected(knowing(), bound(8), window(arrived=((1.0, 0),)), Goal(99, 50.0)) is None


def test_a_known_shape_is_used_by_the_tests():
    assert knowing().curve_ms(1, 16)[15] == pytest.approx(LINE.t0 + 16 * LINE.a, rel=0.01)
