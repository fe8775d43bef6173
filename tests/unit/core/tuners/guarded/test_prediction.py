from math import inf

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ferryman.core.tuners.guarded.prediction import MARGIN, Goal, predict
from ferryman.core.tuners.learned.demand import OfferedLoad
from tests.unit.core.tuners.guarded.pods import LINE, bound, curve, goal, load

#: Three at once and one much later: batches of 2, 1 and 1 within a bound of 2.
FOUR = OfferedLoad(np.array([0.0, 0.0, 0.0, 1.0]), 2.0)


def pair_ms(_instances, most):
    """Return service times of 10 and 12 ms for batches of 1 and 2."""
    return (10.0, 12.0)[:most]


def lindley_ms(arrivals_s, service_ms, overhead_ms):
    """Return the latencies of a queue that serves one by one (Lindley, 1952): the oracle."""
    waits, wait_s = [], 0.0
    for gap_s in [inf, *np.diff(arrivals_s)]:
        wait_s = max(0.0, wait_s + service_ms / 1e3 - gap_s) if waits else 0.0
        waits.append(wait_s)
    return np.array(waits) * 1e3 + service_ms + overhead_ms


@settings(deadline=None)
@given(
    gaps_ms=st.lists(st.floats(0, 30), min_size=1, max_size=80),
    service_ms=st.floats(0.5, 20),
    overhead_ms=st.floats(0, 5),
    percentile=st.sampled_from([50, 90, 99]),
    target_ms=st.floats(1, 60),
)
def test_one_by_one_a_prediction_is_what_the_recursion_of_lindley_says(
    gaps_ms, service_ms, overhead_ms, percentile, target_ms
):
    arrivals_s = np.cumsum(gaps_ms) / 1e3
    seconds = float(arrivals_s[-1]) + 1
    held = Goal(percentile, target_ms, overhead_ms)
    told = predict(bound(1), lambda _i, _b: (service_ms,), OfferedLoad(arrivals_s, seconds), held)
    latencies_ms = lindley_ms(arrivals_s, service_ms, overhead_ms)
    assert told.latency_ms == pytest.approx(np.percentile(latencies_ms, percentile), abs=1e-6)
    assert told.mean_ms == pytest.approx(latencies_ms.mean(), abs=1e-6)
    assert told.busy == pytest.approx(arrivals_s.size * service_ms / 1e3 / seconds)
    close = np.abs(latencies_ms - target_ms) < 1e-6
    if not close.any():
        assert told.attainment == pytest.approx(np.mean(latencies_ms <= target_ms))


def test_every_figure_of_four_requests():
    told = predict(bound(2), pair_ms, FOUR, Goal(50, 15.0, overhead_ms=1.0))
    assert told.mean_ms == pytest.approx((12 + 12 + 22 + 10) / 4 + 1)
    assert told.latency_ms == pytest.approx(13)
    assert told.attainment == 3 / 4
    assert told.busy == pytest.approx((12 + 10 + 10) / 2000)
    assert told.capacity_per_s == pytest.approx(2 / 0.012)
    assert told.batching == bound(2)


def test_what_is_rejected_was_not_answered_in_time():
    both = bound(2, default_timeout_microseconds=11_000)
    told = predict(both, pair_ms, FOUR, Goal(50, 15.0))
    assert told.attainment == 3 / 4
    assert told.mean_ms == pytest.approx((12 + 12 + 10) / 3)


def test_a_configuration_that_rejects_everyone_is_worth_nothing():
    """A delay longer than the timeout: at a low rate no batch ever fills in time."""
    hopeless = bound(32, max_queue_delay_microseconds=20_000, default_timeout_microseconds=5_000)
    told = predict(hopeless, curve(), load(20, 50), goal())
    assert (told.attainment, told.busy, told.meets, told.reaches) == (0.0, 0.0, False, False)


@pytest.mark.parametrize(
    ("target_ms", "meets", "reaches"),
    [
        pytest.param(12.0 / MARGIN + 0.01, True, True, id="with a margin"),
        pytest.param(12.0, False, True, id="just"),
        pytest.param(11.9, False, False, id="missed"),
    ],
)
def test_an_objective_is_met_with_a_margin_and_reached_without(target_ms, meets, reaches):
    told = predict(bound(2), pair_ms, FOUR, Goal(75, target_ms))
    assert (told.meets, told.reaches) == (meets, reaches)


@pytest.mark.parametrize(
    ("least_per_s", "meets", "reaches"),
    [
        pytest.param(MARGIN * 166, True, True, id="with headroom"),
        pytest.param(166, False, True, id="just"),
        pytest.param(167, False, False, id="missed"),
    ],
)
def test_a_throughput_objective_is_held_against_the_capacity(least_per_s, meets, reaches):
    told = predict(bound(2), pair_ms, FOUR, Goal(99, inf, least_per_s=least_per_s))
    assert (told.meets, told.reaches) == (meets, reaches)


def test_without_a_latency_objective_every_answer_is_in_time():
    assert predict(bound(1), curve(LINE), load(500), Goal(99, inf)).attainment == 1


def test_instances_share_the_load_and_add_their_capacity():
    one, two = (predict(bound(4, instances=n), curve(), load(600), goal()) for n in (1, 2))
    assert two.capacity_per_s == 2 * one.capacity_per_s
    assert two.attainment > one.attainment
    assert 1 < two.busy < 2


@settings(deadline=None, max_examples=20)
@given(st.integers(1, 16), st.integers(0, 10_000), st.integers(1, 3), st.floats(20, 900))
def test_the_same_load_always_gives_the_same_prediction(size, delay_us, instances, rate_per_s):
    batching = bound(size, max_queue_delay_microseconds=delay_us, instances=instances)
    one, other = (predict(batching, curve(), load(rate_per_s, 200), goal()) for _ in range(2))
    assert one == other
    assert 0 <= one.attainment <= 1
    assert one.busy > 0
    assert one.reaches or not one.meets
