"""Which bound to try where nothing that is known, or expected, serves what is asked.

Between two sizes that were run, and beyond the largest, nobody knows what a batch takes: not
less than the smaller one. What that allows at best is *hoped*. Where hardly a request is in time
nothing is lost by finding out: of the bounds that may lead to enough the most promising one is
tried. Each attempt leaves less to hope for, so that they end.
"""

from collections.abc import Mapping
from itertools import pairwise
from math import ceil, sqrt
from typing import Final

from ferryman.core.tuners.guarded.reach import GROWTH, Reach
from ferryman.core.tuners.learned.service_time import ServiceTimePoint

#: Between sizes that are closer than this, by ratio, nothing is looked for.
CLOSE: Final = 1.3
#: So much more than the most efficient size serves must be hoped of a bound.
WORTH_TRYING: Final = 1.2
#: A size that is this near to the best efficiency may be followed by a better one.
STILL_RISING: Final = 0.9
#: From a size that is too large, no further down than by this factor at once.
DOWN: Final = 2.0
_MS_PER_S: Final = 1e3


def hopeful(
    points: Mapping[int, ServiceTimePoint], reach: Reach, demand_per_s: float, instances: int
) -> int | None:
    """Return the bound to try, or None: of those that may lead to enough the most promising one."""
    sizes = sorted(points)
    served = {size: size / points[size].mean_ms for size in sizes}
    demand = demand_per_s / instances / _MS_PER_S
    hopes = {**_between(sizes, served, demand), **_beyond(sizes, served, reach)}
    best = WORTH_TRYING * max(served.values(), default=0.0)
    enough = max(best, demand)
    expected = {
        bound: guess
        for bound, (guess, hope) in hopes.items()
        if hope >= enough and bound <= reach.largest_bound
    }
    return max(expected, key=lambda bound: expected[bound], default=None)


def refuge(
    points: Mapping[int, ServiceTimePoint], reach: Reach, demand_per_s: float, instances: int
) -> int | None:
    """Return the size that served most, if that is enough; else the bound to try, if any."""
    run = {size: size / points[size].mean_ms for size in points if size <= reach.largest_bound}
    best = max(run, key=lambda size: run[size], default=None)
    if best is not None and run[best] * _MS_PER_S * instances > demand_per_s:
        return best
    hoped = hopeful(points, reach, demand_per_s, instances)
    return best if hoped is None else hoped


def rising(points: Mapping[int, ServiceTimePoint]) -> bool:
    """Whether the largest size that was run is about the most efficient, as larger ones may be."""
    served = {size: size / point.mean_ms for size, point in points.items()}
    return not served or served[max(served)] >= STILL_RISING * max(served.values())


def _beyond(
    sizes: list[int], served: Mapping[int, float], reach: Reach
) -> dict[int, tuple[float, float]]:
    """Return what is expected and hoped of a bound beyond all that was run."""
    if not sizes:
        return {}
    largest = sizes[-1]
    bound = min(GROWTH * largest, reach.largest_bound)
    if bound <= largest or served[largest] < STILL_RISING * max(served.values()):
        return {}
    hope = served[largest] * bound / largest
    return {bound: (sqrt(served[largest] * hope), hope)}


def _between(
    sizes: list[int], served: Mapping[int, float], demand: float
) -> dict[int, tuple[float, float]]:
    """Return the same of bounds between sizes that were run, where these lie apart.

    A batch takes as long as the smaller one at best, as the larger at worst, and is expected to
    take their geometric mean. What could not serve the ``demand``, in requests per millisecond,
    even at best is not tried.
    """
    hopes: dict[int, tuple[float, float]] = {}
    for lower, upper in pairwise(sizes):
        least = max(lower, min(demand / served[lower] * lower, upper - 1))
        bound = ceil(max(sqrt(least * upper), upper / DOWN))
        if upper >= CLOSE * lower and lower < bound < upper:
            hope = served[lower] * (upper - 1) / lower
            like_lower, like_upper = served[lower] * bound / lower, served[upper] * bound / upper
            hopes[bound] = sqrt(like_lower * like_upper), hope
    return hopes
