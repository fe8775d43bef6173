"""The problem as an integer program over single nodes: exact, and only for small problems.

For each option there is a variable that says whether it is chosen, and for each node of its type
one that counts the replicas there. What it finds fits; where it has no solution, there is none.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import inf
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import csr_matrix

from ferryman.core.fleet.problem import NodeType, Option, Placed, Problem

Floats = NDArray[np.float64]
Term = tuple[int, float]
"""A variable and its factor."""

#: More variables than this are not tried.
MAX_VARIABLES: Final = 4_000
#: The program stops when it is proved to be this close to the best.
RELATIVE_GAP: Final = 5e-4
_INFEASIBLE: Final = 2


@dataclass(frozen=True, slots=True)
class Exact:
    """What the exact program says."""

    bound: float
    """No placement of all models costs less: infinite where there is none."""
    placed: Mapping[int, Placed]
    """By model; empty where no solution was found."""


@dataclass(frozen=True, slots=True)
class _Pair:
    """An option of a model; ``first`` is its variable, those of the nodes follow."""

    model: int
    option: Option
    first: int
    nodes: int


@dataclass(frozen=True, slots=True)
class _Row:
    terms: tuple[Term, ...]
    least: float
    most: float


def variables(problem: Problem) -> int:
    """Return how many variables the program has."""
    nodes = {kind.name: len(kind.free) for kind in problem.node_types}
    options = (option for demand in problem.demands for option in demand.options)
    return sum(1 + nodes.get(option.node_type, 0) for option in options)


def solve(problem: Problem, time_limit_s: float) -> Exact:
    """Return the best placement, or that there is none, or what was found in time."""
    pairs = _pairs(problem)
    count = variables(problem)
    costs, most = np.zeros(count), np.ones(count)
    for pair in pairs:
        costs[pair.first] = problem.demands[pair.model].cost(pair.option)
        most[pair.first + 1 : pair.first + 1 + pair.nodes] = pair.option.replicas
    rows = [*_choices(problem, pairs), *_capacities(problem, pairs)]
    found = milp(
        costs,
        integrality=np.ones(count),
        bounds=Bounds(np.zeros(count), most),
        constraints=[_constraint(rows, count)],
        options={"time_limit": time_limit_s, "mip_rel_gap": RELATIVE_GAP},
    )
    if found.status == _INFEASIBLE:
        return Exact(inf, {})
    bound = 0.0 if found.mip_dual_bound is None else max(0.0, float(found.mip_dual_bound))
    return Exact(bound, {} if found.x is None else _placed(pairs, found.x))


def _pairs(problem: Problem) -> list[_Pair]:
    nodes = {kind.name: len(kind.free) for kind in problem.node_types}
    pairs: list[_Pair] = []
    first = 0
    for model, demand in enumerate(problem.demands):
        for option in demand.options:
            pairs.append(_Pair(model, option, first, nodes.get(option.node_type, 0)))
            first += 1 + pairs[-1].nodes
    return pairs


def _choices(problem: Problem, pairs: list[_Pair]) -> Iterator[_Row]:
    """Each model is placed once, with all replicas, and only so many models move."""
    of: dict[int, list[Term]] = {model: [] for model in range(len(problem.demands))}
    for pair in pairs:
        of[pair.model].append((pair.first, 1.0))
        on = ((pair.first + 1 + node, 1.0) for node in range(pair.nodes))
        yield _Row(((pair.first, -float(pair.option.replicas)), *on), 0.0, 0.0)
    yield from (_Row(tuple(terms), 1.0, 1.0) for terms in of.values())
    if problem.max_moves is not None:
        movers = (pair for pair in pairs if problem.demands[pair.model].moves(pair.option))
        yield _Row(tuple((pair.first, 1.0) for pair in movers), 0.0, float(problem.max_moves))


def _capacities(problem: Problem, pairs: list[_Pair]) -> Iterator[_Row]:
    """No node gives more than it has of any resource; amounts as shares of what is free."""
    for kind in problem.node_types:
        own = [pair for pair in pairs if pair.option.node_type == kind.name]
        for resource in sorted({name for pair in own for name in pair.option.uses}):
            for node in range(len(kind.free)):
                yield _capacity(own, kind, node, resource)


def _capacity(own: list[_Pair], kind: NodeType, node: int, resource: str) -> _Row:
    free = kind.free[node].get(resource, 0.0)
    terms = tuple(
        (pair.first + 1 + node, _share(pair.option.uses[resource], free))
        for pair in own
        if pair.option.uses.get(resource, 0.0) > 0
    )
    return _Row(terms, 0.0, 1.0)


def _share(amount: float, free: float) -> float:
    # A replica that needs more than there is has a share that no count but 0 satisfies.
    return min(amount / free, 2.0) if free > 0 else 2.0


def _constraint(rows: list[_Row], count: int) -> LinearConstraint:
    entries = [(i, column, factor) for i, row in enumerate(rows) for column, factor in row.terms]
    indices, columns, factors = zip(*entries, strict=True)
    matrix = csr_matrix((factors, (indices, columns)), shape=(len(rows), count))
    return LinearConstraint(matrix, [row.least for row in rows], [row.most for row in rows])


def _placed(pairs: list[_Pair], values: Floats) -> Mapping[int, Placed]:
    found: dict[int, Placed] = {}
    for pair in pairs:
        if round(values[pair.first]) == 1:
            counts = values[pair.first + 1 : pair.first + 1 + pair.nodes].round().astype(int)
            nodes = np.repeat(np.arange(pair.nodes), counts).tolist()
            found[pair.model] = Placed(pair.option, tuple(nodes))
    return found
