"""Service times that servers show, at random: the shapes of the family's models.

Each shape is a function from batch sizes to times, relative to that of a batch of one. What is
drawn from a range of ratios is drawn from their logarithms, so that small ones are as likely as
large ones.
"""

from collections.abc import Callable, Mapping
from typing import Final

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Shape = Callable[[Floats, int, Generator], Floats]

#: What one more request costs, by what every batch costs.
_SLOPES: Final = (0.005, 0.3)
_STAIR_WIDTHS: Final = (4, 8, 16, 32)


def of_ratios(generator: Generator, least: float, most: float) -> float:
    """Draw a number whose logarithm is uniform."""
    return float(np.exp(generator.uniform(np.log(least), np.log(most))))


def linear(sizes: Floats, largest: int, generator: Generator) -> Floats:
    """Return t0 + a·b: each request adds the same."""
    del largest
    return 1 + of_ratios(generator, *_SLOPES) * sizes


def convex(sizes: Floats, largest: int, generator: Generator) -> Floats:
    """Return t0 + a·b + g·b²: a processor that large batches overrun.

    The most efficient size, sqrt(t0 / g), lies between 8 and the largest.
    """
    slope = of_ratios(generator, *_SLOPES)
    best = of_ratios(generator, 8, max(9, largest))
    return 1 + slope * sizes + (sizes / best) ** 2


def stairs(sizes: Floats, largest: int, generator: Generator) -> Floats:
    """Return steps of equal width, each 3 % from edge to edge: tiles that a kernel fills."""
    del largest
    width = float(generator.choice(_STAIR_WIDTHS))
    rise = of_ratios(generator, 0.2, 4.5)
    step = (sizes - 1) // width
    return (1 + rise * step) * (1 + 0.03 * ((sizes - 1) % width) / width)


def knee(sizes: Floats, largest: int, generator: Generator) -> Floats:
    """Return a straight line that jumps at one size, and is steeper beyond it."""
    at = of_ratios(generator, 6, max(8, largest / 2))
    slope = of_ratios(generator, 0.005, 0.1)
    jump, steeper = of_ratios(generator, 1.0, 3.0), of_ratios(generator, 1.0, 20.0)
    below = 1 + slope * np.minimum(sizes, at)
    beyond = (jump - 1) * (1 + slope * at) * (sizes > at)
    return below + beyond + steeper * slope * np.maximum(sizes - at, 0)


def plateau(sizes: Floats, largest: int, generator: Generator) -> Floats:
    """Return 5 % up to one size, and beyond it one to four times what a request costs there."""
    at = of_ratios(generator, 6, max(8, largest / 2))
    each = 1.05 / at * of_ratios(generator, 1.0, 4.0)
    return 1 + 0.05 * np.minimum(sizes, at) / at + each * np.maximum(sizes - at, 0)


PURE: Final[Mapping[str, Shape]] = {
    "linear": linear,
    "convex": convex,
    "stairs": stairs,
    "knee": knee,
    "plateau": plateau,
}


def mixture(sizes: Floats, largest: int, generator: Generator) -> Floats:
    """Return two of the other shapes, each with a part of the time."""
    one, other = generator.choice(sorted(PURE), size=2, replace=False)
    part = generator.uniform(0.2, 0.8)
    first = _from_one(PURE[one](sizes, largest, generator))
    second = _from_one(PURE[other](sizes, largest, generator))
    return part * first + (1 - part) * second


#: What real models took on a real Triton, in milliseconds, by batch size: the digits classifier
#: (results/real/digits-service-time.json) and ResNet50 on two cores and on half a core
#: (results/reference-2026-11-22.json: images by images per second).
MEASURED: Final[Mapping[str, Mapping[int, float]]] = {
    "digits": {1: 0.344, 2: 0.413, 4: 0.402, 8: 0.334, 16: 0.42, 32: 0.423},
    "resnet50": {1: 57.2, 2: 101.6, 4: 215.1, 8: 389.1, 16: 755.1},
    "resnet50 on half a core": {1: 203.7, 2: 404.8, 4: 821.2, 8: 1647.4, 16: 3185.3},
}


def measured(sizes: Floats, largest: int, generator: Generator) -> Floats:
    """Return what one of a few real models took, straight between the sizes that were measured.

    Larger ones take what requests took on average between the first and the last of them.
    """
    del largest
    points = MEASURED[str(generator.choice(sorted(MEASURED)))]
    known, times = np.array(list(points)), np.maximum.accumulate(list(points.values()))
    slope = (times[-1] - times[0]) / (known[-1] - known[0])
    beyond = np.maximum(sizes - known[-1], 0) * slope
    found: Floats = np.interp(sizes, known, times) + beyond
    return found


SHAPES: Final[Mapping[str, Shape]] = {**PURE, "mixture": mixture, "measured": measured}


def draw(shape: str, largest: int, generator: Generator) -> Floats:
    """Return tau(1) = 1, tau(2), … up to the largest size."""
    sizes = np.arange(1, largest + 1, dtype=np.float64)
    return _from_one(SHAPES[shape](sizes, largest, generator))


def _from_one(times: Floats) -> Floats:
    relative: Floats = times / times[0]
    return relative


def corners(times: Floats) -> list[int]:
    """Return the sizes between which straight lines follow the times, from 1 to the largest."""
    bends = np.abs(np.diff(times, 2)) > 1e-9 * times[1:-1]
    return [1, *(np.flatnonzero(bends) + 2).tolist(), times.size]
