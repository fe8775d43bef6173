"""What is told of each step with a decision, and in which words what limits is said."""

from collections.abc import Mapping

from ferryman.api.conditions import Reason
from ferryman.core.balancing.account import StepAccount
from ferryman.core.balancing.case import Case, instances_of
from ferryman.core.balancing.demand import busy_share
from ferryman.core.balancing.planning import BalancingPlan
from ferryman.core.balancing.state import Assignment, BalancingRules
from ferryman.core.balancing.throughput import one_more

_MS_PER_S = 1e3


def accounts(
    case: Case, assignment: Assignment, budgets_s: Mapping[str, float]
) -> tuple[StepAccount, ...]:
    """Return the account of each step as it is to be."""
    profiles = {profile.name: profile for profile in case.profiles(shrink=False)}
    counts, resources = instances_of(assignment), case.resources
    steps = tuple(profiles.values())
    more = one_more(steps, counts, resources, case.seen.demand_per_s)
    limiting = case.limiting_step(counts)
    spent_ms = {name: _spent_ms(case, name) for name in counts}
    total_ms = sum(spent_ms.values())
    return tuple(
        StepAccount(
            name=name,
            instances=counts[name],
            bound=assignment[name].max_batch_size,
            reason=more[name].reason,
            message=more[name].message,
            visits=case.steps[name].visits,
            service_ms=case.window.steps[name].compute_ms,
            queue_ms=case.window.steps[name].queue_ms,
            busy=busy_share(case.window.steps[name], case.applied[name].instances),
            latency_share=spent_ms[name] / total_ms if total_ms else None,
            capacity_per_s=counts[name] * profile.rate_per_instance,
            gain_per_s=more[name].gain_per_s,
            budget_ms=budgets_s[name] * _MS_PER_S if name in budgets_s else None,
            is_limiting=name == limiting,
        )
        for name, profile in profiles.items()
    )


def learning_accounts(
    rules: BalancingRules, applied: Assignment, reason: Reason, message: str
) -> tuple[StepAccount, ...]:
    """Return the accounts while too little is known to compute with."""
    return tuple(
        StepAccount(
            name=setup.name,
            instances=applied[setup.name].instances,
            bound=applied[setup.name].max_batch_size,
            reason=reason,
            message=message,
        )
        for setup in rules.steps
    )


def limits_in_words(case: Case, plan: BalancingPlan) -> tuple[Reason, str]:
    """Return why all stays as it is, without figures that change while nothing does."""
    counts = instances_of(case.applied)
    limiting = case.limiting_step(counts)
    words = {
        Reason.DEMAND_SERVED: "what is asked is served with headroom",
        Reason.PROCESSORS_FULL: "the processors carry no more, whatever the instances",
        Reason.INSTANCE_LIMIT: f"{limiting} limits, and limits.instances lets it have no more",
        Reason.MEMORY_FULL: f"{limiting} limits, and the memory has no room for more of it",
        Reason.MEMORY_UNKNOWN: f"{limiting} limits, and what an instance of it holds is unknown",
    }
    told = words[plan.reason]
    if plan.no_split is not None:
        told += f"; the latency budget cannot be split: {plan.no_split.message}"
    return plan.reason, told


def _spent_ms(case: Case, name: str) -> float:
    """Return what a request spends in a step, its wait included."""
    seen = case.window.steps[name]
    return (seen.queue_ms or 0.0) + (seen.compute_ms or 0.0)
