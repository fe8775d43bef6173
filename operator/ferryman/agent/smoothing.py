"""Smoothing and quantising of utilisation, so that noise causes no writes."""

import math
from typing import Final

STEP: Final = 0.05
#: A written value stays until the smoothed one is this far away: more than half a step, so that
#: a value on the border between two steps does not flap.
HOLD: Final = 0.75 * STEP


def smooth(
    previous: float | None, value: float | None, *, elapsed_s: float, time_constant_s: float
) -> float | None:
    """Return the exponentially weighted mean; unknown stays unknown, and starts anew after it.

    The weight of the new value is 1 - exp(-elapsed/time constant), so that irregular sampling
    gives the same mean.
    """
    if value is None or previous is None:
        return value
    weight = 1.0 - math.exp(-max(0.0, elapsed_s) / time_constant_s)
    return previous + weight * (value - previous)


def quantise(value: float | None, written: float | None) -> float | None:
    """Return the value to write, a multiple of 0.05: the written one while it is near enough."""
    if value is None:
        return None
    if written is not None and abs(value - written) <= HOLD:
        return written
    return round(min(1.0, max(0.0, round(value / STEP) * STEP)), 2)
