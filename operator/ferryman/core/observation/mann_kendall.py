"""The Mann-Kendall trend of a trajectory of batch sizes.

A trajectory is the sequence of batch sizes that additive increase and decrease would have
walked through; its trend, not its last value, decides where the applied bound moves.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Literal

Sign = Literal[-1, 0, 1]


@dataclass(frozen=True, slots=True)
class MannKendall:
    """The test statistic S, its variance under "no trend", and the standardised Z."""

    s: int
    variance: float
    z: float


@dataclass(frozen=True, slots=True)
class Bounds:
    """The least and largest value that a trajectory may take."""

    least: int
    most: int

    def clamp(self, value: int) -> int:
        """Return the value moved inside the bounds."""
        return max(self.least, min(self.most, value))

    def is_limit(self, value: int, direction: Sign) -> bool:
        """Whether there is a direction and the bounds forbid any move from the value that way."""
        return direction != 0 and self.clamp(value + direction) == value


def sign(value: float) -> Sign:
    """Return -1, 0 or 1; sgn in Mann's formula."""
    return 1 if value > 0 else -1 if value < 0 else 0


def mann_kendall(xs: Sequence[float]) -> MannKendall:
    """Return S, Var(S) with the tie correction, and Z of a series in time order.

    S sums sgn(xj - xi) over i < j (Mann, Econometrica 13, 1945, p. 245).
    Var(S) = [n(n-1)(2n+5) - Σ t(t-1)(2t+5)] / 18 over the groups of t tied values, and Z takes
    one step off S toward 0 for continuity (Kendall, Rank Correlation Methods, 4th ed. 1975, ch. 4).
    A series that is constant, or shorter than two, has no trend: all three are 0.
    """
    s = sum(sign(later - earlier) for i, earlier in enumerate(xs) for later in xs[i + 1 :])
    ties = sum(_kendall_term(count) for count in Counter(xs).values())
    variance = (_kendall_term(len(xs)) - ties) / 18
    z = 0.0 if s == 0 else (s - sign(s)) / sqrt(variance)
    return MannKendall(s=s, variance=variance, z=z)


def _kendall_term(n: int) -> int:
    return n * (n - 1) * (2 * n + 5)


def extend(
    trajectory: tuple[int, ...], direction: Sign, *, step: int, bounds: Bounds
) -> tuple[int, ...]:
    """Append the value one step up (1) or down (-1) from the last one, or the same again (0)."""
    return (*trajectory, bounds.clamp(trajectory[-1] + direction * step))
