"""Whether a model's parts answer as the whole does."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def largest_difference(whole: Mapping[str, Array], parts: Mapping[str, Array]) -> float:
    """Return the largest |Δ| of any number in any output, by name.

    Infinite where shapes or types differ, where a text does, or where only one of two is a number;
    the same infinity, or NaN on both sides, is no difference.
    """
    return max((_difference(whole[name], parts[name]) for name in whole), default=0.0)


def _difference(whole: Array, part: Array) -> float:
    if whole.shape != part.shape or whole.dtype != part.dtype:
        return math.inf
    if whole.dtype.kind not in "fiub":
        return 0.0 if np.array_equal(whole, part) else math.inf
    first, second = whole.astype(np.float64), part.astype(np.float64)
    same = (whole == part) | (np.isnan(first) & np.isnan(second))
    with np.errstate(invalid="ignore", over="ignore"):
        apart = np.where(same, 0.0, np.abs(first - second))
    return float(np.where(np.isnan(apart), math.inf, apart).max(initial=0.0))
