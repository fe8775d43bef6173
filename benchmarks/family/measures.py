"""What a contender was worth on the family: the distribution of a few ratios to the oracle."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from ferryman.core.simulator.figures import windows_to_converge

#: Within so many windows the oracle's goodput is to be reached, and kept.
SOON: Final = 3
#: Goodput below this says nothing.
_NOTHING: Final = 1e-9

Record = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Ratios:
    """One run by the oracle's, and by the largest bound without delay; None: nothing to divide."""

    whole: float | None
    second_half: float | None
    busy: float | None
    """Device time in the second half."""
    soon: bool
    """Within 95 % of the oracle after at most three windows, for good."""
    by_largest: float | None
    by_ceiling: float | None
    """By what the oracle's configuration does where it comes into force after one window."""
    ceiling: float | None
    """What that is worth itself, by the oracle's."""


def ratios(mine: Record, best: Record, largest: Record) -> Ratios:
    """Compare one run with the oracle's and that of the largest bound."""
    own, other, plain = mine["goodput"], best["goodput"], largest["goodput"]
    half = len(own) // 2
    reached = windows_to_converge(own, other)
    return Ratios(
        whole=_share(sum(own), sum(other)),
        second_half=_share(sum(own[half:]), sum(other[half:])),
        busy=_share(mine["busy"][1], best["busy"][1]),
        soon=reached is not None and reached <= SOON,
        by_largest=_share(sum(own), sum(plain)),
        by_ceiling=_share(sum(own), sum(best["ceiling"])),
        ceiling=_share(sum(best["ceiling"]), sum(other)),
    )


def _share(mine: float, other: float) -> float | None:
    return mine / other if other > _NOTHING else None


@dataclass(frozen=True, slots=True)
class Promise:
    """A figure of the distribution and what it is to be."""

    title: str
    of: Callable[[Sequence[Ratios]], float]
    wanted: float
    at_most: bool = False

    def held(self, found: float) -> bool:
        """Whether the figure is what was promised."""
        return found <= self.wanted if self.at_most else found >= self.wanted


def _quantile(name: str, percentile: float) -> Callable[[Sequence[Ratios]], float]:
    def of(every: Sequence[Ratios]) -> float:
        values = [value for each in every if (value := getattr(each, name)) is not None]
        return float(np.percentile(values, percentile))

    return of


def _soon(every: Sequence[Ratios]) -> float:
    return sum(each.soon for each in every) / len(every)


PROMISES: Final = (
    Promise("goodput of the whole run, median", _quantile("whole", 50), 0.99),
    Promise("… p10", _quantile("whole", 10), 0.95),
    Promise("… least", _quantile("whole", 0), 0.85),
    Promise("goodput of the second half, p10", _quantile("second_half", 10), 0.99),
    Promise("… least", _quantile("second_half", 0), 0.97),
    Promise("within 95 % after at most 3 windows, for good", _soon, 0.9),
    Promise("device time in the second half, median", _quantile("busy", 50), 1.05, at_most=True),
    Promise("… p90", _quantile("busy", 90), 1.15, at_most=True),
    Promise("goodput by the ceiling's, p10", _quantile("by_ceiling", 10), 0.95),
    Promise("… least", _quantile("by_ceiling", 0), 0.9),
    Promise("the ceiling itself, by the oracle's, p10", _quantile("ceiling", 10), 0),
    Promise("… least", _quantile("ceiling", 0), 0),
    Promise("goodput by the largest bound's, least", _quantile("by_largest", 0), 0.97),
)
