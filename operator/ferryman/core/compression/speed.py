"""Whether one of two programs is faster, from runs that took turns.

Runs of a round are neighbours in time, so that what else the machine does falls on both; of each
round the ratio is taken. The median ratio has a confidence interval from order statistics, which
asks nothing of how the ratios are distributed (Conover, Practical Nonparametric Statistics,
section 3.2): a speed-up is only claimed where all of it says so.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_FLOOR, Decimal
from enum import StrEnum
from typing import Final

import numpy as np
from scipy import stats

CONFIDENCE: Final = 0.95
#: With fewer rounds even the least and the largest ratio enclose the median too seldom.
LEAST_ROUNDS: Final = 6
#: Of a speed as it is written down.
_STEP: Final = Decimal("0.01")


class SpeedVerdict(StrEnum):
    """What the rounds show."""

    FASTER = "Faster"
    SLOWER = "Slower"
    SAME = "Same"


@dataclass(frozen=True, slots=True)
class Speed:
    """How much faster a variant is than the original."""

    original_ms: float
    variant_ms: float
    """Medians."""
    ratio: float
    """The median of original / variant, round by round; above 1 the variant is faster."""
    least: float
    most: float
    """The confidence interval of that median."""

    @property
    def verdict(self) -> SpeedVerdict:
        """Faster or slower only where the whole interval is."""
        if self.least > 1:
            return SpeedVerdict.FASTER
        return SpeedVerdict.SLOWER if self.most < 1 else SpeedVerdict.SAME


def compare(original_ms: Sequence[float], variant_ms: Sequence[float]) -> Speed:
    """Compare times of runs that took turns.

    Raises ValueError for fewer than LEAST_ROUNDS rounds, or where there is not one time of each.
    """
    if len(original_ms) != len(variant_ms) or len(original_ms) < LEAST_ROUNDS:
        raise ValueError(f"{LEAST_ROUNDS} or more rounds are needed, with a time of each in them")
    ratios = np.sort(np.asarray(original_ms) / np.asarray(variant_ms))
    rank = int(stats.binom.ppf((1 - CONFIDENCE) / 2, len(ratios), 0.5))
    # From the r-th least to the r-th largest ratio the median is missed with a probability of
    # 2 P(X <= r - 1). ppf gives the least r with P(X <= r) >= (1 - c) / 2, so r - 1 is below it.
    return Speed(
        float(np.median(original_ms)),
        float(np.median(variant_ms)),
        float(np.median(ratios)),
        float(ratios[rank - 1]),
        float(ratios[len(ratios) - rank]),
    )


def written(speed: Speed) -> str:
    """Return a speed as resources state it: what it is at least, rounded down."""
    return str(Decimal(repr(speed.least)).quantize(_STEP, ROUND_FLOOR))
