"""When a variant counts as faster: never by chance, and never slower."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ferryman.core.compression.speed import LEAST_ROUNDS, SpeedVerdict, compare, written


def test_medians_and_the_ratio_round_by_round():
    found = compare([10, 20, 30, 40, 50, 60, 70], [5, 10, 15, 20, 25, 30, 70])
    assert (found.original_ms, found.variant_ms, found.ratio) == (40, 20, 2)


def test_what_is_written_down_is_what_it_is_at_least_and_never_more():
    found = compare([29.99] * 8, [10] * 8)
    assert found.ratio > 2.99
    assert written(found) == "2.99"


@pytest.mark.parametrize(
    ("variant_ms", "verdict"),
    [
        pytest.param([5] * 8, SpeedVerdict.FASTER, id="faster in every round"),
        pytest.param([20] * 8, SpeedVerdict.SLOWER, id="slower in every round"),
        pytest.param([5, 20] * 4, SpeedVerdict.SAME, id="now the one, now the other"),
        pytest.param([9] * 8 + [11], SpeedVerdict.FASTER, id="one round of nine may be disturbed"),
        pytest.param([9] * 7 + [11] * 2, SpeedVerdict.SAME, id="two may not"),
        pytest.param([10] * 8, SpeedVerdict.SAME, id="equal is not faster"),
    ],
)
def test_verdict(variant_ms, verdict):
    assert compare([10] * len(variant_ms), variant_ms).verdict is verdict


def test_a_machine_that_slows_down_half_way_does_not_decide():
    original = [10, 10, 10, 10, 40, 40, 40, 40]
    assert compare(original, [time / 2 for time in original]).least == 2


@pytest.mark.parametrize(
    ("original", "variant"), [([1] * 5, [1] * 5), ([1] * 8, [1] * 7)], ids=["few", "unpaired"]
)
def test_without_enough_pairs_nothing_is_said(original, variant):
    with pytest.raises(ValueError, match=f"{LEAST_ROUNDS} or more rounds"):
        compare(original, variant)


@settings(max_examples=10)
@given(st.integers(LEAST_ROUNDS, 25), st.integers(0, 2**31))
def test_the_interval_holds_the_median_as_often_as_it_says(rounds, seed):
    random = np.random.default_rng(seed)
    tries = 400
    held = 0
    for _ in range(tries):
        ratios = np.exp(random.standard_normal(rounds))  # median 1
        found = compare(ratios, np.ones(rounds))
        held += found.least <= 1 <= found.most
    # 95 % at least; by chance 400 tries give less than 91.5 % once in more than a thousand times.
    assert held / tries > 0.915
