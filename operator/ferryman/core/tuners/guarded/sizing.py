"""How many replicas would still meet the objectives, while they are met.

Asked under a demand that is ``HEADROOM`` times what it is: fewer are said to be enough only if
they would stay so when demand rises a little, and would not run near their capacity, where a
little more demand costs much latency. What it takes to ask is a search for each number
that is tried, so an answer is good for some windows while nothing changed.
"""

from dataclasses import replace
from math import ceil
from typing import Final

from ferryman.core.tuners.guarded import search
from ferryman.core.tuners.guarded.context import TuningContext, is_close
from ferryman.core.tuners.learned.demand import Demand
from ferryman.core.tuners.needs import ENOUGH, Enough
from ferryman.core.tuners.state import Sizing, TuneDecision

HEADROOM: Final = 1.2
#: … and only if they would then run below this share of what they can serve at most.
MOST_USED: Final = 0.7
#: A rate or a service time that changed by less is the same.
SAME: Final = 0.05
#: An answer is good for so many windows.
GOOD_FOR: Final = 8
_MS_PER_S: Final = 1e3


def sized(context: TuningContext, decision: TuneDecision) -> TuneDecision:
    """Return the decision with the number of replicas that would still be enough, if they are."""
    learned = decision.state.learned
    told = context.verdict.met and learned.service.points and learned.demand.rate_per_s > 0
    if not told or decision.needs != ENOUGH:
        return decision
    latest = learned.sizing
    if latest is None or not _still_true(context, latest):
        latest = Sizing(
            pods=context.window.pods,
            rate_per_s=learned.demand.rate_per_s,
            service_ms=context.service_ms,
            replicas=_fewest(context),
        )
    learned = replace(learned, sizing=replace(latest, windows=latest.windows + 1))
    state = replace(decision.state, learned=learned)
    return replace(decision, needs=Enough(latest.replicas), state=state)


def _still_true(context: TuningContext, latest: Sizing) -> bool:
    return (
        latest.pods == context.window.pods
        and latest.windows < GOOD_FOR
        and is_close(context.learned.demand.rate_per_s, latest.rate_per_s, SAME)
        and is_close(context.service_ms, latest.service_ms, SAME)
    )


def _fewest(context: TuningContext) -> int:
    """Return the least number that suffices, by bisection; the present one if no other does."""
    pods = context.window.pods
    low, high = min(_least_by_capacity(context), pods) - 1, pods
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if _suffices(context, middle) else (middle, high)
    return high


def _suffices(context: TuningContext, count: int) -> bool:
    """Whether so many pods would meet the objectives with the best of their configurations."""
    demand = _raised(context.learned.demand)
    question = context.question()
    share = question.share(demand.load(count), context.window.pods / count)
    return search.meets_somehow(replace(share, latest_per_s=demand.latest_per_s / count))


def _least_by_capacity(context: TuningContext) -> int:
    """Return a number below which too little capacity would be left, whatever the configuration."""
    question = context.question()
    instances, sizes = question.reach.limits.instances.max, question.reach.sizes
    curve = question.curve_ms(instances, sizes[-1])
    most_per_s = max(instances * size / curve[size - 1] for size in sizes) * _MS_PER_S
    return max(1, ceil(context.learned.demand.rate_per_s / (MOST_USED * most_per_s)))


def _raised(demand: Demand) -> Demand:
    return Demand(tuple((seconds, count * HEADROOM) for seconds, count in demand.readings))
