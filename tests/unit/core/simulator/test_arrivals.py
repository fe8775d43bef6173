from math import sqrt

import numpy as np
import pytest

from ferryman.core.simulator import arrivals
from ferryman.core.simulator.arrivals import Phase


def generator(seed=1):
    return np.random.default_rng(seed)


def dispersion(moments_s, duration_s, bin_s=1.0):
    """Return variance over mean of the counts in bins: 1 for a Poisson process."""
    counts, _ = np.histogram(moments_s, bins=int(duration_s / bin_s), range=(0, duration_s))
    return counts.var(ddof=1) / counts.mean()


def test_poisson_arrivals_have_the_rate_and_the_dispersion_of_one():
    moments_s = arrivals.poisson(50.0, 4000.0, generator())
    assert moments_s.size == pytest.approx(200_000, abs=4 * sqrt(200_000))
    # The dispersion of n counts has a standard error of sqrt(2 / n).
    assert dispersion(moments_s, 4000.0) == pytest.approx(1, abs=4 * sqrt(2 / 4000))
    assert np.all(np.diff(moments_s) >= 0)
    assert 0 <= moments_s[0] < moments_s[-1] < 4000


def test_gaps_of_a_poisson_process_are_exponential():
    gaps_s = np.diff(arrivals.poisson(50.0, 4000.0, generator()))
    assert gaps_s.std() / gaps_s.mean() == pytest.approx(1, abs=0.01)
    assert (gaps_s > 0.02).mean() == pytest.approx(np.exp(-1), abs=0.005)


def test_steps_have_their_rates_and_the_last_one_lasts():
    phases = (Phase(100, 50), Phase(100, 0), Phase(1, 200))
    moments_s = arrivals.steps(phases, 300.0, generator())
    counts, _ = np.histogram(moments_s, bins=3, range=(0, 300))
    assert counts.tolist() == [
        pytest.approx(5_000, abs=4 * sqrt(5_000)),
        0,
        pytest.approx(20_000, abs=4 * sqrt(20_000)),
    ]


def test_steps_beyond_the_duration_do_not_happen():
    moments_s = arrivals.steps((Phase(10, 50), Phase(10, 50), Phase(10, 50)), 5.0, generator())
    assert moments_s.size == pytest.approx(250, abs=4 * sqrt(250))
    assert moments_s.max() < 5


def test_an_mmpp_has_the_mean_rate_and_is_overdispersed():
    """Counts in bins shorter than the stays vary by the rates of the two states besides."""
    moments_s = arrivals.mmpp(Phase(30, 10), Phase(10, 110), 40_000.0, generator())
    assert moments_s.size / 40_000 == pytest.approx(35, rel=0.1)
    # Variance of the rate: 100² x 3/4 x 1/4, over the mean rate 35, for bins far below the stays.
    assert dispersion(moments_s, 40_000.0) == pytest.approx(1 + 1875 / 35, rel=0.15)


def test_an_mmpp_begins_in_a_state_by_the_time_spent_in_it():
    calm, burst = Phase(30, 0), Phase(10, 100)
    begun = [arrivals.mmpp(calm, burst, 0.1, generator(seed)).size > 0 for seed in range(400)]
    assert np.mean(begun) == pytest.approx(0.25, abs=4 * sqrt(0.25 * 0.75 / 400))


def test_a_trace_is_repeated_until_the_time_is_over():
    assert arrivals.trace([1.0, 0.0, 2.0], 7.5).tolist() == [1, 1, 3, 4, 4, 6, 7, 7]
    assert arrivals.trace([1.0, 2.0], 3.0).tolist() == [1]


@pytest.mark.parametrize(
    "draw",
    [
        pytest.param(lambda g: arrivals.poisson(20, 50, g), id="poisson"),
        pytest.param(lambda g: arrivals.steps((Phase(9, 5), Phase(9, 50)), 50, g), id="steps"),
        pytest.param(lambda g: arrivals.mmpp(Phase(3, 5), Phase(1, 90), 50, g), id="mmpp"),
    ],
)
def test_the_seed_alone_decides(draw):
    first, again, other = draw(generator(5)), draw(generator(5)), draw(generator(6))
    assert first.tolist() == again.tolist()
    assert first.tolist() != other.tolist()


@pytest.mark.parametrize(
    "gaps_s",
    [
        pytest.param([], id="none"),
        pytest.param([0.0, 0.0], id="all at once"),
        pytest.param([1.0, -0.5], id="back in time"),
        pytest.param([1.0, float("inf")], id="never"),
        pytest.param([1.0, float("nan")], id="not a number"),
    ],
)
def test_gaps_that_make_no_trace_are_refused(gaps_s):
    with pytest.raises(ValueError, match="finite gaps of at least 0 seconds"):
        arrivals.trace(gaps_s, 10.0)


def test_no_steps_are_refused():
    with pytest.raises(ValueError, match="at least one phase"):
        arrivals.steps((), 10.0, generator())


def test_pods_share_the_arrivals_and_none_is_lost():
    moments_s = arrivals.poisson(100, 100, generator())
    parts = arrivals.split(moments_s, 3, generator())
    assert sorted(np.concatenate(parts)) == moments_s.tolist()
    for part in parts:
        assert part.size == pytest.approx(moments_s.size / 3, abs=4 * sqrt(moments_s.size * 2 / 9))
        assert np.all(np.diff(part) >= 0)


def test_one_pod_gets_everything():
    moments_s = arrivals.poisson(10, 10, generator())
    [part] = arrivals.split(moments_s, 1, generator())
    assert part is moments_s
