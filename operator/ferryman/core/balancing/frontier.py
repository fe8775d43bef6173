"""Pareto frontiers of (latency, cost), and how they merge in series and in parallel.

A frontier holds, of all ways to run a part of a pipeline, those that no other undercuts in both.
One after the other, two parts add up both latencies and costs; beside each other, the longer
latency counts and both costs. A way that is not on a part's frontier can be on no frontier of the
whole, so that merging loses nothing (the argument of dynamic programming on series-parallel
graphs; Valdes, Tarjan and Lawler, SIAM J. Comput. 11, 1982, on what these are).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

#: A frontier of more points is thinned, and says what that may cost.
MOST_POINTS: Final = 1_000
_NOTHING: Final = np.zeros(1, dtype=np.float64)


@dataclass(frozen=True, slots=True, eq=False)
class Frontier:
    """Latencies that ascend, and costs that descend."""

    latencies_s: Floats
    costs: Floats
    name: str | None = None
    """The step whose options these are; None for a merged frontier, and for nothing at all."""
    picks: tuple[Integers, ...] = ()
    """Of each point: the option of the step, or the point of each part."""
    parts: "tuple[Frontier, ...]" = ()
    loss: float = 1.0
    """The best of it costs at most so many times what the best of all ways does."""

    @classmethod
    def of_options(
        cls, name: str, latencies_s: Sequence[float], costs: Sequence[float]
    ) -> "Frontier":
        """Return the frontier of a step's options; there must be at least one."""
        seconds, prices = np.array(latencies_s), np.array(costs)
        kept = _undominated(seconds, prices)
        return cls(seconds[kept], prices[kept], name, (kept,))

    def cost_within(self, seconds: float) -> float:
        """Return the least cost of a latency up to one; infinite where there is none."""
        last = int(np.searchsorted(self.latencies_s, seconds, side="right")) - 1
        return float(self.costs[last]) if last >= 0 else float("inf")

    def choices(self, point: int) -> dict[str, int]:
        """Return the option of each step that makes a point."""
        if self.name is not None:
            return {self.name: int(self.picks[0][point])}
        chosen: dict[str, int] = {}
        for part, picks in zip(self.parts, self.picks, strict=True):
            chosen |= part.choices(int(picks[point]))
        return chosen


#: What neither takes time nor costs anything: an edge from one step to another.
NOTHING: Final = Frontier(_NOTHING, _NOTHING)


def in_series(one: Frontier, other: Frontier) -> Frontier:
    """Return the frontier of one part after the other."""
    if _is_nothing(one):
        return other
    if _is_nothing(other):
        return one
    seconds = np.add.outer(one.latencies_s, other.latencies_s).ravel()
    costs = np.add.outer(one.costs, other.costs).ravel()
    kept = _undominated(seconds, costs)
    left, right = np.divmod(kept, other.costs.size)
    return _thinned(_merged(one, other, (left, right), seconds[kept]))


def in_parallel(one: Frontier, other: Frontier) -> Frontier:
    """Return the frontier of one part beside the other, each as cheap as that time lets it be."""
    least_s = max(one.latencies_s[0], other.latencies_s[0])
    seconds = np.union1d(one.latencies_s, other.latencies_s)
    seconds = seconds[seconds >= least_s]
    left = np.searchsorted(one.latencies_s, seconds, side="right") - 1
    right = np.searchsorted(other.latencies_s, seconds, side="right") - 1
    kept = _undominated(seconds, one.costs[left] + other.costs[right])
    return _thinned(_merged(one, other, (left[kept], right[kept]), seconds[kept]))


def _is_nothing(frontier: Frontier) -> bool:
    return frontier.name is None and not frontier.parts


def _merged(
    one: Frontier, other: Frontier, picks: tuple[Integers, Integers], seconds: Floats
) -> Frontier:
    left, right = picks
    return Frontier(
        seconds,
        one.costs[left] + other.costs[right],
        picks=(left, right),
        parts=(one, other),
        loss=max(one.loss, other.loss),
    )


def _undominated(latencies_s: Floats, costs: Floats) -> Integers:
    """Return the positions of those that no other undercuts in both, by ascending latency."""
    order = np.lexsort((costs, latencies_s))
    sorted_costs = costs[order]
    before = np.concatenate(([np.inf], np.minimum.accumulate(sorted_costs)[:-1]))
    kept: Integers = order[sorted_costs < before]
    return kept


def _thinned(frontier: Frontier) -> Frontier:
    """Return the frontier with at most so many points, the first and the last among them.

    Whoever would have taken one that is left out takes the next quicker one, which costs more
    by the ratio of both at most.
    """
    count = frontier.costs.size
    if count <= MOST_POINTS:
        return frontier
    kept = np.linspace(0, count - 1, MOST_POINTS).astype(np.int64)
    costs = frontier.costs
    worst = float((costs[kept[:-1]] / costs[kept[1:] - 1]).max())
    return Frontier(
        frontier.latencies_s[kept],
        costs[kept],
        picks=tuple(picks[kept] for picks in frontier.picks),
        parts=frontier.parts,
        loss=frontier.loss * worst,
    )
