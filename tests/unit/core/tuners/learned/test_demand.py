import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ferryman.core.tuners.learned.demand import HISTORY_S, MAX_REQUESTS, MIN_REQUESTS, Demand
from tests.factories import window

readings = st.lists(
    st.tuples(st.floats(0.5, 2), st.integers(0, 400)), min_size=1, max_size=40
).filter(lambda all_readings: any(count for _, count in all_readings))


def demand(*arrived):
    return Demand().with_window(window(arrived=tuple(arrived)))


@settings(deadline=None)
@given(readings)
def test_a_load_has_the_rate_that_was_read(arrived):
    load = demand(*arrived).load(pods=1)
    expected = sum(count for _, count in arrived) / sum(seconds for seconds, _ in arrived)
    assert load.rate_per_s == pytest.approx(expected)


@settings(deadline=None)
@given(readings)
def test_arrivals_ascend_within_the_load(arrived):
    load = demand(*arrived).load(pods=1)
    assert np.all(np.diff(load.arrivals_s) >= 0)
    assert load.arrivals_s[0] >= 0
    assert load.arrivals_s[-1] <= load.seconds


def test_each_reading_keeps_its_count_so_that_bursts_stay_bursts():
    load = demand((1.0, 1000), (1.0, 5000), (1.0, 1000)).load(pods=1)
    assert np.histogram(load.arrivals_s, bins=[0, 1, 2, 3])[0].tolist() == [1000, 5000, 1000]


def test_a_short_history_is_repeated_until_a_percentile_means_something():
    assert demand((1.0, 200)).load(pods=1).arrivals_s.size == MIN_REQUESTS


def test_a_long_history_is_cut_to_what_can_be_replayed():
    load = demand(*[(1.0, 5000)] * 10).load(pods=1)
    assert load.arrivals_s.size == MAX_REQUESTS
    assert load.seconds == 4


def test_of_one_reading_that_holds_more_a_part_is_replayed_at_its_rate():
    load = demand((1.0, 50_000)).load(pods=1)
    assert load.arrivals_s.size == MAX_REQUESTS
    assert load.rate_per_s == pytest.approx(50_000)


def test_a_pod_gets_its_share():
    load = demand(*[(1.0, 3000)] * 10).load(pods=3)
    assert load.rate_per_s == pytest.approx(1000, rel=0.05)


def test_the_same_demand_gives_the_same_load():
    one, other = (demand((1.0, 100), (1.0, 300)).load(pods=2) for _ in range(2))
    assert np.array_equal(one.arrivals_s, other.arrivals_s)


def test_requests_that_carry_batches_count_as_many():
    twice = window(requests=500, inferences=1000, arrived=((1.0, 100),))
    assert Demand().with_window(twice).rate_per_s == pytest.approx(200)


def test_readings_that_are_too_old_are_forgotten():
    known = Demand()
    for _ in range(50):
        known = known.with_window(window(arrived=((10.0, 10),)))
    assert known.seconds == HISTORY_S


def test_without_readings_the_whole_window_is_one():
    known = Demand().with_window(window(seconds=10.0, offered_inferences_per_s=120.0))
    assert known.readings == ((10.0, 1200.0),)


def test_without_requests_there_is_no_load():
    silent = demand((1.0, 0))
    assert silent.rate_per_s == 0
    assert Demand().rate_per_s == 0
    with pytest.raises(ValueError, match="nothing was asked for"):
        silent.load(pods=1)


def test_a_share_of_a_load_is_a_random_part_and_never_nothing():
    load = demand((1.0, 10_000)).load(pods=1)
    assert load.share(0.25).arrivals_s.size == pytest.approx(2500, rel=0.1)
    assert load.share(0.25).seconds == load.seconds
    assert load.share(1e-9).arrivals_s.size == 1


def test_even_the_least_share_leaves_something_to_replay():
    assert demand((1.0, 1)).load(pods=1000).arrivals_s.size >= 1


def test_the_latest_seconds_tell_the_level_of_the_moment():
    """From 65 to 173 requests/s shortly before the window ended, less the standard error."""
    before = ((1.0, 65.0),) * 20
    assert Demand((*before, *((1.0, 173.0),) * 3)).latest_per_s == surely(519, 3.0)
    assert Demand((*before, (2.0, 346.0))).latest_per_s == surely(346, 2.0)
    assert Demand((*before, (1.0, 173.0))).latest_per_s == surely(173, 1.0)
    assert Demand(((1.0, 173.0),) * 20 + ((1.0, 65.0),)).latest_per_s == surely(411, 3.0)
    assert Demand(((1.0, 173.0),) * 20 + ((1.0, 65.0),) * 3).latest_per_s == surely(195, 3.0)
    assert Demand(((10.0, 650.0),)).latest_per_s == surely(650, 10.0)
    assert Demand(((1.0, 65.0),)).latest_per_s == surely(65, 1.0)
    assert Demand(((0.5, 30.0),)).latest_per_s == surely(30, 0.5)
    assert Demand(((1.0, 65.0), (0.2, 40.0))).latest_per_s == surely(105, 1.2)
    assert Demand().latest_per_s == 0


def test_chance_is_no_new_level():
    """Of three means of independent arrivals one is nearly always higher than their rate."""
    counts = np.random.default_rng(1).poisson(220, (1000, 20))
    told = [Demand(tuple((1.0, float(n)) for n in row)).latest_per_s for row in counts]
    assert np.mean(told) < 220
    assert np.quantile(told, 0.9) < 1.05 * 220


def surely(count, seconds):
    return pytest.approx((count - count**0.5) / seconds)


def test_demand_that_lasts_is_a_level_and_a_burst_is_not():
    calm, burst = [(1.0, 100)] * 60, [(1.0, 400)] * 5
    assert demand(*calm, *burst).lasting_per_s == pytest.approx(200)
    assert demand(*calm, *burst * 3).lasting_per_s == 400
    assert demand(*burst, *calm).lasting_per_s == pytest.approx((6000 + 2000) / 65)
    assert Demand().lasting_per_s == 0


def test_of_more_than_can_be_replayed_the_latest_counts_or_a_part_of_all():
    """A burst that is two minutes old is forgotten by the one, and remembered by the other."""
    known = demand(*[(1.0, 600)] * 10, *[(1.0, 200)] * 120)
    latest, whole = known.load(pods=1), known.load(pods=1, whole=True)
    assert latest.rate_per_s == pytest.approx(200)
    assert whole.rate_per_s == pytest.approx(known.rate_per_s, rel=0.01)
    assert whole.arrivals_s.size <= 1.01 * MAX_REQUESTS
    early = whole.arrivals_s < 10 / 130 * whole.seconds
    assert early.sum() / (10 / 130 * whole.seconds) == pytest.approx(600, rel=0.05)


def test_the_demand_of_the_latest_seconds_alone():
    known = demand((1.0, 600), (1.0, 200), (1.0, 300))
    assert known.of_latest(2.0).rate_per_s == 250
    assert known.of_latest(0.5).rate_per_s == 300, "one reading at least"
