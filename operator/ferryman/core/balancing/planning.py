"""What each step should have, by what is known of the steps and what is asked.

Instances are for a demand with headroom; fewer are only planned where the rest stays below the
same share of what it can do at the rate of now. With a latency target the budget is split over
the steps, and the split is held against the twin (as InferLine's planner does, SoCC 2020, §4).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import inf
from typing import Final

from ferryman.api.batching import InstanceLimits
from ferryman.api.conditions import Reason
from ferryman.core.balancing.case import WORTH, Case, with_instances
from ferryman.core.balancing.demand import busy_share, overhead_ms
from ferryman.core.balancing.latency import BudgetSplit, NoSplit, split_budget
from ferryman.core.balancing.prediction import Planned, percentile_ms
from ferryman.core.balancing.profile import StepProfile, ceiling_per_s
from ferryman.core.balancing.state import Assignment
from ferryman.core.balancing.throughput import Allocation, least

#: Steps that are busy for no more than this share of the time are left alone.
STILL_ENOUGH: Final = 0.85
#: What the twin finds too slow is planned again for so much of the budget, and so often at most.
TIGHTER: Final = 0.8
ROUNDS: Final = 5
#: A rate that was measured needs no instance for its last hundredth.
ALMOST: Final = 0.99
_MS_PER_S: Final = 1e3


@dataclass(frozen=True, slots=True)
class BalancingPlan:
    """What each step should have."""

    assignment: Assignment
    reason: Reason
    """Why no more is carried."""
    budgets_s: Mapping[str, float] = field(default_factory=dict)
    """Each step's part of the latency budget, where it was split."""
    no_split: NoSplit | None = None
    """Why the latency budget could not be split."""


def grown(case: Case) -> BalancingPlan:
    """Return what carries the target; with fewer of a step only where others need its room."""
    split = _split(case, shrink=False)
    if isinstance(split, BalancingPlan):
        return split
    keeping = _allocated(case, shrink=False)
    giving = _allocated(case, shrink=True)
    better = not keeping.fits or giving.rate_per_s > keeping.rate_per_s * (1 + WORTH)
    found = giving if better else keeping
    return BalancingPlan(
        with_instances(case.applied, found.instances), found.reason, no_split=split
    )


def thrifty(case: Case) -> BalancingPlan:
    """Return the fewest instances for the target, none of them more than there are."""
    case = replace(case, no_growth=True)
    split = _split(case, shrink=True)
    if isinstance(split, BalancingPlan):
        return split
    found = _allocated(case, shrink=True)
    return BalancingPlan(
        with_instances(case.applied, found.instances), found.reason, no_split=split
    )


def enough(case: Case, before: Assignment, rate_per_s: float) -> Assignment:
    """Return what was added to the assignment before, as far as a rate takes it."""
    profiles = tuple(
        replace(profile, limits=InstanceLimits(min=1, max=case.applied[profile.name].instances))
        for profile in case.profiles(shrink=False)
    )
    resources = replace(case.resources, memory_bytes=None)
    reaching = least(profiles, resources, rate_per_s * ALMOST).instances
    kept = {
        name: max(min(batching.instances, before[name].instances), reaching[name])
        for name, batching in case.applied.items()
    }
    return with_instances(case.applied, kept)


def without_growth(applied: Assignment, before: Assignment) -> Assignment:
    """Return an assignment without what was added to the one before."""
    return with_instances(
        applied,
        {
            name: min(batching.instances, before[name].instances)
            for name, batching in applied.items()
        },
    )


def needs_more(case: Case) -> bool:
    """Say whether a step is short, or would be if a little more were asked."""
    full = case.seen.demand_per_s > STILL_ENOUGH * case.capacity_per_s(case.applied)
    return bool(case.seen.short) or (full and _is_busy(case))


def misses_latency(case: Case) -> bool:
    """Say whether the latency objective was missed."""
    objectives, seen_ms = case.rules.objectives, case.window.requests.latency_ms
    if objectives is None or objectives.latency is None or seen_ms is None:
        return False
    return seen_ms > objectives.latency.target_milliseconds


def predicted_ms(case: Case, assignment: Assignment) -> float:
    """Return the objectives' percentile of the wait and the computation under an assignment."""
    objectives = case.rules.objectives
    percentile = 99 if objectives is None else objectives.percentile
    profiles = case.profiles(shrink=False, all_sizes=True)
    return _predicted_ms(case, profiles, assignment, percentile)


def _is_busy(case: Case) -> bool:
    """Whether some step is: a client that waits for its answer keeps one instance busy alone."""
    return any(
        busy_share(case.window.steps[name], batching.instances) > STILL_ENOUGH
        and (case.window.steps[name].pending or 0) > 0
        for name, batching in case.applied.items()
    )


def _allocated(case: Case, *, shrink: bool) -> Allocation:
    return least(case.profiles(shrink=shrink), case.resources, case.target_per_s)


def _split(case: Case, *, shrink: bool) -> BalancingPlan | NoSplit | None:
    """Return the cheapest split that the twin finds quick enough; None without a latency target.

    Where the twin finds none quick enough, the quickest of those that were tried.
    """
    objectives = case.rules.objectives
    if objectives is None or objectives.latency is None:
        return None
    profiles = case.profiles(shrink=shrink, all_sizes=True)
    target_ms = objectives.latency.target_milliseconds - overhead_ms(case.rules.steps, case.window)
    budget_s, best = max(target_ms, 1.0) / _MS_PER_S, None
    carried = min(case.target_per_s, ceiling_per_s(profiles, case.resources) or inf)
    for _ in range(ROUNDS):
        found = split_budget(profiles, budget_s, carried, case.resources)
        if isinstance(found, NoSplit):
            return best or found
        best = _as_plan(case, found)
        if _predicted_ms(case, profiles, best.assignment, objectives.percentile) <= target_ms:
            break
        budget_s *= TIGHTER
    return best


def _as_plan(case: Case, split: BudgetSplit) -> BalancingPlan:
    capped = {setup.name for setup in case.rules.steps if setup.live_cap}
    assignment = {}
    for name, batching in case.applied.items():
        option = split.options[name]
        changed = batching.with_(instances=option.instances)
        if name in capped:
            changed = changed.with_(max_batch_size=option.bound).canonical()
        assignment[name] = changed
    return BalancingPlan(assignment, Reason.DEMAND_SERVED, split.budgets_s)


def _predicted_ms(
    case: Case, profiles: Sequence[StepProfile], assignment: Assignment, percentile: int
) -> float:
    planned = [
        Planned(
            profile,
            assignment[profile.name].instances,
            assignment[profile.name].max_batch_size,
        )
        for profile in profiles
    ]
    return percentile_ms(planned, case.seen.demand_per_s, percentile)
