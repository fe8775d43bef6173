"""The confidence interval of a mean of few rounds, and when it is narrow enough to stop.

With n rounds of mean m and sample standard deviation s, the interval is m ± t·s/√n, where t is
the 97.5 % quantile of Student's t distribution with n - 1 degrees of freedom: Student, "The
probable error of a mean", Biometrika 6 (1908). Rounds count as independent and about normal;
each is itself a mean of many requests. Looking at the interval after every round and stopping at
the first narrow one makes it cover a little less than 95 %: it tells noise from difference, and
is no guarantee.
"""

from collections.abc import Sequence
from math import sqrt
from statistics import fmean, stdev
from typing import Final

#: Fewer rounds may agree by accident.
LEAST_ROUNDS: Final = 3
#: Only so many rounds count, the last ones: what a processor did before it was warm is forgotten.
LAST_ROUNDS: Final = 10
#: Half the interval's width, as a share of the mean, at which no more rounds are needed.
NARROW: Final = 0.05
#: 97.5 % quantiles of Student's t for 1, 2, … degrees of freedom (unit-tested against SciPy,
#: which the benchmark's client does without for the sake of its memory).
T_QUANTILES: Final = (
    12.706204736,
    4.302652730,
    3.182446305,
    2.776445105,
    2.570581836,
    2.446911851,
    2.364624252,
    2.306004135,
    2.262157163,
)


def half_width(values: Sequence[float]) -> float | None:
    """Return half the width of the mean's 95 % interval, in the values' unit; None for one value.

    Raises ValueError for more than LAST_ROUNDS values.
    """
    if len(values) > LAST_ROUNDS:
        raise ValueError(f"{len(values)} values, more than {LAST_ROUNDS}")
    if len(values) < 2:  # noqa: PLR2004  one value has no spread
        return None
    return T_QUANTILES[len(values) - 2] * stdev(values) / sqrt(len(values))


def is_narrow(values: Sequence[float]) -> bool:
    """Say whether the last rounds' mean is known well enough: within 5 %, from three or more."""
    last = values[-LAST_ROUNDS:]
    width = half_width(last)
    return width is not None and len(last) >= LEAST_ROUNDS and width <= NARROW * fmean(last)
