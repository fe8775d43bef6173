"""The cheapest way through a network that is not series-parallel, by branch and bound.

Edges get their points one after the other, from the source on. What the open ones must cost at
least is a sum over chains of them: the network is dealt out into paths without a common edge,
and the rest of each path has a merged frontier, of which the time that is left takes a point.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import inf
from typing import Final

from ferryman.core.balancing.frontier import NOTHING, Frontier, in_series
from ferryman.core.balancing.network import SINK, SOURCE, Edge

#: So many partial choices are looked at; then the best that was found counts.
MOST_NODES: Final = 20_000
#: Sums of seconds and costs may be off by so much through rounding.
ROUNDING: Final = 1e-9


@dataclass(frozen=True, slots=True)
class Way:
    """A point of each edge."""

    points: tuple[int, ...]
    cost: float
    at_least: float
    """No way costs less."""


@dataclass(frozen=True, slots=True)
class _Chain:
    """A path of the network; the rest of it from each of its edges on."""

    edges: tuple[int, ...]
    rests: tuple[Frontier, ...]


def cheapest(edges: Sequence[Edge], within_s: float) -> Way | None:
    """Return the cheapest way whose longest path takes so long at most; None if there is none.

    The edges must be in topological order of their tails.
    """
    search = _Search(edges, within_s * (1 + ROUNDING))
    if search.times([])[SINK] > search.within_s:
        return None
    search.descend()
    at_least = search.bound([])
    search.branch([], 0.0)
    complete = search.looked_at < MOST_NODES
    return Way(tuple(search.best), search.best_cost, search.best_cost if complete else at_least)


@dataclass(slots=True)
class _Search:
    edges: Sequence[Edge]
    within_s: float
    best: list[int] = field(default_factory=list)
    best_cost: float = inf
    looked_at: int = 0
    latencies_s: list[list[float]] = field(init=False)
    costs: list[list[float]] = field(init=False)
    tails_s: dict[int, float] = field(init=False)
    """The least time from each point to the sink."""
    chains: tuple[_Chain, ...] = field(init=False)

    def __post_init__(self) -> None:
        self.latencies_s = [edge.frontier.latencies_s.tolist() for edge in self.edges]
        self.costs = [edge.frontier.costs.tolist() for edge in self.edges]
        self.tails_s = {SINK: 0.0}
        for edge, seconds in zip(reversed(self.edges), reversed(self.latencies_s), strict=True):
            left_s = seconds[0] + self.tails_s[edge.head]
            self.tails_s[edge.tail] = max(left_s, self.tails_s.get(edge.tail, 0.0))
        self.chains = tuple(_chains(self.edges))

    def times(self, points: Sequence[int]) -> dict[int, float]:
        """Return when each point is reached, where open edges are as quick as they can be."""
        times = {SOURCE: 0.0}
        for number, edge in enumerate(self.edges):
            point = points[number] if number < len(points) else 0
            at_s = times[edge.tail] + self.latencies_s[number][point]
            if at_s > times.get(edge.head, -1.0):
                times[edge.head] = at_s
        return times

    def bound(self, points: Sequence[int]) -> float:
        """Return what the open edges must cost at least."""
        times, decided, total = self.times(points), len(points), 0.0
        for chain in self.chains:
            for place, number in enumerate(chain.edges):
                if number >= decided:
                    last = self.edges[chain.edges[-1]].head
                    left_s = self.within_s - times[self.edges[number].tail] - self.tails_s[last]
                    total += chain.rests[place].cost_within(left_s)
                    break
        return total

    def descend(self) -> None:
        """Find a good way: from the quickest on, take the step that saves most per second."""
        points = [0] * len(self.edges)
        while (number := self._best_saving(points)) is not None:
            points[number] += 1
        self.best = points
        self.best_cost = sum(costs[point] for costs, point in zip(self.costs, points, strict=True))

    def _best_saving(self, points: list[int]) -> int | None:
        found, most = None, 0.0
        for number, (costs, seconds) in enumerate(zip(self.costs, self.latencies_s, strict=True)):
            point = points[number]
            if point + 1 == len(costs):
                continue
            slower = [*points[:number], point + 1, *points[number + 1 :]]
            saved = (costs[point] - costs[point + 1]) / (seconds[point + 1] - seconds[point])
            if saved > most and self.times(slower)[SINK] <= self.within_s:
                found, most = number, saved
        return found

    def branch(self, points: list[int], spent: float) -> None:
        """Look at all ways that begin with these points and may be cheaper than the best."""
        number = len(points)
        if number == len(self.edges):
            self.best, self.best_cost = points, spent
            return
        edge = self.edges[number]
        left_s = self.within_s - self.times(points)[edge.tail] - self.tails_s[edge.head]
        options = [
            (spent + cost + self.bound([*points, point]), spent + cost, point)
            for point, cost in enumerate(self.costs[number])
            if self.latencies_s[number][point] <= left_s
        ]
        for at_least, spent_then, point in sorted(options):
            self.looked_at += 1
            if at_least >= self.best_cost * (1 - ROUNDING) or self.looked_at >= MOST_NODES:
                return
            self.branch([*points, point], spent_then)


def _chains(edges: Sequence[Edge]) -> "list[_Chain]":
    """Deal the edges out to paths, the one with most to save first."""
    open_edges, chains = set(range(len(edges))), []
    while open_edges:
        numbers = _richest_path(edges, open_edges)
        open_edges -= set(numbers)
        rests: list[Frontier] = []
        rest = NOTHING
        for number in reversed(numbers):
            rest = in_series(edges[number].frontier, rest)
            rests.append(rest)
        chains.append(_Chain(tuple(numbers), tuple(reversed(rests))))
    return chains


def _richest_path(edges: Sequence[Edge], open_edges: set[int]) -> list[int]:
    """Return the path of open edges along which costs differ most."""
    best: dict[int, tuple[float, list[int]]] = {}
    for number in sorted(open_edges, reverse=True):
        costs = edges[number].frontier.costs
        worth, path = best.get(edges[number].head, (0.0, []))
        worth += float(costs[0] - costs[-1])
        if edges[number].tail not in best or worth > best[edges[number].tail][0]:
            best[edges[number].tail] = (worth, [number, *path])
    return max(best.values(), key=lambda found: (found[0], len(found[1])))[1]
