import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ferryman.agent.smoothing import HOLD, STEP, quantise, smooth

fractions = st.floats(0, 1)


def test_after_one_time_constant_63_percent_of_a_step_is_seen():
    seen = smooth(0.0, 1.0, elapsed_s=30, time_constant_s=30)
    assert seen == pytest.approx(1 - math.exp(-1))


@given(fractions, fractions, st.floats(0, 100), st.floats(0, 100))
def test_two_short_steps_equal_one_long_one(start, value, first_s, second_s):
    first = smooth(start, value, elapsed_s=first_s, time_constant_s=30)
    twice = smooth(first, value, elapsed_s=second_s, time_constant_s=30)
    once = smooth(start, value, elapsed_s=first_s + second_s, time_constant_s=30)
    assert twice == pytest.approx(once, abs=1e-9)


@pytest.mark.parametrize(
    ("previous", "value", "expected"),
    [
        pytest.param(0.4, None, None, id="unknown is never the last known value"),
        pytest.param(None, 0.4, 0.4, id="the first known value counts whole"),
    ],
)
def test_unknown_is_not_averaged(previous, value, expected):
    assert smooth(previous, value, elapsed_s=5, time_constant_s=30) == expected


@given(fractions, st.none() | fractions)
def test_a_quantised_value_is_near_and_on_the_grid(value, before):
    written = None if before is None else quantise(before, None)
    shown = quantise(value, written)
    assert abs(shown - value) <= HOLD + 1e-9
    assert shown == round(round(shown / STEP) * STEP, 2)
    assert 0 <= shown <= 1


def test_noise_around_a_border_between_two_steps_causes_no_writes():
    shown = quantise(0.374, None)
    for value in (0.376, 0.374, 0.38, 0.37, 0.385):
        assert quantise(value, shown) == shown


def test_unknown_is_written_as_unknown():
    assert quantise(None, 0.4) is None
