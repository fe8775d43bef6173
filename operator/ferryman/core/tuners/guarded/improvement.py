"""When to look for a better configuration, and when the best one is worth a change.

A search costs some twenty milliseconds to a second of computing: it is repeated only when the
demand or the service times have changed, or after some windows.
"""

from dataclasses import replace
from math import isfinite
from typing import Final

from ferryman.api.conditions import Reason
from ferryman.core.tuners.guarded import overload, search
from ferryman.core.tuners.guarded.context import TuningContext
from ferryman.core.tuners.guarded.prediction import Prediction
from ferryman.core.tuners.guarded.search import SearchContext, SearchResult
from ferryman.core.tuners.needs import ENOUGH, MAX_REPLICAS, Needs, Replicas, Unattainable
from ferryman.core.tuners.state import Evaluation, TuneDecision
from ferryman.core.wording import describe

#: Attainment that a change must gain while the objectives stay out of reach.
WORTH_GAINING: Final = 0.01
#: Device time that a change must save to be worth making while the objectives are met.
WORTH_SAVING: Final = 0.05
#: Demand must be known for so long before device time is saved.
MIN_HISTORY_S: Final = 60.0
#: The least time between two changes that only save device time.
ECONOMY_INTERVAL_S: Final = 600.0
#: A rate or a service time that changed by less is the same.
SAME_RATE: Final = 0.15
SAME_SERVICE: Final = 0.05
#: A search is repeated although nothing changed after one window, two, four, … at most these.
MOST_PATIENCE: Final = 32
_TOO_SLOW: Final = (
    "even a batch of one takes longer than the target allows, however many replicas there are"
)


def improve(case: TuningContext) -> TuneDecision:
    """Look for a configuration that meets the objectives, or comes nearer."""
    latest = _still_true(case)
    if latest is not None and latest.reason in {Reason.NEEDS_CAPACITY, Reason.NO_BETTER}:
        return _repeated(case, latest)
    question = case.question()
    found = search.answer(question, economical=False)
    needs, message = _needs(case, question, found)
    enough = needs == ENOUGH
    reason = Reason.NO_BETTER if enough else Reason.NEEDS_CAPACITY
    if _worth_changing(question, found, saturated=case.saturated):
        reason = Reason.PREDICTED_TO_MEET if enough else reason
        return case.change(found.best.batching, reason, message, needs=needs)
    return _noted(case, reason, message, needs).hold(reason, message, needs=needs)


def economise(case: TuningContext) -> TuneDecision:
    """Look for a configuration that meets the objectives with less device time.

    Nothing is changed for less than it is worth, nor before a second search finds so as well.
    """
    policed = _policy_missing(case)
    if policed is not None:
        return policed
    met = case.verdict.message
    latest = _still_true(case)
    may = _may_economise(case)
    if latest is not None and not (may and latest.reason == Reason.CHEAPER):
        return replace(_repeated(case, latest), reason=Reason.MET, message=met)
    if not may:
        return case.hold(Reason.MET, met)
    found = search.answer(case.question(), economical=True)
    if not found.best.meets or found.saves < WORTH_SAVING:
        return _noted(case, Reason.MET, met).hold(Reason.MET, met)
    if latest is None:
        return _noted(case, Reason.CHEAPER, met).hold(Reason.MET, met)
    message = (
        f"{describe(found.best.batching)} needs {found.saves:.0%} less device time: "
        f"{_foretold(case, found.best)}"
    )
    spared = case.knowing(economised_at_s=case.window.ended_at_s)
    return spared.change(found.best.batching, Reason.CHEAPER, message)


def _may_economise(case: TuningContext) -> bool:
    learned, now_s = case.learned, case.window.ended_at_s
    economised_s = learned.economised_at_s
    return (
        learned.trial is None
        and learned.demand.seconds >= MIN_HISTORY_S
        and (economised_s is None or now_s - economised_s >= ECONOMY_INTERVAL_S)
    )


def _policy_missing(case: TuningContext) -> TuneDecision | None:
    """Install the queue policy that the specification asks for, or remove what it does not."""
    applied = case.applied
    wants = case.spec.on_overload == "Reject" and isfinite(case.goal.target_ms)
    if wants == bool(applied.default_timeout_microseconds) or case.learned.trial is not None:
        return None
    if not case.learned.service.has_shape:
        return None
    if wants:
        after = search.safest(case.question(), applied.instances).batching
    else:
        after = overload.without_policy(applied)
    return case.change(after, Reason.QUEUE_POLICY, f"onOverload is {case.spec.on_overload}")


def _worth_changing(question: SearchContext, found: SearchResult, *, saturated: bool) -> bool:
    """Whether to change: not into the unknown for a single burst while the rest is in time."""
    guessed = found.best.batching.max_batch_size > question.reach.known
    if found.best.batching == found.present.batching or (guessed and found.present.reaches):
        return False
    gained = found.best.attainment - found.present.attainment
    more_capacity = found.best.capacity_per_s > found.present.capacity_per_s * (1 + WORTH_SAVING)
    return (
        gained >= WORTH_GAINING
        or (found.best.meets and not found.present.meets)
        or (saturated and gained >= 0 and more_capacity)
    )


def _needs(case: TuningContext, question: SearchContext, found: SearchResult) -> tuple[Needs, str]:
    """Return what is needed, if the best configuration is not enough, and why."""
    if found.best.reaches:
        return ENOUGH, f"{case.verdict.message}; predicted: {_foretold(case, found.best)}"
    best = f"the best configuration, {describe(found.best.batching)}, is predicted to miss"
    count = search.replicas_needed(question, case.window.pods, MAX_REPLICAS)
    if count is not None:
        return Replicas(count), f"{case.verdict.message}; {best}; {count} replicas would do"
    (alone_ms,) = question.curve_ms(found.best.batching.instances, 1)
    if alone_ms + question.goal.overhead_ms <= question.goal.target_ms:
        message = f"{case.verdict.message}; {best}, as would {MAX_REPLICAS} replicas"
        return Unattainable(f"{MAX_REPLICAS} replicas would not meet them either"), message
    remedy = f"no number of replicas helps: a batch of one takes {alone_ms:.1f} ms"
    return Unattainable(_TOO_SLOW), f"{case.verdict.message}; {best}, and {remedy}"


def _foretold(case: TuningContext, prediction: Prediction) -> str:
    latency = case.objectives.latency
    if latency is None:
        return f"up to {prediction.capacity_per_s:.0f} inferences/s per pod"
    return f"p{latency.percentile} {prediction.latency_ms:.1f} ms"


def _still_true(case: TuningContext) -> Evaluation | None:
    """Return the latest search if it was made under the present circumstances."""
    latest = case.learned.evaluation
    if latest is None or latest.batching != case.applied or latest.windows >= latest.patience:
        return None
    same_rate = _close(case.rate_per_s, latest.rate_per_s, SAME_RATE)
    same_service = _close(case.service_ms, latest.service_ms, SAME_SERVICE)
    return latest if same_rate and same_service else None


def _close(one: float, other: float, tolerance: float) -> bool:
    return abs(one - other) <= tolerance * other


def _repeated(case: TuningContext, latest: Evaluation) -> TuneDecision:
    older = case.knowing(evaluation=replace(latest, windows=latest.windows + 1))
    return older.hold(latest.reason, latest.message, needs=latest.needs)


def _noted(
    case: TuningContext, reason: Reason, message: str, needs: Needs = ENOUGH
) -> TuningContext:
    """Return the case with the search remembered."""
    evaluation = Evaluation(
        batching=case.applied,
        rate_per_s=case.rate_per_s,
        service_ms=case.service_ms,
        reason=reason,
        message=message,
        needs=needs,
        patience=_patience(case, reason),
    )
    return case.knowing(evaluation=evaluation)


def _patience(case: TuningContext, reason: Reason) -> int:
    """Return how many windows the same answer is good for: twice as many as it was last time."""
    latest = case.learned.evaluation
    if latest is None or latest.reason != reason or latest.batching != case.applied:
        return 1
    return min(2 * latest.patience, MOST_PATIENCE)
