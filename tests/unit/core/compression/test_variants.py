"""Which variant serves: the fastest that may, and a reason for each."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ferryman.core.compression.variants import MeasuredVariant, VariantReason, choose_variant

FLOOR = Decimal("0.95")


def variant(name="int8", accuracy="0.97", speedup="2", **fields):
    stated = (None if each is None else Decimal(each) for each in (accuracy, speedup))
    return MeasuredVariant(name, *stated, **fields)


def choose(*variants, floor=FLOOR):
    return choose_variant("detect", "cpu", variants, floor)


def test_the_fastest_at_or_above_the_floor_serves():
    found = choose(variant("half", "0.999", "1.25"), variant("int8", "0.95", "2.0"))
    assert (found.chosen, found.reason) == ("int8", VariantReason.FASTEST)
    assert found.message == (
        "step detect on cpu: int8 serves: it is 2.0 times as fast as the original; its accuracy "
        "is 0.95, the floor 0.95"
    )
    assert [(each.name, each.reason) for each in found.verdicts] == [
        ("half", VariantReason.FASTER_ONE),
        ("int8", VariantReason.FASTEST),
    ]
    assert found.verdicts[0].message == "it is 1.25 times as fast as the original, int8 2.0"


@pytest.mark.parametrize(
    ("given_variant", "floor", "reason", "words"),
    [
        pytest.param(variant(accuracy="0.889"), FLOOR, VariantReason.BELOW_FLOOR,
                     "its accuracy, 0.889, is below the floor, 0.95", id="below the floor"),
        pytest.param(variant(accuracy=None), FLOOR, VariantReason.UNKNOWN_ACCURACY,
                     "ferryman compress", id="nobody has measured its accuracy"),
        pytest.param(variant(speedup=None), FLOOR, VariantReason.UNKNOWN_SPEED,
                     "its speed on this processor class is not stated", id="it never ran there"),
        pytest.param(variant(speedup="1.00"), FLOOR, VariantReason.NOT_FASTER,
                     "it is 1.00 times as fast", id="as slow as the original"),
        pytest.param(variant(speedup="0.86"), FLOOR, VariantReason.NOT_FASTER,
                     "it is 0.86 times as fast", id="slower than the original"),
        pytest.param(variant(is_served=False), FLOOR, VariantReason.NOT_SERVED,
                     "no backend for its format", id="of a format that is not served"),
        pytest.param(variant(), None, VariantReason.NO_FLOOR,
                     "state accuracyFloor", id="nobody has said how wrong it may be"),
    ],
)  # fmt: skip
def test_otherwise_the_original_serves(given_variant, floor, reason, words):
    found = choose(given_variant, floor=floor)
    assert (found.chosen, found.reason) == (None, VariantReason.ORIGINAL)
    [verdict] = found.verdicts
    assert verdict.reason is reason
    assert words in verdict.message
    assert found.message == (f"step detect on cpu: the original serves; int8: {verdict.message}")


def test_without_variants_the_original_serves():
    assert choose().message.endswith("the original serves; it has no variants")


def test_of_equally_fast_ones_the_more_accurate_then_the_first_serves():
    assert choose(variant("a", "0.96"), variant("b", "0.97"), variant("c", "0.97")).chosen == "b"


shares = st.none() | st.integers(0, 100).map(lambda n: Decimal(n) / 100)
speedups = st.none() | st.integers(5, 40).map(lambda n: Decimal(n) / 10)


@st.composite
def listed(draw):
    drawn = draw(st.lists(st.tuples(shares, speedups, st.booleans()), max_size=5))
    return [
        MeasuredVariant(f"v{i}", accuracy, speedup, is_served=served)
        for i, (accuracy, speedup, served) in enumerate(drawn)
    ]


@given(listed(), shares)
def test_never_slower_never_below_the_floor_never_on_a_guess(variants, floor):
    found = choose(*variants, floor=floor)
    may = [
        each
        for each in variants
        if None not in {floor, each.accuracy, each.speedup}
        and each.is_served
        and each.accuracy >= floor
        and each.speedup > 1
    ]
    assert (found.chosen is None) == (not may)
    if may:
        [chosen] = [each for each in variants if each.name == found.chosen]
        assert chosen in may
        assert chosen.speedup == max(each.speedup for each in may)
    assert [each.name for each in found.verdicts] == [each.name for each in variants]
    serving = [each.name for each in found.verdicts if each.reason is VariantReason.FASTEST]
    assert serving == ([found.chosen] if may else [])
    assert all(each.message for each in found.verdicts)
