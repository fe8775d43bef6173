"""The schedule of an open-loop load."""

import numpy as np
import pytest

from ferryman.clients.load.arrivals import send_times_s


def test_constant_arrivals_are_evenly_spaced():
    times = send_times_s(50, 2, "constant", seed=0)
    np.testing.assert_allclose(times, np.arange(100) / 50)


def test_poisson_arrivals_have_the_rate_and_the_dispersion_of_a_poisson_process():
    times = send_times_s(200, 500, "poisson", seed=1)
    gaps = np.diff(times)
    assert len(times) == pytest.approx(100_000, rel=0.02)
    assert gaps.std() / gaps.mean() == pytest.approx(1.0, abs=0.02)
    per_second = np.histogram(times, bins=500, range=(0, 500))[0]
    assert per_second.var() / per_second.mean() == pytest.approx(1.0, abs=0.25)
    assert (times[0] >= 0, times[-1] < 500, bool((gaps >= 0).all())) == (True, True, True)


def test_a_seed_fixes_the_schedule():
    first, again, other = (send_times_s(100, 5, "poisson", seed) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize(
    ("rate", "duration", "why"),
    [
        pytest.param(0, 1, "greater than 0", id="no rate"),
        pytest.param(1, -1, "greater than 0", id="a negative duration"),
        pytest.param(1, float("nan"), "greater than 0", id="no number"),
        pytest.param(1e6, 1e6, "lower the rate", id="more than memory holds"),
    ],
)
def test_impossible_schedules_are_refused(rate, duration, why):
    with pytest.raises(ValueError, match=why):
        send_times_s(rate, duration, "constant", seed=0)
