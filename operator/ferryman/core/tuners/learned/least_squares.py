"""Linear least squares whose last bit does not depend on the processor.

BLAS and LAPACK choose their kernels by processor, and with them the order of additions. One last
bit is enough for another batching to win among equals, after which two runs of one simulation go
different ways. So the few columns that there are here are made orthogonal by plain sums.
"""

from collections.abc import Sequence
from math import sqrt
from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

#: A column of which less than this share is left without the others is a sum of them.
DEPENDENT: Final = 1e-11


def solve(columns: Sequence[Floats], wanted: Floats) -> tuple[float, ...] | None:
    """Return the coefficients of the columns whose sum is nearest to what is wanted.

    None where one column is a sum of others, so that nothing tells their coefficients apart.
    Modified Gram-Schmidt, with what is wanted as the last column, which makes it backward stable
    (Björck, Numerical Methods for Least Squares Problems, 1996, section 2.4.4).
    """
    units: list[Floats] = []
    rows: list[list[float]] = []
    for column in columns:
        rest, shares = _without(column, units)
        length = sqrt(_dot(rest, rest))
        if length <= DEPENDENT * sqrt(_dot(column, column)):
            return None
        units.append(rest / length)
        rows.append([*shares, length])
    _, right = _without(wanted, units)
    return _back_substituted(rows, right)


def _without(column: Floats, units: Sequence[Floats]) -> tuple[Floats, list[float]]:
    """Return what is left of a column without its parts along unit vectors, and these parts."""
    rest, shares = column, []
    for unit in units:
        shares.append(_dot(unit, rest))
        rest = rest - shares[-1] * unit
    return rest, shares


def _dot(one: Floats, other: Floats) -> float:
    return float((one * other).sum())


def _back_substituted(rows: Sequence[Sequence[float]], right: Sequence[float]) -> tuple[float, ...]:
    """Solve for the coefficients; ``rows[k]`` is column k of the triangle."""
    found = list(right)
    for place in reversed(range(len(rows))):
        found[place] /= rows[place][place]
        for above in range(place):
            found[above] -= rows[place][above] * found[place]
    return tuple(found)
