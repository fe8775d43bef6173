"""When to look for a better configuration, and when the best one is worth a change.

A search costs some twenty milliseconds to a second of computing: it is repeated only when the
demand or the service times have changed, or after some windows.
"""

from dataclasses import replace
from math import isfinite
from typing import Final

from ferryman.api.batching import Batching
from ferryman.api.conditions import Reason
from ferryman.core.tuners.guarded import economy, exploration, latency, overload, search
from ferryman.core.tuners.guarded.context import TuningContext, is_close
from ferryman.core.tuners.guarded.prediction import Prediction
from ferryman.core.tuners.guarded.search import SearchContext, SearchResult
from ferryman.core.tuners.learned.demand import Demand
from ferryman.core.tuners.needs import ENOUGH, MAX_REPLICAS, Needs, Replicas, Unattainable
from ferryman.core.tuners.state import Evaluation, TuneDecision, with_bound
from ferryman.core.wording import describe

#: Attainment that a change must gain while the objectives stay out of reach.
WORTH_GAINING: Final = 0.01
#: Attainment for which the interval between reloads is not kept: what it would lose is more than
#: a reload can.
WORTH_HURRYING: Final = 0.1
#: Capacity that a change must gain where a bound holds requests back.
WORTH_GROWING: Final = 0.05
#: Demand must be known for so long before device time is saved.
MIN_HISTORY_S: Final = 30.0
#: The least time between two changes that only save device time …
ECONOMY_INTERVAL_S: Final = 60.0
#: … and the most of them in an hour, or half of the reloads that the budget allows.
MOST_SAVINGS: Final = 2
HOUR_S: Final = 3600.0
#: A rate or a service time that changed by less is the same.
SAME_RATE: Final = 0.15
SAME_SERVICE: Final = 0.05
#: A search is repeated although nothing changed after one window, two, four, … at most these.
MOST_PATIENCE: Final = 32
_TOO_SLOW: Final = (
    "even a batch of one takes longer than the target allows, however many replicas there are"
)


def improve(context: TuningContext) -> TuneDecision:
    """Look for a configuration that meets the objectives, or comes nearer."""
    undelayed = _undelayed(context)
    if undelayed is not None:
        return undelayed
    latest = None if context.late else _still_true(context)
    if latest is not None and latest.reason in {Reason.NEEDS_CAPACITY, Reason.NO_BETTER}:
        return _repeated(context, latest)
    question = context.question()
    found = economy.answer(question, economical=False)
    needs, message = _needs(context, question, found)
    enough = needs == ENOUGH
    reason = Reason.NO_BETTER if enough else Reason.NEEDS_CAPACITY
    if _worth_changing(question, found, saturated=context.saturated):
        reason = Reason.PREDICTED_TO_MEET if enough else reason
        urgent = _hurried(context, question, found)
        return context.change(found.best.batching, reason, message, needs=needs, urgent=urgent)
    tried = _explored(context, question, found)
    if tried is not None:
        return context.change(tried, Reason.EXPLORING, message, needs=needs)
    return _noted(context, reason, message, needs).hold(reason, message, needs=needs)


def _undelayed(context: TuningContext) -> TuneDecision | None:
    """Take back a queue delay first: without it the model has served, and wasted nothing.

    Where the bound holds requests back batches are full, and the delay is not what they wait for.
    """
    applied, after = context.applied, context.undelayed
    if applied == after or context.late or context.saturated:
        return None
    spoilt = context.failing_saving()
    message = f"batches are no longer waited for: {context.verdict.message}"
    return spoilt.change(after, context.verdict.reason, message)


def _explored(
    context: TuningContext, question: SearchContext, found: SearchResult
) -> Batching | None:
    """Return what to try where nothing is in time and nothing that is expected would change it."""
    if not context.late or found.best.capacity_per_s > question.lasting_per_s:
        return None
    instances = context.applied.instances
    points = context.learned.service.known(instances)
    bound = exploration.hopeful(points, question.reach, question.lasting_per_s, instances)
    if bound is None or bound == context.applied.max_batch_size:
        return None
    return with_bound(context.applied, bound)


def economise(context: TuningContext) -> TuneDecision:
    """Look for a configuration that meets the objectives with less device time.

    Nothing is changed for less than it is worth, nor before a second search finds so as well.
    """
    met = context.verdict.message
    latest = _still_true(context)
    asked_for = _policy_missing(context) or latency.undelayed(context, searched=bool(latest))
    if asked_for is not None:
        return asked_for
    may = _may_economise(context)
    if latest is not None and not (may and latest.reason == Reason.CHEAPER):
        return replace(_repeated(context, latest), reason=Reason.MET, message=met)
    if not may:
        return context.hold(Reason.MET, met)
    found = economy.answer(context.economical(), economical=True)
    if not found.best.meets or found.saves < economy.WORTH_SAVING:
        return _noted(context, Reason.MET, met).hold(Reason.MET, met)
    if latest is None:
        return _noted(context, Reason.CHEAPER, met).hold(Reason.MET, met)
    message = (
        f"{describe(found.best.batching)} needs {found.saves:.0%} less device time: "
        f"{_foretold(context, found.best)}"
    )
    spared = context.knowing(economised_s=(*_recent_savings(context), context.window.ended_at_s))
    return spared.change(found.best.batching, Reason.CHEAPER, message)


def _may_economise(context: TuningContext) -> bool:
    learned, now_s = context.learned, context.window.ended_at_s
    recent = _recent_savings(context)
    most = max(MOST_SAVINGS, context.spec.guardrails.max_reloads_per_hour // 2)
    return (
        learned.trial is None
        and learned.demand.seconds >= MIN_HISTORY_S
        and len(recent) < most
        and (not recent or now_s - recent[-1] >= ECONOMY_INTERVAL_S)
    )


def _recent_savings(context: TuningContext) -> tuple[float, ...]:
    """Return when changes of the last hour were made that only save device time."""
    now_s = context.window.ended_at_s
    return tuple(at_s for at_s in context.learned.economised_s if now_s - at_s < HOUR_S)


def _policy_missing(context: TuningContext) -> TuneDecision | None:
    """Install the queue policy that the specification asks for, or remove what it does not.

    While nothing is late it can wait until device time may be saved by the same change.
    """
    applied = context.applied
    wants = context.spec.on_overload == "Reject" and isfinite(context.goal.target_ms)
    if wants == bool(applied.default_timeout_microseconds) or context.learned.trial is not None:
        return None
    if not context.learned.service.has_shape or not _policy_free(context, wanted=wants):
        return None
    message = f"onOverload is {context.spec.on_overload}"
    if not wants:
        return context.change(overload.without_policy(applied), Reason.QUEUE_POLICY, message)
    if context.learned.demand.seconds < MIN_HISTORY_S:
        return context.hold(Reason.MET, context.verdict.message)
    question = context.question()
    after = economy.answer(question, economical=True).best.batching
    if not after.default_timeout_microseconds:
        after = search.safest(question, applied.instances).batching
    return context.change(after, Reason.QUEUE_POLICY, message)


def _policy_free(context: TuningContext, *, wanted: bool) -> bool:
    """Whether a timeout can come or go: a policy that the model's owner stated stays."""
    tried = context.in_effect(context.applied.with_(default_timeout_microseconds=int(wanted)))
    return bool(tried.default_timeout_microseconds) == wanted


def _worth_changing(question: SearchContext, found: SearchResult, *, saturated: bool) -> bool:
    """Whether to change: not into the unknown for a single burst while the rest is in time."""
    guessed = found.best.batching.max_batch_size > question.reach.known
    if found.best.batching == found.present.batching:
        return False
    if guessed and found.present.reaches and not question.backlog:
        return False
    if guessed and question.backlog and question.stands_s(found.present) <= search.SOON_OVER_S:
        return False
    gained = question.gained(found.best, found.present)
    more_capacity = found.best.capacity_per_s > found.present.capacity_per_s * (1 + WORTH_GROWING)
    return (
        gained >= WORTH_GAINING
        or (found.best.meets and not found.present.meets and not question.backlog)
        or (saturated and gained >= 0 and more_capacity)
    )


def _hurried(context: TuningContext, question: SearchContext, found: SearchResult) -> bool:
    """Whether what requests lose now, under the demand of this window, is worth a reload at once.

    The history would hide a level that has just begun.
    """
    demand = Demand().with_window(context.window)
    if demand.rate_per_s <= 0:
        return False
    now = replace(question, load=demand.load(context.window.pods))
    best, present = now.predict(found.best.batching), now.predict(found.present.batching)
    return best.attainment - present.attainment >= WORTH_HURRYING


def _needs(
    context: TuningContext, question: SearchContext, found: SearchResult
) -> tuple[Needs, str]:
    """Return what is needed, if the best configuration is not enough, and why."""
    if found.best.reaches:
        return ENOUGH, f"{context.verdict.message}; predicted: {_foretold(context, found.best)}"
    best = f"the best configuration, {describe(found.best.batching)}, is predicted to miss"
    count = search.replicas_needed(question, context.window.pods, MAX_REPLICAS)
    if count is not None:
        return Replicas(count), f"{context.verdict.message}; {best}; {count} replicas would do"
    (alone_ms,) = question.curve_ms(found.best.batching.instances, 1)
    if alone_ms + question.goal.overhead_ms <= question.goal.target_ms:
        message = f"{context.verdict.message}; {best}, as would {MAX_REPLICAS} replicas"
        return Unattainable(f"{MAX_REPLICAS} replicas would not meet them either"), message
    remedy = f"no number of replicas helps: a batch of one takes {alone_ms:.1f} ms"
    return Unattainable(_TOO_SLOW), f"{context.verdict.message}; {best}, and {remedy}"


def _foretold(context: TuningContext, prediction: Prediction) -> str:
    wanted = context.objectives.latency
    if wanted is None:
        return f"up to {prediction.capacity_per_s:.0f} inferences/s per pod"
    return f"p{wanted.percentile} {prediction.latency_ms:.1f} ms"


def _still_true(context: TuningContext) -> Evaluation | None:
    """Return the latest search if it was made under the present circumstances."""
    latest = context.learned.evaluation
    if latest is None or latest.batching != context.applied or latest.windows >= latest.patience:
        return None
    same_rate = is_close(context.rate_per_s, latest.rate_per_s, SAME_RATE)
    same_past = is_close(context.learned.demand.rate_per_s, latest.mean_per_s, SAME_RATE)
    same_service = is_close(context.service_ms, latest.service_ms, SAME_SERVICE)
    return latest if same_rate and same_past and same_service else None


def _repeated(context: TuningContext, latest: Evaluation) -> TuneDecision:
    older = context.knowing(evaluation=replace(latest, windows=latest.windows + 1))
    return older.hold(latest.reason, latest.message, needs=latest.needs)


def _noted(
    context: TuningContext, reason: Reason, message: str, needs: Needs = ENOUGH
) -> TuningContext:
    """Return the context with the search remembered."""
    evaluation = Evaluation(
        batching=context.applied,
        rate_per_s=context.rate_per_s,
        mean_per_s=context.learned.demand.rate_per_s,
        service_ms=context.service_ms,
        reason=reason,
        message=message,
        needs=needs,
        patience=_patience(context, reason),
    )
    return context.knowing(evaluation=evaluation)


def _patience(context: TuningContext, reason: Reason) -> int:
    """Return how many windows the same answer is good for: twice as many as it was last time."""
    latest = context.learned.evaluation
    if latest is None or latest.reason != reason or latest.batching != context.applied:
        return 1
    return min(2 * latest.patience, MOST_PATIENCE)
