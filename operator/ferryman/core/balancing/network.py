"""A pipeline as a network of frontiers from its source to its sink, as small as it can be made.

Each step is an edge with its options, each "reads" an edge that costs nothing. Edges in series
and in parallel are merged until none are left: a series-parallel pipeline ends as a single edge.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce

from ferryman.core.balancing.frontier import NOTHING, Frontier, in_parallel, in_series

SOURCE, SINK = -2, -1


@dataclass(frozen=True, slots=True)
class Edge:
    """A part of the pipeline between two points of it."""

    tail: int
    head: int
    frontier: Frontier


def reduced(
    after: Mapping[str, Sequence[str]], frontiers: Mapping[str, Frontier]
) -> tuple[Edge, ...]:
    """Return the network of a pipeline, reduced, its edges in topological order of their tails.

    ``after`` names of each step those that it reads, which come before it. Raises ValueError
    where one does not.
    """
    edges = _parallel_merged(_network(after, frontiers))
    while (node := _passed_through(edges)) is not None:
        edges = _parallel_merged(_series_merged(edges, node))
    return tuple(sorted(edges, key=lambda edge: edge.tail))


def _network(after: Mapping[str, Sequence[str]], frontiers: Mapping[str, Frontier]) -> list[Edge]:
    places = {name: position for position, name in enumerate(after)}
    edges, read = [], {each for sources in after.values() for each in sources}
    for name, sources in after.items():
        begins, ends = 2 * places[name], 2 * places[name] + 1
        edges.append(Edge(begins, ends, frontiers[name]))
        if any(places.get(source, ends) >= places[name] for source in sources):
            raise ValueError(f"{name} reads a step that does not come before it")
        tails = [2 * places[source] + 1 for source in sources] or [SOURCE]
        edges += [Edge(tail, begins, NOTHING) for tail in tails]
        if name not in read:
            edges.append(Edge(ends, SINK, NOTHING))
    return edges


def _parallel_merged(edges: Sequence[Edge]) -> list[Edge]:
    between: dict[tuple[int, int], list[Frontier]] = {}
    for edge in edges:
        between.setdefault((edge.tail, edge.head), []).append(edge.frontier)
    return [
        Edge(tail, head, reduce(in_parallel, frontiers))
        for (tail, head), frontiers in between.items()
    ]


def _passed_through(edges: Sequence[Edge]) -> int | None:
    """Return a point with one way in and one way out, if there is one."""
    into = [edge.head for edge in edges]
    out = [edge.tail for edge in edges]
    return next(
        (node for node in out if node != SOURCE and into.count(node) == out.count(node) == 1), None
    )


def _series_merged(edges: Sequence[Edge], node: int) -> list[Edge]:
    first = next(edge for edge in edges if edge.head == node)
    second = next(edge for edge in edges if edge.tail == node)
    merged = Edge(first.tail, second.head, in_series(first.frontier, second.frontier))
    return [*(edge for edge in edges if edge not in (first, second)), merged]
