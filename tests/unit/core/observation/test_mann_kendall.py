import itertools
import random
from fractions import Fraction
from math import isclose, sqrt

import pymannkendall
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kendalltau

from ferryman.core.observation.mann_kendall import Bounds, extend, mann_kendall, sign

SERIES = st.lists(st.integers(min_value=1, max_value=64), max_size=30)


@pytest.mark.parametrize(
    ("xs", "s", "variance", "z"),
    [
        pytest.param([], 0, 0, 0, id="nothing has no trend"),
        pytest.param([4], 0, 0, 0, id="one value has no trend"),
        pytest.param([4, 4, 4, 4], 0, 0, 0, id="a constant series has no variance and no trend"),
        pytest.param([1, 2], 1, 1, 0, id="two values never show a trend: continuity takes it"),
        pytest.param([1, 2, 3], 3, 66 / 18, 2 / sqrt(66 / 18), id="three rising values rise"),
        pytest.param([3, 2, 1], -3, 66 / 18, -2 / sqrt(66 / 18), id="three falling values fall"),
        pytest.param([1, 2, 2], 2, (66 - 18) / 18, 1 / sqrt(48 / 18), id="a tie takes variance"),
        pytest.param([8, 10, 8, 6, 8], -3, 13, -2 / sqrt(13), id="ups and downs cancel in part"),
    ],
)
def test_mann_kendall_by_hand(xs, s, variance, z):
    result = mann_kendall(xs)
    assert result.s == s
    assert isclose(result.variance, variance)
    assert isclose(result.z, z)


def independent(xs):
    """Mann-Kendall by other means: exact fractions, comparisons instead of signs."""
    n = len(xs)
    s = sum((xs[j] > xs[i]) - (xs[j] < xs[i]) for j in range(n) for i in range(j))
    groups = [xs.count(value) for value in set(xs)]
    variance = Fraction(
        n * (n - 1) * (2 * n + 5) - sum(t * (t - 1) * (2 * t + 5) for t in groups), 18
    )
    if s == 0:
        return s, variance, 0.0
    return s, variance, (s - 1 if s > 0 else s + 1) / sqrt(variance)


def test_ten_thousand_trajectories_agree_with_an_independent_implementation():
    dice = random.Random(1945)
    for _ in range(10_000):
        trajectory = (dice.randint(1, 32),)
        bounds = Bounds(1, dice.choice([4, 32]))
        for _ in range(dice.randint(0, 14)):
            direction = dice.choice([-1, 0, 1])
            trajectory = extend(trajectory, direction, step=dice.choice([1, 2]), bounds=bounds)
        s, variance, z = independent(trajectory)
        result = mann_kendall(trajectory)
        assert (result.s, result.variance) == (s, float(variance)), trajectory
        assert isclose(result.z, z), trajectory
        assert sign(result.z) == sign(z), trajectory


def test_agrees_with_pymannkendall_with_and_without_ties():
    dice = random.Random(1975)
    for _ in range(300):
        spread = dice.choice([2, 5, 1000])
        xs = [dice.randint(0, spread) for _ in range(dice.randint(3, 30))]
        if len(set(xs)) == 1:
            continue  # pymannkendall divides by zero there
        expected = pymannkendall.original_test(xs)
        result = mann_kendall(xs)
        assert result.s == expected.s, xs
        assert isclose(result.variance, expected.var_s), xs
        assert isclose(result.z, expected.z, abs_tol=1e-12), xs


def test_the_sign_of_s_is_that_of_kendalls_tau_against_time():
    dice = random.Random(7)
    for _ in range(200):
        xs = [dice.randint(0, 6) for _ in range(dice.randint(3, 20))]
        if len(set(xs)) > 1:
            tau = kendalltau(range(len(xs)), xs).statistic
            assert sign(mann_kendall(xs).s) == (0 if abs(tau) < 1e-12 else sign(tau)), xs


@given(SERIES)
def test_reversed_time_reverses_the_trend(xs):
    forward, backward = mann_kendall(xs), mann_kendall(xs[::-1])
    assert (backward.s, backward.variance, backward.z) == (
        -forward.s,
        forward.variance,
        -forward.z,
    )


@given(SERIES, st.integers(min_value=-5, max_value=5), st.integers(min_value=1, max_value=9))
def test_only_the_order_of_values_counts(xs, shift, scale):
    assert mann_kendall([scale * x + shift for x in xs]) == mann_kendall(xs)


@pytest.mark.parametrize(
    ("direction", "expected"),
    [
        pytest.param(1, (8, 10), id="up by one step"),
        pytest.param(-1, (8, 6), id="down by one step"),
        pytest.param(0, (8, 8), id="stay"),
    ],
)
def test_extend(direction, expected):
    assert extend((8,), direction, step=2, bounds=Bounds(1, 64)) == expected


@pytest.mark.parametrize(
    ("start", "direction", "last"),
    [
        pytest.param(2, -1, 1, id="a step below the least value ends on it"),
        pytest.param(63, 1, 64, id="a step above the largest value ends on it"),
    ],
)
def test_extend_is_clamped(start, direction, last):
    assert extend((start,), direction, step=2, bounds=Bounds(1, 64)) == (start, last)


@given(
    st.lists(st.sampled_from([-1, 0, 1]), max_size=40),
    st.integers(min_value=1, max_value=64),
    st.integers(min_value=1, max_value=64),
)
def test_a_trajectory_never_leaves_its_bounds(directions, start, step):
    trajectory = (start,)
    for direction in directions:
        trajectory = extend(trajectory, direction, step=step, bounds=Bounds(1, 64))
    assert all(1 <= value <= 64 for value in trajectory)
    assert all(abs(b - a) <= step for a, b in itertools.pairwise(trajectory))


@pytest.mark.parametrize(
    ("value", "direction", "expected"),
    [
        pytest.param(64, 1, True, id="nothing above the largest value"),
        pytest.param(64, -1, False, id="room below the largest value"),
        pytest.param(1, -1, True, id="nothing below the least value"),
        pytest.param(64, 0, False, id="no direction, no limit"),
    ],
)
def test_is_limit(value, direction, expected):
    assert Bounds(1, 64).is_limit(value, direction) is expected
