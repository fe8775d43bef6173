"""Algorithm ``Guarded``: learn what batches cost, predict, change rarely, verify, take back.

After each window the service time curve and the demand are learned from what Triton counted.
While the objectives are met, a cheaper configuration is looked for now and then; when one is
missed, a better one, at once (``improvement``). Predictions are believed only while they
describe what is seen; otherwise ``Trend`` decides, except that a saturated model is never given
a smaller batch: below its capacity, latency tells nothing about the size.
"""

from dataclasses import replace
from typing import Final

from ferryman.api.batching import Batching, BatchingSpec
from ferryman.api.conditions import Reason
from ferryman.api.objectives import Objectives
from ferryman.core.observation.objectives import MIN_REQUESTS, few
from ferryman.core.observation.window import Window
from ferryman.core.tuners import trend as trend_tuner
from ferryman.core.tuners.guarded import (
    exploration,
    improvement,
    judgement,
    learning,
    memory,
    search,
    sizing,
    verification,
)
from ferryman.core.tuners.guarded.context import TuningContext
from ferryman.core.tuners.protocol import InEffect
from ferryman.core.tuners.state import TuneDecision, TunerState, with_bound
from ferryman.core.wording import describe

#: A curve that is further than this from what it was fitted to is not believed.
MAX_MISFIT: Final = 0.1


def decide(
    spec: BatchingSpec,
    objectives: Objectives,
    applied: Batching,
    window: Window,
    state: TunerState,
    *,
    in_effect: InEffect = Batching.canonical,
) -> TuneDecision:
    """Decide about bound, queue delay, preferred sizes, instances and queue policy together."""
    window = learning.told_apart(applied, window)
    known = verification.settled(state.learned, applied)
    verdict = judgement.judged(known, objectives, applied, window)
    taught = learning.after(known, applied, window)
    if verdict.met is False or window.left_behind:
        taught = replace(taught, missed_at_s=window.ended_at_s)
    if window.requests + window.failures:
        taught = memory.cleared(taught, applied.max_batch_size)
    state = replace(state, learned=taught)
    context = TuningContext(spec, objectives, applied, window, state, verdict, in_effect)
    answer = memory.too_large(context, known) or _unknown(context) or _known(context)
    return sizing.sized(context, answer)


def _unknown(context: TuningContext) -> TuneDecision | None:
    """Hold while too little was seen to decide anything."""
    requests = context.window.requests
    if context.verdict.met is None:
        return context.hold(context.verdict.reason, context.verdict.message)
    if few(context.window, context.verdict):
        message = f"only {requests} requests in the window, {MIN_REQUESTS} needed to judge"
        return context.hold(Reason.OBSERVING, message)
    if not context.learned.service.points or context.learned.demand.rate_per_s <= 0:
        message = f"no batch was executed that Triton counted; {context.verdict.message}"
        return context.hold(Reason.LEARNING, message)
    return None


def _known(context: TuningContext) -> TuneDecision:
    learned = context.learned
    before = learned.leaving if learned.trial is None else learned.trial.before
    if before is not None and verification.draining(before, context.applied, context.window):
        message = f"what waited is still served as before; {context.verdict.message}"
        return context.hold(Reason.OBSERVING, message)
    context = context.knowing(leaving=None)
    context, regressed = _verified(context)
    return _taken_back(context) if regressed else _tuned(context)


def _verified(context: TuningContext) -> tuple[TuningContext, bool]:
    """Hold a change that is on trial against its prediction; say whether it failed.

    It is on trial for as long as a better one would have to wait: nothing but a rollback helps
    when demand finds its weakness only then.
    """
    trial, window = context.learned.trial, context.window
    if trial is None:
        return context, False
    expected = learning.expected(trial.service, context.applied, window, context.goal)
    if expected is None:
        return context, False
    trial = verification.verified(trial, window, expected, missed=context.verdict.met is False)
    waits_s = context.spec.guardrails.min_seconds_between_reloads
    tried = trial.good >= verification.WINDOWS
    over = tried and window.ended_at_s - trial.begun_at_s >= waits_s
    return context.knowing(trial=None if over else trial), trial.bad >= verification.WINDOWS


def _taken_back(context: TuningContext) -> TuneDecision:
    """Go back to what served before, and remember what failed."""
    trial = context.learned.trial
    assert trial is not None  # noqa: S101  only a trial can have failed
    learned = verification.taken_back(context.learned, trial, context.window.ended_at_s)
    known = replace(context, state=replace(context.state, learned=learned))
    fallback = search.fallback(known.question(), trial.before)
    if context.late:
        instances, question = trial.before.instances, known.question()
        points = known.learned.service.known(instances)
        bound = exploration.refuge(points, known.reach, question.lasting_per_s, instances)
        fallback = trial.before if bound is None else with_bound(trial.before, bound)
    failed, before = describe(trial.after), describe(trial.before)
    message = f"{failed} did worse than predicted: {context.verdict.message}"
    if fallback != trial.before:
        message += f"; {describe(fallback)} is predicted to do far better than {before} did"
    return TuneDecision(
        fallback, Reason.ROLLED_BACK, message, known.state, if_refused=context.state
    )


def _tuned(context: TuningContext) -> TuneDecision:
    if context.verdict.met and not context.late:
        return improvement.economise(context)
    if context.learned.service.misfit(context.applied.instances) > MAX_MISFIT:
        return _without_model(context)
    one_by_one = context.spec.limits.max_batch_size.max == 1
    if context.saturated and not context.learned.service.has_shape and not one_by_one:
        return _grown(context)
    return improvement.improve(context)


def _without_model(context: TuningContext) -> TuneDecision:
    """Follow the trend, but never down while the bound holds requests back.

    A queue delay goes first: it was chosen by what is no longer believed, and to the trend, which
    knows the bound alone, its wait would look like that of batches that are too large.
    """
    if context.saturated:
        return _grown(context)
    if context.verdict.latency == 1 and context.applied != context.undelayed:
        message = f"batches are no longer waited for: {context.verdict.message}"
        return context.change(context.undelayed, context.verdict.reason, message)
    stepped = trend_tuner.step(context.spec, context.applied, context.verdict, context.state)
    most = context.reach.largest_bound
    if stepped.batching.max_batch_size > most:
        return context.hold(Reason.AT_LIMIT, f"the bound may not grow; {context.verdict.message}")
    if stepped.batching == context.applied:
        return stepped
    changed = context.change(stepped.batching, stepped.reason, stepped.message)
    trajectory = stepped.state.trajectory
    return replace(changed, state=changed.state.collecting(trajectory))


def _grown(context: TuningContext) -> TuneDecision:
    """Raise the bound as far as the largest batch that was seen allows."""
    bound, most = context.applied.max_batch_size, context.reach.largest_bound
    if bound >= most:
        message = f"saturated at the largest bound that may be tried, {most}"
        return context.hold(Reason.SATURATED, f"{message}; {context.verdict.message}")
    message = f"batches are full and requests queue: {context.verdict.message}"
    return context.change(with_bound(context.applied, most), Reason.SATURATED, message)
