"""How the end-to-end latency budget is split over the steps, at least cost.

A larger batch costs fewer instances and takes longer. A request waits for the batch before it
and then takes part in its own, L(b) = 2·tau(b) (Nexus, SOSP 2019, §4.1); one with more rows than
a batch holds, for all of its own. At a given demand each batch size of a step is an option

    (latency L(b), cost n(b)·weight),    n(b) = ceil(demand·v·tau(b) / b),

and the cheapest options are wanted whose longest path is within the budget. Frontiers of
(latency, cost) are merged in series and in parallel, which is exact for chains and all
series-parallel pipelines; what is left of others is searched by branch and bound.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Final

import numpy as np

from ferryman.api.conditions import Reason
from ferryman.core.balancing import branch_and_bound
from ferryman.core.balancing.branch_and_bound import ROUNDING
from ferryman.core.balancing.frontier import Frontier
from ferryman.core.balancing.network import reduced
from ferryman.core.balancing.profile import Resources, StepProfile
from ferryman.core.balancing.words import rounded

#: Of larger bounds not every batch size is an option, but so many, evenly by ratio.
MOST_OPTIONS: Final = 64
_MS_PER_S: Final = 1e3


@dataclass(frozen=True, slots=True)
class StepOption:
    """One way to run a step."""

    bound: int
    instances: int
    latency_s: float
    """What a request spends in the step: its wait and its batch."""
    cost: float


@dataclass(frozen=True, slots=True)
class BudgetSplit:
    """An option of each step."""

    options: Mapping[str, StepOption]
    budgets_s: Mapping[str, float]
    """What each step may take; along every path they add up to the budget at most."""
    latency_s: float
    """Of the longest path."""
    cost: float
    at_least: float
    """No split costs less than this; equal to the cost where it is exactly optimal."""


@dataclass(frozen=True, slots=True)
class NoSplit:
    """That no options are within the budget, or none fit."""

    reason: Reason
    message: str


def split_budget(
    steps: Sequence[StepProfile], budget_s: float, demand_per_s: float, resources: Resources
) -> BudgetSplit | NoSplit:
    """Return the cheapest split of a budget at a demand, in requests a second and pod.

    Each step must come after those that it reads; raises ValueError where one does not.
    """
    weights = weights_of(steps)
    options = {
        step.name: options_of(
            step, demand_per_s, most=step.most_instances(resources), weight=weights[step.name]
        )
        for step in steps
    }
    lacking = [name for name, found in options.items() if not found]
    if lacking:
        message = f"{lacking[0]} cannot serve {rounded(demand_per_s)} requests/s within its limits"
        return NoSplit(Reason.INSTANCE_LIMIT, message)
    frontiers = {
        name: Frontier.of_options(name, [o.latency_s for o in found], [o.cost for o in found])
        for name, found in options.items()
    }
    edges = reduced({step.name: step.after for step in steps}, frontiers)
    way = branch_and_bound.cheapest(edges, budget_s)
    if way is None:
        least_s = longest_path_s(steps, {n: float(f.latencies_s[0]) for n, f in frontiers.items()})
        message = (
            f"the longest path takes at least {rounded(least_s * _MS_PER_S)} ms, "
            f"more than the budget of {rounded(budget_s * _MS_PER_S)} ms"
        )
        return NoSplit(Reason.LATENCY_UNREACHABLE, message)
    chosen: dict[str, StepOption] = {}
    for edge, point in zip(edges, way.points, strict=True):
        for name, option in edge.frontier.choices(point).items():
            chosen[name] = options[name][option]
    loss = max(edge.frontier.loss for edge in edges)
    return _checked(steps, chosen, budget_s, way.at_least / loss, resources)


def _checked(
    steps: Sequence[StepProfile],
    chosen: Mapping[str, StepOption],
    budget_s: float,
    at_least: float,
    resources: Resources,
) -> BudgetSplit | NoSplit:
    """Return the split unless the memory has no room for it."""
    held = sum(chosen[step.name].instances * (step.memory_bytes or 0) for step in steps)
    if resources.memory_bytes is not None and held > resources.memory_bytes:
        return NoSplit(
            Reason.MEMORY_FULL, "the memory has no room for as many instances as it takes"
        )
    latencies_s = {name: option.latency_s for name, option in chosen.items()}
    return BudgetSplit(
        options=chosen,
        budgets_s=_budgets_s(steps, latencies_s, budget_s),
        latency_s=longest_path_s(steps, latencies_s),
        cost=sum(option.cost for option in chosen.values()),
        at_least=at_least,
    )


def options_of(
    step: StepProfile, demand_per_s: float, *, most: int, weight: float = 1.0
) -> tuple[StepOption, ...]:
    """Return the ways to run a step that serve a demand with so many instances; may be none.

    Never with batches that a request's rows do not fit into, unless none are larger.
    """
    least = min(ceil(step.visits), step.bound)
    found = []
    for bound in _sizes(least, step.bound):
        service_s = step.service_s[bound - 1]
        busy = demand_per_s * step.visits * service_s / bound
        instances = max(step.limits.min, ceil(busy * (1 - ROUNDING)))
        if instances <= most:
            batches = 1 + ceil(step.visits / bound)
            found.append(StepOption(bound, instances, batches * service_s, instances * weight))
    return tuple(found)


def weights_of(steps: Sequence[StepProfile]) -> dict[str, float]:
    """Return what an instance of each step costs: its memory, 1 on average; 1 if one is unknown."""
    held = [step.memory_bytes for step in steps if step.memory_bytes is not None]
    total = sum(held)
    if len(held) < len(steps) or not total:
        return dict.fromkeys((step.name for step in steps), 1.0)
    return {step.name: (step.memory_bytes or 0) * len(steps) / total for step in steps}


def longest_path_s(steps: Sequence[StepProfile], latencies_s: Mapping[str, float]) -> float:
    """Return how long a request takes whose steps take so long."""
    return max(_ends_s(steps, latencies_s).values(), default=0.0)


def _ends_s(steps: Sequence[StepProfile], latencies_s: Mapping[str, float]) -> dict[str, float]:
    ends: dict[str, float] = {}
    for step in steps:
        begins_s = max((ends[each] for each in step.after), default=0.0)
        ends[step.name] = begins_s + latencies_s[step.name]
    return ends


def _budgets_s(
    steps: Sequence[StepProfile], latencies_s: Mapping[str, float], budget_s: float
) -> dict[str, float]:
    """Deal the budget out in proportion: each step's part of the longest path through it."""
    ends = _ends_s(steps, latencies_s)
    rests: dict[str, float] = {}
    for step in reversed(steps):
        readers = [rests[each.name] for each in steps if step.name in each.after]
        rests[step.name] = latencies_s[step.name] + max(readers, default=0.0)
    through = {name: ends[name] + rests[name] - latencies_s[name] for name in ends}
    return {name: budget_s * latencies_s[name] / through[name] for name in ends}


def _sizes(least: int, most: int) -> list[int]:
    if most - least < MOST_OPTIONS:
        return list(range(least, most + 1))
    return sorted({round(each) for each in np.geomspace(least, most, MOST_OPTIONS)})
