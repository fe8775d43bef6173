"""The problem as an integer program over single nodes: exact, and only for small problems.

For each option there is a variable that says whether it is chosen, and for each node of its type,
or each processor where the nodes have several, one that counts the replicas there. What it finds
fits; where it has no solution, there is none.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import inf
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import csr_matrix

from ferryman.core.fleet.problem import NodePool, Option, Part, Placed, PlacementProblem

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
    """An option of a model; ``first`` is its variable, those of the spots follow."""

    model: int
    option: Option
    first: int
    nodes: int
    part: Part | None

    @property
    def devices(self) -> int:
        """On each node."""
        return 1 if self.part is None else self.part.count

    @property
    def spots(self) -> int:
        """Where a replica can be."""
        return self.nodes * self.devices

    def on(self, node: int) -> range:
        """Return the variables of a node: one, or one for each processor."""
        first = self.first + 1 + node * self.devices
        return range(first, first + self.devices)


@dataclass(frozen=True, slots=True)
class _Row:
    terms: tuple[Term, ...]
    least: float
    most: float


def variables(problem: PlacementProblem) -> int:
    """Return how many variables the program has."""
    return _variables(_pairs(problem))


def solve(problem: PlacementProblem, time_limit_s: float) -> Exact:
    """Return the best placement, or that there is none, or what was found in time."""
    pairs = _pairs(problem)
    count = _variables(pairs)
    costs, most = np.zeros(count), np.ones(count)
    for pair in pairs:
        costs[pair.first] = problem.demands[pair.model].cost(pair.option)
        most[pair.first + 1 : pair.first + 1 + pair.spots] = pair.option.replicas
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


def _pairs(problem: PlacementProblem) -> list[_Pair]:
    kinds = {kind.name: kind for kind in problem.node_types}
    pairs: list[_Pair] = []
    first = 0
    for model, demand in enumerate(problem.demands):
        for option in demand.options:
            kind = kinds.get(option.node_type, NodePool(option.node_type, ()))
            pairs.append(_Pair(model, option, first, len(kind.free), kind.part_of(option)))
            first += 1 + pairs[-1].spots
    return pairs


def _variables(pairs: list[_Pair]) -> int:
    return sum(1 + pair.spots for pair in pairs)


def _choices(problem: PlacementProblem, pairs: list[_Pair]) -> Iterator[_Row]:
    """Each model is placed once, with all replicas, and only so many models move."""
    of: dict[int, list[Term]] = {model: [] for model in range(len(problem.demands))}
    for pair in pairs:
        of[pair.model].append((pair.first, 1.0))
        on = ((pair.first + 1 + spot, 1.0) for spot in range(pair.spots))
        yield _Row(((pair.first, -float(pair.option.replicas)), *on), 0.0, 0.0)
    yield from (_Row(tuple(terms), 1.0, 1.0) for terms in of.values())
    if problem.max_moves is not None:
        movers = (pair for pair in pairs if problem.demands[pair.model].moves(pair.option))
        yield _Row(tuple((pair.first, 1.0) for pair in movers), 0.0, float(problem.max_moves))


def _capacities(problem: PlacementProblem, pairs: list[_Pair]) -> Iterator[_Row]:
    """No node, and no processor, gives more than it has; amounts as shares of what is free."""
    for kind in problem.node_types:
        own = [pair for pair in pairs if pair.option.node_type == kind.name]
        for resource in sorted({name for pair in own for name in pair.option.uses}):
            divided = kind.divided(resource)
            using = [pair for pair in own if pair.option.uses.get(resource, 0.0) > 0]
            for node, room in enumerate(kind.free):
                free = room.get(resource, 0.0)
                if divided is None:
                    yield _capacity(using, resource, free, [pair.on(node) for pair in using])
                    continue
                for device in range(divided.count):
                    spots = [pair.on(node)[device : device + 1] for pair in using]
                    yield _capacity(using, resource, free / divided.count, spots)


def _capacity(using: list[_Pair], resource: str, free: float, on: list[range]) -> _Row:
    terms = tuple(
        (variable, _share(pair.option.uses[resource], free))
        for pair, variables_there in zip(using, on, strict=True)
        for variable in variables_there
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
            counts = values[pair.first + 1 : pair.first + 1 + pair.spots].round().astype(int)
            nodes, devices = np.divmod(np.repeat(np.arange(pair.spots), counts), pair.devices)
            chosen = () if pair.part is None else tuple(devices.tolist())
            found[pair.model] = Placed(pair.option, tuple(nodes.tolist()), chosen)
    return found
