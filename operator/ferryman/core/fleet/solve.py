"""Place all models at once, at nearly the least cost that there is.

1. What does not fit on the empty nodes of a type is no option there.
2. The linear relaxation over node types gives a bound, or proves that not all can be placed.
3. What it proposes is packed onto nodes; what does not fit, or was split, goes where it costs
   least, and a local search over moves and swaps follows. This also works with no proposal at all.
4. Where that is not good enough, the integer program over node types, thinned out by the
   relaxation's prices, proposes in the same way.
5. Where that is not good enough either and the problem is small, the integer program over single
   nodes decides.

Time limits bind the programs. The local search has a budget of tries instead, so that the same
problem has the same answer wherever the programs end before their limits.
"""

from collections.abc import Mapping
from dataclasses import replace
from math import inf
from typing import Final

from ferryman.core.fleet import exact, program
from ferryman.core.fleet.draft import Draft, listed, ranked
from ferryman.core.fleet.packing import Packing
from ferryman.core.fleet.problem import (
    ModelDemand,
    Option,
    Placed,
    PlacementProblem,
    Solution,
    SolutionQuality,
)
from ferryman.core.fleet.program import Program

TIME_LIMIT_S: Final = 4.0
#: A placement this close to the bound is called optimal.
OPTIMAL_GAP: Final = 1e-3
#: One this close is good enough where the integer program would be too large to solve at once.
NEAR: Final = 5e-3


def solve(problem: PlacementProblem, time_limit_s: float = TIME_LIMIT_S) -> Solution:
    """Return where each model is to go. The relaxation may take half of the time.

    A quarter each is for the integer programs.
    """
    stuck, reduced = _reduced(problem)
    best, bound = _by_programs(reduced, time_limit_s) if reduced.demands else (Draft(reduced), 0.0)
    if best.unplaced:
        best = min(best, _drafted(reduced, {}), key=_quality)
    if not _within(OPTIMAL_GAP, best, bound) and exact.variables(reduced) <= exact.MAX_VARIABLES:
        found = exact.solve(reduced, time_limit_s / 4)
        bound = max(bound, found.bound)
        best = min(best, _adopted(reduced, found.placed), key=_quality)
    return _solution(reduced, best, inf if stuck else bound, stuck)


def place_next(packing: Packing, demand: ModelDemand) -> Placed | None:
    """Place one more model where it costs least of what is free; None where it fits nowhere."""
    places = (packing.place(option) for option in ranked(demand))
    return next((placed for placed in places if placed is not None), None)


def _reduced(problem: PlacementProblem) -> tuple[Mapping[str, str], PlacementProblem]:
    """Return why models have no option at all, and the problem of the others."""
    empty = Packing(problem.node_types)
    fits = iter(empty.possible([o for demand in problem.demands for o in demand.options]))
    demands = [
        replace(demand, options=tuple(o for o in demand.options if next(fits)))
        for demand in problem.demands
    ]
    stuck = {
        whole.model: _why_stuck(whole, empty)
        for whole, demand in zip(problem.demands, demands, strict=True)
        if not demand.options
    }
    return stuck, replace(problem, demands=tuple(demand for demand in demands if demand.options))


def _why_stuck(demand: ModelDemand, empty: Packing) -> str:
    if not demand.options:
        return "no node type can serve it"
    lacks = {f"{option.node_type} has too little {empty.lack(option)}" for option in demand.options}
    return f"it does not fit on empty nodes: {listed(lacks)}"


def _by_programs(problem: PlacementProblem, time_limit_s: float) -> tuple[Draft, float]:
    """Return the better one of what the relaxation and the integer program propose, and a bound."""
    whole = Program.of(problem)
    relaxed = program.relax(whole, time_limit_s / 2)
    if relaxed.parts is None:
        # Each at its cheapest is the least there can be, whatever the time.
        least = sum(min(each.cost(o) for o in each.options) for each in problem.demands)
        return _drafted(problem, {}), max(relaxed.bound, least)
    best, bound = _drafted(problem, whole.chosen(relaxed.parts)), relaxed.bound
    thin = program.thinned(whole, relaxed)
    if _within(OPTIMAL_GAP if thin is whole else NEAR, best, bound):
        return best, bound
    found = program.integral(thin, time_limit_s / 4)
    if found.chosen:
        best = min(best, _drafted(problem, found.chosen), key=_quality)
    # What was left out might be part of a cheaper placement.
    return best, max(bound, found.bound) if thin is whole else bound


def _drafted(problem: PlacementProblem, proposal: Mapping[int, Option]) -> Draft:
    draft = Draft(problem)
    draft.follow(proposal)
    draft.fill()
    draft.improve()
    return draft


def _adopted(problem: PlacementProblem, placed: Mapping[int, Placed]) -> Draft:
    draft = Draft(problem)
    draft.adopt(placed)
    return draft


def _quality(draft: Draft) -> tuple[int, float]:
    return len(draft.unplaced), draft.cost


def _within(gap: float, draft: Draft, bound: float) -> bool:
    return not draft.unplaced and draft.cost <= bound * (1 + gap)


def _solution(
    problem: PlacementProblem, draft: Draft, bound: float, stuck: Mapping[str, str]
) -> Solution:
    demands = problem.demands
    if not draft.unplaced and not stuck:
        # What is at hand refutes a bound above it: programs compute within tolerances.
        bound = min(bound, draft.cost)
    missing = {demands[i].model: draft.why_not(i) for i in draft.unplaced} | dict(stuck)
    placed = {demands[i].model: found for i, found in sorted(draft.placed.items())}
    outcome, message = _outcome(draft.cost, bound, missing, len(demands) + len(stuck))
    return Solution(outcome, placed, draft.cost, bound, message, missing)


def _outcome(
    cost: float, bound: float, missing: Mapping[str, str], count: int
) -> tuple[SolutionQuality, str]:
    if not missing:
        if cost <= bound * (1 + OPTIMAL_GAP):
            return (
                SolutionQuality.OPTIMAL,
                f"all {count} models are placed, at the least cost there is",
            )
        if bound <= 0:
            return (
                SolutionQuality.FEASIBLE,
                f"all {count} models are placed; the least cost may be 0",
            )
        message = f"all {count} models are placed, at most {cost / bound - 1:.1%} above the least"
        return SolutionQuality.FEASIBLE, message
    told = f"{len(missing)} of {count} models could not be placed"
    if bound == inf:
        return SolutionQuality.INFEASIBLE, f"{told}, and it is proved that not all can be"
    return SolutionQuality.UNKNOWN, f"{told}; that it is impossible is not proved"
