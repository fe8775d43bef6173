"""How long a batch takes: the service time curve tau(b), learned from what Triton counted.

Triton counts executions and compute time for each executed batch size, so that every window
shows points of the curve for free. They are kept per number of instances, because instances of
one pod share a processor. Between and beyond the points the curve is

    tau(b) = t0 + a·b + g·b²,   t0, a, g >= 0,

fitted by least squares on relative errors, weighted by executions; near the points it is bent
to what was seen, so that stairs and knees that no parabola has are not lost.

Times are in milliseconds.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from itertools import combinations
from math import ceil, inf, log
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ferryman.core.tuners.learned import least_squares

Floats = NDArray[np.float64]

#: What one window takes off the weight of everything seen before.
DECAY: Final = 0.8
#: With so many executions what they took is believed half, against the curve.
HALF_BELIEVED: Final = 4.0
#: So many executions of a size keep their weight: a model that has come to run a few sizes only,
#: beyond a knee perhaps, must not forget what the others cost, nor that there is a knee.
KEPT_WEIGHT: Final = 4 * HALF_BELIEVED
#: A size that was not seen before is a surprise already if it was run a few times.
HALF_SURPRISED: Final = 1.0
#: Sizes that are needed to tell what a batch costs from what a request adds.
SIZES_FOR_A_SHAPE: Final = 2
#: A straight line that is off by no more than this, on average, is straight enough.
STRAIGHT: Final = 0.02
#: Parabolas that differ by no more in how far they are off, on average, are equally good.
SAME: Final = 1e-6
#: A point that is further than this from the best parabola lies beyond a knee.
KNEE: Final = 0.3
#: So far on the way from one size that was run to the next, by ratio, the curve is bent as at the
#: lower one: a bound beyond a knee costs far more than one that is too far below it.
EDGE: Final = 0.25
#: Groups of sizes, of equally many executions, in which the curve is held against the points.
GROUPS: Final = 3
#: What is feared of sizes beyond all that were run: so many times what the largest took …
FEARED_STAIR: Final = 3.0
#: … or this power of how many times as large they are.
FEARED_GROWTH: Final = 2.0
#: No service time is shorter.
LEAST_MS: Final = 1e-6
#: Terms of a parabola, those of fewest and lowest powers first.
_SUBSETS: Final = tuple(chosen for count in (1, 2, 3) for chosen in combinations(range(3), count))


@dataclass(frozen=True, slots=True)
class ServiceTimePoint:
    """What was seen of one batch size: its decayed executions and their mean time."""

    weight: float
    mean_ms: float

    def plus(self, count: int, mean_ms: float) -> "ServiceTimePoint":
        """Return the point after more executions."""
        weight = self.weight + count
        return ServiceTimePoint(weight, (self.weight * self.mean_ms + count * mean_ms) / weight)

    def aged(self) -> "ServiceTimePoint":
        """Return the point one window later."""
        return replace(self, weight=max(self.kept_weight, self.weight * DECAY))

    @property
    def kept_weight(self) -> float:
        """The weight that neither time nor a drift takes."""
        return min(self.weight, KEPT_WEIGHT)


Points = Mapping[int, ServiceTimePoint]
#: Executed batch size -> (executions, mean compute time in ms), as in ``Window``.
Counts = Mapping[int, tuple[int, float]]


@dataclass(frozen=True, slots=True)
class Parabola:
    """tau(b) = t0 + a·b + g·b² in milliseconds."""

    t0: float
    a: float
    g: float

    def at(self, sizes: Floats) -> Floats:
        """Return tau of each size, never 0."""
        return np.maximum(self.t0 + self.a * sizes + self.g * sizes**2, LEAST_MS)


@dataclass(frozen=True, slots=True)
class ServiceTimes:
    """Everything that was seen, by the number of instances that shared the processor."""

    points: Mapping[int, Points] = field(default_factory=dict)

    def with_window(self, instances: int, counts: Counts) -> "ServiceTimes":
        """Return this with one more window, in which so many instances ran these batches."""
        aged = {size: point.aged() for size, point in self.points.get(instances, {}).items()}
        for size, (count, mean_ms) in counts.items():
            if count > 0 and mean_ms > 0:
                known = aged.get(size)
                aged[size] = (
                    ServiceTimePoint(count, mean_ms)
                    if known is None
                    else known.plus(count, mean_ms)
                )
        return ServiceTimes({**self.points, instances: aged}) if aged else self

    def scaled(self, factor: float) -> "ServiceTimes":
        """Return this with all times so many times as long, and of the same shape."""
        return self._with_each(
            lambda point: ServiceTimePoint(point.kept_weight, point.mean_ms * factor)
        )

    def as_prior(self) -> "ServiceTimes":
        """Return this as what is known of elsewhere: believed half."""
        return self._with_each(
            lambda point: ServiceTimePoint(min(point.weight, HALF_BELIEVED), point.mean_ms)
        )

    def _with_each(self, change: Callable[[ServiceTimePoint], ServiceTimePoint]) -> "ServiceTimes":
        return ServiceTimes(
            {
                instances: {size: change(point) for size, point in points.items()}
                for instances, points in self.points.items()
            }
        )

    @property
    def sizes(self) -> frozenset[int]:
        """The batch sizes that were ever seen."""
        return frozenset(size for points in self.points.values() for size in points)

    @property
    def has_shape(self) -> bool:
        """Whether some number of instances ran enough different sizes to tell a shape."""
        return any(len(points) >= SIZES_FOR_A_SHAPE for points in self.points.values())

    def curve_ms(self, instances: int, bound: int) -> tuple[float, ...]:
        """Return tau(1), …, tau(bound) with so many instances. Raises ValueError without points.

        A change in place and one window show whether what was seen with another number of
        instances is true of this one.
        """
        if not self.points:
            raise ValueError("no batch has been seen yet")
        sizes = np.arange(1, bound + 1, dtype=np.float64)
        return _tuple(_curve(self.known(instances), sizes))

    def known(self, instances: int) -> Points:
        """Return what was seen with so many instances, and of other sizes what was with others.

        That of the nearest number, scaled; beside points of its own it is believed little.
        """
        own = self.points.get(instances, {})
        known: dict[int, ServiceTimePoint] = {}
        others = self.points.keys() - {instances}
        for other in sorted(others, key=lambda n: (abs(n - instances), n), reverse=True):
            factor = self._slowdown(other, instances)
            for size, point in self.points[other].items():
                weight = point.kept_weight if own else point.weight
                known[size] = ServiceTimePoint(weight, point.mean_ms * factor)
        return {**known, **own}

    def _slowdown(self, before: int, after: int) -> float:
        """Return how much longer batches take with so many instances than with so many before.

        As sizes tell that both ran. Else by the power of the ratio that other numbers tell: 0 where
        each has a processor of its own, and where nothing is told; 1 where all share one.
        """
        for one, other in ((before, after), *combinations(sorted(self.points), 2)):
            ratio = _ratio(self.points.get(other, {}), self.points.get(one, {}))
            if ratio is not None:
                power = log(ratio) / log(other / one)
                return float((after / before) ** min(max(power, 0.0), 1.0))
        return 1.0

    def feared_ms(self, instances: int, bound: int) -> tuple[float, ...]:
        """Return what tau(1), …, tau(bound) may be at worst. Raises ValueError without points.

        Between two sizes that were run a batch takes at most as long as the larger one. Beyond
        the largest nobody knows: a stair may follow at once, or a knee.
        """
        expected = self.curve_ms(instances, bound)
        ran = sorted(self.points.get(instances, {}))
        if not ran:
            ran = sorted(self.points[self._richest(instances)])
        largest = ran[-1]
        sizes = np.arange(1, bound + 1, dtype=np.float64)
        full = np.array(self.curve_ms(instances, max(bound, largest)))
        upper = np.array(ran)[np.minimum(np.searchsorted(ran, sizes), len(ran) - 1)]
        within = full[upper - 1]
        beyond = full[largest - 1] * np.maximum(FEARED_STAIR, (sizes / largest) ** FEARED_GROWTH)
        feared = np.where(sizes <= largest, within, beyond)
        return _tuple(np.maximum(feared, np.array(expected)))

    def _richest(self, instances: int) -> int:
        """Return the instances of which most sizes were seen; the nearest of equals."""
        return min(self.points, key=lambda n: (-len(self.points[n]), abs(n - instances)))

    def error(self, instances: int, counts: Counts) -> float | None:
        """Return the mean signed log ratio of what a window showed to the curve, by executions.

        Of sizes that were seen before, and of these no more executions than what is known of them
        rests on: of others the curve was a guess. None where there are none. 0.1 means that
        batches took about 10 % longer.
        """
        own = self.points.get(instances, {})
        seen = {
            size: (min(count, ceil(own[size].weight)), ms)
            for size, (count, ms) in counts.items()
            if size in own
        }
        return self._error(instances, seen, HALF_BELIEVED)

    def surprise(self, instances: int, counts: Counts, *, above: int, upto: int) -> float:
        """Return the same of sizes in a range that were not seen before: how wrong the guess was.

        0 where there are none.
        """
        own = self.points.get(instances, {})
        new = {size: counts[size] for size in counts if above < size <= upto and size not in own}
        return self._error(instances, new, HALF_SURPRISED) or 0.0

    def _error(self, instances: int, counts: Counts, half_believed: float) -> float | None:
        told = self._log_ratios(instances, counts)
        if told is None:
            return None
        ratios, weights = told
        executions = float(weights.sum())
        believed = executions / (executions + half_believed)
        return believed * float(np.average(ratios, weights=weights))

    def _log_ratios(self, instances: int, counts: Counts) -> tuple[Floats, Floats] | None:
        """Return by size, ascending, the log ratio of what was seen to the curve, and how often.

        None where there is nothing to compare.
        """
        told = sorted((size, n, ms) for size, (n, ms) in counts.items() if n > 0 and ms > 0)
        if not told or not self.points:
            return None
        curve = self.curve_ms(instances, told[-1][0])
        ratios = np.array([log(ms / curve[size - 1]) for size, _, ms in told])
        return ratios, np.array([float(n) for _, n, _ in told])

    def misfit(self, instances: int) -> float:
        """Return by how much the curve is off, systematically; 0 without points.

        The mean relative distance of the points in each of a few groups of neighbouring sizes,
        with its sign, and the mean of these without it, each believed by its executions: single
        batches may take any time, as long as the curve goes through the middle of them.
        """
        own = self.points.get(instances, {})
        if not own:
            return 0.0
        sizes = sorted(own)
        curve = self.curve_ms(instances, sizes[-1])
        weights = np.array([own[size].weight for size in sizes])
        errors = np.array([curve[size - 1] / own[size].mean_ms - 1 for size in sizes])
        return _systematic(errors, weights)

    def unevenness(self, instances: int, counts: Counts) -> float:
        """Return by how much a window is off from the curve otherwise than as a whole.

        The mean log ratio in each of a few groups of neighbouring sizes, less that of all, and
        the mean of these without their signs, believed as for ``misfit``; 0 without executions.
        """
        told = self._log_ratios(instances, counts)
        if told is None:
            return 0.0
        ratios, weights = told
        return _systematic(ratios - np.average(ratios, weights=weights), weights)


def _systematic(errors: Floats, weights: Floats) -> float:
    """Return the mean size of the mean errors of a few groups of equal weight, in this order.

    Each is believed by its weight.
    """
    shares = (np.cumsum(weights) - weights / 2) / weights.sum()
    groups = (shares * GROUPS).astype(np.int64)
    sums = np.bincount(groups, weights=weights * errors, minlength=GROUPS)
    runs = np.bincount(groups, weights=weights, minlength=GROUPS)
    believed = runs / (runs + HALF_BELIEVED)
    return float((np.abs(sums) * believed).sum() / weights.sum())


def fit(points: Points) -> Parabola:
    """Return the parabola with the least weighted squares of relative errors.

    A straight line, t0 + a·b, if it is nearly as good: noise in small batches must not decide
    what large ones cost. Otherwise non-negative least squares over the three terms, solved
    exactly: the best of the unconstrained solutions over all subsets of terms that has no
    negative coefficient (Lawson and Hanson, Solving Least Squares Problems, 1974, ch. 23: the
    solution is one of them). From a single size nothing tells the terms apart: then every
    request costs the same, which promises nothing of larger batches. Raises ValueError without
    points.
    """
    if not points:
        raise ValueError("no batch has been seen yet")
    sizes = np.array(list(points), dtype=np.float64)
    means = np.array([point.mean_ms for point in points.values()])
    weights = np.sqrt([point.weight for point in points.values()])
    terms = np.stack([np.ones_like(sizes), sizes, sizes**2], axis=1) * (weights / means)[:, None]
    if len(points) < SIZES_FOR_A_SHAPE:
        return _solve(terms, weights, (1,)).parabola
    line = _solve(terms, weights, (0, 1))
    if line.error <= STRAIGHT**2 * float((weights**2).sum()):
        return line.parabola
    found = [_solve(terms, weights, chosen) for chosen in _SUBSETS]
    # Two sizes are met by several parabolas exactly: the simplest, not that of the last bit.
    enough = min(each.error for each in found) + SAME**2 * float((weights**2).sum())
    return next(each.parabola for each in found if each.error <= enough)


@dataclass(frozen=True, slots=True)
class _Solution:
    parabola: Parabola
    error: float
    """Weighted squares of the relative errors; infinite where a coefficient is negative."""


def _solve(terms: Floats, wanted: Floats, chosen: tuple[int, ...]) -> _Solution:
    solution = least_squares.solve([terms[:, each] for each in chosen], wanted)
    coefficients = np.zeros(3)
    if solution is not None:
        coefficients[list(chosen)] = solution
    valid = coefficients.min() >= 0 and coefficients.max() > 0
    error = float(np.sum(((terms * coefficients).sum(axis=1) - wanted) ** 2)) if valid else inf
    t0, a, g = coefficients.tolist()
    return _Solution(Parabola(t0, a, g), error)


def _curve(points: Points, sizes: Floats) -> Floats:
    """Return the parabola, bent towards what was seen of each size."""
    parabola = fit(_below_knee(points))
    known = sorted(points)
    fitted = parabola.at(np.array(known, dtype=np.float64))
    bends = [_bend(points[size], at) for size, at in zip(known, fitted.tolist(), strict=True)]
    # One point's bend or the other's: between two points lies a knee or nothing, and half a knee
    # would hide the sizes below it.
    lower, upper = np.array(known[:-1], dtype=np.float64), np.array(known[1:])
    edges = lower * (upper / lower) ** EDGE
    nearest = np.searchsorted(edges, sizes, side="left")
    curve: Floats = parabola.at(sizes) * np.array(bends)[nearest]
    return curve


def _below_knee(points: Points) -> Points:
    """Return the points of the smallest sizes that one parabola describes, by bisection.

    Beyond a knee batches follow another law: they must not bend the curve below it.
    """
    ordered = sorted(points.items())
    fits, most = min(SIZES_FOR_A_SHAPE, len(ordered)), len(ordered)
    while fits < most:
        middle = (fits + most + 1) // 2
        if _worst(dict(ordered[:middle])) <= KNEE:
            fits = middle
        else:
            most = middle - 1
    return dict(ordered[:fits])


def _worst(points: Points) -> float:
    """Return the largest relative distance from the best parabola, believed by its executions."""
    fitted = fit(points).at(np.array(list(points), dtype=np.float64))
    means = np.array([point.mean_ms for point in points.values()])
    believed = np.array([_believed(point) for point in points.values()])
    return float((np.abs(fitted / means - 1) * believed).max())


def _believed(point: ServiceTimePoint) -> float:
    """Return how far what was seen of a size is believed against the curve, from 0 to 1."""
    return point.weight / (point.weight + HALF_BELIEVED)


def _bend(point: ServiceTimePoint, fitted_ms: float) -> float:
    return 1 + _believed(point) * (point.mean_ms / fitted_ms - 1)


def _ratio(own: Points, other: Points) -> float | None:
    """Return how much longer batches take here than there, by sizes that ran in both, if any."""
    common = own.keys() & other.keys()
    if not common:
        return None
    ratios = [own[size].mean_ms / other[size].mean_ms for size in common]
    weights = [min(own[size].weight, other[size].weight) for size in common]
    return float(np.average(ratios, weights=weights))


def _tuple(curve: Floats) -> tuple[float, ...]:
    return tuple(curve.tolist())
