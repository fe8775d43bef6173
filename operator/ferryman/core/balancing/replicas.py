"""How many pods of a pipeline its objectives need, where each has the best assignment.

Asked of each number of pods: with its part of what clients send, does some assignment carry it in
time? More than there are only where objectives are missed and no assignment would mend that;
fewer only if they would do under ``HEADROOM`` times the demand and use at most ``UTILISATION`` of
what they carry. Fewer pods need more workers in each, and what these bring is only believed where
it is known what processors carry: else the workers of now are all that there are.
"""

from dataclasses import replace
from typing import Final

from ferryman.core.balancing import planning
from ferryman.core.balancing.case import UTILISATION, Case
from ferryman.core.balancing.demand import Asked, overhead_ms
from ferryman.core.balancing.profile import ceiling_per_s
from ferryman.core.observation.objectives import judge
from ferryman.core.observation.window import Window
from ferryman.core.tuners.needs import (
    ENOUGH,
    MAX_REPLICAS,
    Enough,
    Needs,
    Replicas,
    Unattainable,
    least_count,
)

#: Fewer are enough only under so many times the demand, as of a model (``guarded.sizing``).
HEADROOM: Final = 1.2
#: What is predicted is off by so much.
MARGIN: Final = 0.9


def needed(case: Case, *, held: bool) -> Needs:
    """Return what a window says of the pods that are needed.

    ``held`` says that the balancer leaves all as it is: while it changes something, what that
    brings comes first.
    """
    if case.rules.objectives is None or case.seen.offered_per_s <= 0:
        return ENOUGH
    if not _is_missed(case):
        return Enough(_fewest(case))
    pods = case.window.requests.pods
    if not held or _suffices(case, pods, 1.0):
        return ENOUGH
    count = least_count(lambda n: _suffices(case, n, 1.0), pods + 1, MAX_REPLICAS)
    if count is not None:
        return Replicas(count)
    return Unattainable(f"{MAX_REPLICAS} replicas would not meet them either")


def of_idle(whole: Window) -> Needs | None:
    """Return that one pod is enough where nobody asks for anything, else that nothing is known."""
    asked = whole.requests + whole.failures + (whole.rejected or 0)
    waits = (whole.pending or 0) + (whole.pending_before or 0)
    return None if asked or waits else Enough(replicas=1)


def _is_missed(case: Case) -> bool:
    """Whether objectives are missed; what was turned away, or failed, counts as late."""
    objectives, whole = case.rules.objectives, case.window.requests
    assert objectives is not None  # noqa: S101  asked for by ``needed``
    lost = whole.failures + (whole.rejected or 0)
    allowed = 1 - objectives.percentile / 100 if objectives.latency else 1.0
    late = lost > allowed * (lost + whole.requests)
    return late or judge(objectives, case.window.as_judged).met is False


def _fewest(case: Case) -> int:
    """Return the least number that is enough with headroom; the present one if no other is."""
    pods = case.window.requests.pods
    if not _knows_processors(case):
        case = replace(case, no_growth=True)
    return least_count(lambda n: n == pods or _suffices(case, n, HEADROOM), 1, pods) or pods


def _knows_processors(case: Case) -> bool:
    return ceiling_per_s(case.profiles(shrink=False), case.resources) is not None


def _suffices(case: Case, count: int, headroom: float) -> bool:
    """Whether so many pods would do under so many times the demand."""
    part = case.window.requests.pods / count
    there = _with_part(case, part, headroom, count)
    plan = planning.grown(there)
    carried_per_s = there.capacity_per_s(plan.assignment)
    demand_per_s = there.seen.demand_per_s
    used = case.seen.offered_per_s * part / carried_per_s
    if demand_per_s > carried_per_s or (headroom > 1 and used > UTILISATION):
        return False
    if carried_per_s * MARGIN < _least_per_s(there):
        return False
    objectives = there.rules.objectives
    if objectives is None or objectives.latency is None:
        return True
    # What a request spends beside waiting and computing is told while no queue stands alone.
    other_ms = overhead_ms(case.rules.steps, case.window) if headroom > 1 else 0.0
    target_ms = MARGIN * objectives.latency.target_milliseconds
    return planning.predicted_ms(there, plan.assignment) + other_ms <= target_ms


def _with_part(case: Case, part: float, headroom: float, count: int) -> Case:
    """Return the case of pods that get a part of the demand each, with nothing that waits."""
    per_s = case.seen.offered_per_s * part * headroom
    seen = Asked(per_s, per_s, per_s, case.seen.in_flight * part, ())
    whole, steps = case.window.requests, case.window.steps
    own = {name: replace(s, pods=count) for name, s in steps.items() if s.pods == whole.pods}
    window = replace(case.window, requests=replace(whole, pods=count), steps={**steps, **own})
    return replace(case, seen=seen, window=window)


def _least_per_s(case: Case) -> float:
    objectives = case.rules.objectives
    if objectives is None or objectives.throughput is None:
        return 0.0
    return objectives.throughput.min_per_second / case.window.requests.pods
