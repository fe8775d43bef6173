from statistics import fmean

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats

from ferryman.agent.measuring import confidence

RATES = st.lists(st.floats(1.0, 1e5), min_size=2, max_size=confidence.LAST_ROUNDS)


def test_the_quantiles_are_those_of_students_t_distribution():
    freedoms = range(1, confidence.LAST_ROUNDS)
    expected = [stats.t.ppf(0.975, freedom) for freedom in freedoms]
    assert pytest.approx(expected, rel=1e-9) == confidence.T_QUANTILES


@given(RATES)
def test_the_interval_is_scipys(rates):
    assume(max(rates) - min(rates) > 1e-3)
    low, high = stats.t.interval(0.95, len(rates) - 1, fmean(rates), stats.sem(rates))
    assert confidence.half_width(rates) == pytest.approx((high - low) / 2, rel=1e-6)


def test_one_value_has_no_interval():
    assert confidence.half_width([5.0]) is None


def test_more_values_than_there_are_quantiles_are_refused():
    with pytest.raises(ValueError, match="11 values, more than 10"):
        confidence.half_width([1.0] * 11)


@pytest.mark.parametrize(
    ("rates", "narrow"),
    [
        pytest.param([], False, id="nothing was measured"),
        pytest.param([100, 100], False, id="two rounds are too few"),
        pytest.param([100, 100, 100], True, id="three that are the same"),
        pytest.param([98.0, 100, 102.0], True, id="4.97 %"),
        pytest.param([97.9, 100, 102.1], False, id="5.2 %"),
        pytest.param([95, 105] * 5, True, id="the same spread, but ten rounds"),
        pytest.param([95, 105] * 2, False, id="and four"),
        pytest.param([10] + [100] * 9, False, id="a cold start counts"),
        pytest.param([10] + [100] * 10, True, id="until ten rounds lie after it"),
    ],
)
def test_is_narrow(rates, narrow):
    assert confidence.is_narrow(rates) is narrow


def test_the_interval_covers_the_true_mean_about_as_often_as_it_says():
    # Stopping at the first narrow interval costs some of the 95 %; normal rounds, 4 % of spread.
    random = stats.norm(100, 4)
    covered = 0
    for seed in range(400):
        rates = random.rvs(60, random_state=seed)
        stop = next((n for n in range(3, 61) if confidence.is_narrow(rates[:n])), 60)
        last = rates[:stop][-confidence.LAST_ROUNDS :]
        covered += abs(fmean(last) - 100) <= confidence.half_width(last)
    assert 0.85 <= covered / 400 <= 0.97
