"""The problem as a linear program, and as an integer one, over node types.

Capacities are added up over the nodes of a type, so that what the programs find may not fit on
single nodes: their cost bounds that of any placement from below, and what they choose is a
proposal for the packing. Both are solved by HiGHS (Huangfu and Hall, Mathematical Programming
Computation 10, 2018), which SciPy brings.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import inf
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import Bounds, LinearConstraint, linprog, milp
from scipy.sparse import csr_matrix, vstack

from ferryman.core.fleet.problem import Option, PlacementProblem

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

#: The integer program stops when it is proved to be this close to the best.
RELATIVE_GAP: Final = 5e-4
#: More variables than this are thinned out: those stay that the relaxation finds nearly as good.
MAX_VARIABLES: Final = 6_000
#: A variable above this is what a program chose.
CHOSEN: Final = 0.5
_SOLVED, _INFEASIBLE = 0, 2


@dataclass(frozen=True, slots=True)
class Program:
    """One variable for each option: whether, or to what part, its model is placed there."""

    demands: Ints
    """The model of each variable, by its index in ``PlacementProblem.demands``."""
    options: tuple[Option, ...]
    costs: Floats
    each_once: csr_matrix
    """A row for each model, whose variables must add up to 1."""
    uses: csr_matrix
    """A row for each resource of each node type, in shares of what is free; and one for moves."""
    at_most: Floats

    @classmethod
    def of(cls, problem: PlacementProblem) -> "Program":
        """Return the program of a problem."""
        pairs = [(i, o) for i, demand in enumerate(problem.demands) for o in demand.options]
        demands = np.array([i for i, _ in pairs], dtype=np.int64)
        options = tuple(option for _, option in pairs)
        costs = np.array([problem.demands[i].cost(option) for i, option in pairs])
        ones, columns = np.ones(len(pairs)), np.arange(len(pairs))
        each_once = csr_matrix((ones, (demands, columns)), (len(problem.demands), len(pairs)))
        uses = _capacities(problem, options)
        at_most = np.ones(uses.shape[0])
        if problem.max_moves is not None:
            moves = [float(problem.demands[i].moves(option)) for i, option in pairs]
            uses = csr_matrix(vstack([uses, csr_matrix(np.array([moves]))]))
            at_most = np.append(at_most, problem.max_moves)
        return cls(demands, options, costs, each_once, uses, at_most)

    def only(self, kept: Ints) -> "Program":
        """Return the program with some of the variables."""
        return Program(
            self.demands[kept],
            tuple(self.options[i] for i in kept),
            self.costs[kept],
            csr_matrix(self.each_once[:, kept]),
            csr_matrix(self.uses[:, kept]),
            self.at_most,
        )

    def chosen(self, parts: Floats) -> Mapping[int, Option]:
        """Return the option that was chosen, by model, for those models that have one."""
        picked = np.flatnonzero(parts > CHOSEN).tolist()
        return {int(self.demands[i]): self.options[i] for i in picked}


@dataclass(frozen=True, slots=True)
class Relaxed:
    """What the linear program says."""

    bound: float
    """No placement of all models costs less: infinite if there is none, 0 if time ran out."""
    parts: Floats | None = None
    """By variable; None where there is no solution, or time ran out."""
    reduced_costs: Floats | None = None
    """By variable: what it would add to the cost to place the model there, at the least."""


@dataclass(frozen=True, slots=True)
class Integral:
    """What the integer program says."""

    bound: float
    """As of ``Relaxed``."""
    chosen: Mapping[int, Option]
    """By model; empty where no solution was found."""


def _capacities(problem: PlacementProblem, options: tuple[Option, ...]) -> csr_matrix:
    """Return what each option uses of each resource of each node type, as shares of what is free.

    What an option uses beyond all that is free counts as twice of that: the program's numbers
    stay of a kind, and it is out all the same.
    """
    free: dict[tuple[str, str], float] = {}
    for kind in problem.node_types:
        for node in kind.free:
            for resource, amount in node.items():
                key = (kind.name, resource)
                free[key] = free.get(key, 0.0) + max(0.0, amount)
    row_of: dict[tuple[str, str], int] = {}
    rows, columns, shares = [], [], []
    for column, option in enumerate(options):
        for resource, amount in option.uses.items():
            key = (option.node_type, resource)
            rows.append(row_of.setdefault(key, len(row_of)))
            columns.append(column)
            shares.append(_share(option.replicas * amount, free.get(key, 0.0)))
    return csr_matrix((shares, (rows, columns)), shape=(len(row_of), len(options)))


def _share(amount: float, room: float) -> float:
    if amount <= 0:
        return 0.0
    return min(amount / room, 2.0) if room > 0 else 2.0


def relax(program: Program, time_limit_s: float) -> Relaxed:
    """Solve the linear program."""
    found = linprog(
        program.costs,
        A_ub=program.uses,
        b_ub=program.at_most,
        A_eq=program.each_once,
        b_eq=np.ones(program.each_once.shape[0]),
        bounds=(0, None),  # at most 1 as they add up to 1
        method="highs",
        options={"time_limit": time_limit_s},
    )
    if found.status == _INFEASIBLE:
        return Relaxed(inf)
    if found.status != _SOLVED:
        return Relaxed(0.0)
    prices = np.maximum(0.0, -found.ineqlin.marginals)
    with_prices = program.costs + program.uses.T @ prices
    least = np.full(program.each_once.shape[0], np.inf)
    np.minimum.at(least, program.demands, with_prices)
    # The Lagrangian bound holds for any prices, so that it does not hang on HiGHS' tolerances.
    bound = float(least.sum() - prices @ program.at_most)
    return Relaxed(max(0.0, bound), found.x, with_prices - least[program.demands])


def thinned(program: Program, relaxed: Relaxed) -> Program:
    """Return the program with the most promising variables, at least the best of each model.

    Raises ValueError for a relaxation without solution.
    """
    if relaxed.parts is None or relaxed.reduced_costs is None:
        raise ValueError("the relaxation has no solution to choose by")
    count = program.costs.size
    if count <= MAX_VARIABLES:
        return program
    order = np.lexsort((relaxed.reduced_costs, -relaxed.parts))
    _, firsts = np.unique(program.demands[order], return_index=True)
    kept = np.zeros(count, dtype=np.bool_)
    kept[order[firsts]] = True
    kept[relaxed.parts > 0] = True
    by_cost = np.argsort(relaxed.reduced_costs, kind="stable")
    room = max(0, MAX_VARIABLES - int(kept.sum()))
    kept[by_cost[~kept[by_cost]][:room]] = True
    return program.only(np.flatnonzero(kept))


def integral(program: Program, time_limit_s: float) -> Integral:
    """Solve the integer program."""
    found = milp(
        program.costs,
        integrality=np.ones(program.costs.size),
        bounds=Bounds(0, 1),
        constraints=[
            LinearConstraint(program.uses, -np.inf, program.at_most),
            LinearConstraint(program.each_once, 1, 1),
        ],
        options={"time_limit": time_limit_s, "mip_rel_gap": RELATIVE_GAP},
    )
    if found.status == _INFEASIBLE:
        return Integral(inf, {})
    bound = 0.0 if found.mip_dual_bound is None else max(0.0, float(found.mip_dual_bound))
    return Integral(bound, {} if found.x is None else program.chosen(found.x))
