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
from ferryman.core.observation.window import Window
from ferryman.core.tuners import trend as trend_tuner
from ferryman.core.tuners.guarded import (
    improvement,
    judgement,
    learning,
    memory,
    search,
    sizing,
    verification,
)
from ferryman.core.tuners.guarded.context import TuningContext
from ferryman.core.tuners.state import (
    MIN_REQUESTS,
    TuneDecision,
    TunerState,
    with_bound,
)
from ferryman.core.wording import describe

#: A curve that is further than this from what it was fitted to is not believed.
MAX_MISFIT: Final = 0.1


def decide(
    spec: BatchingSpec,
    objectives: Objectives,
    applied: Batching,
    window: Window,
    state: TunerState,
) -> TuneDecision:
    """Decide about bound, queue delay, preferred sizes, instances and queue policy together."""
    known = verification.settled(state.learned, applied)
    verdict = judgement.judged(known, objectives, applied, window)
    taught = learning.after(known, applied, window)
    if verdict.met is False:
        taught = replace(taught, missed_at_s=window.ended_at_s)
    if window.requests + window.failures:
        taught = memory.cleared(taught, applied.max_batch_size)
    case = TuningContext(spec, objectives, applied, window, replace(state, learned=taught), verdict)
    answer = memory.too_large(case, known) or _unknown(case) or _known(case)
    return sizing.sized(case, answer)


def _unknown(case: TuningContext) -> TuneDecision | None:
    """Hold while too little was seen to decide anything."""
    requests = case.window.requests
    if case.verdict.met is None:
        return case.hold(Reason.NO_TRAFFIC, case.verdict.message)
    if requests < MIN_REQUESTS:
        message = f"only {requests} requests in the window, {MIN_REQUESTS} needed to judge"
        return case.hold(Reason.OBSERVING, message)
    if not case.learned.service.points or case.learned.demand.rate_per_s <= 0:
        message = f"no batch was executed that Triton counted; {case.verdict.message}"
        return case.hold(Reason.LEARNING, message)
    return None


def _known(case: TuningContext) -> TuneDecision:
    case, regressed = _verified(case)
    return _taken_back(case) if regressed else _tuned(case)


def _verified(case: TuningContext) -> tuple[TuningContext, bool]:
    """Hold a change that is on trial against its prediction; say whether it failed.

    It is on trial for as long as a better one would have to wait: nothing but a rollback helps
    when demand finds its weakness only then.
    """
    trial, window = case.learned.trial, case.window
    if trial is None:
        return case, False
    expected = learning.expected(trial.service, case.applied, window, case.goal)
    if expected is None:
        return case, False
    trial = verification.verified(trial, window, expected, missed=case.verdict.met is False)
    waits_s = case.spec.guardrails.min_seconds_between_reloads
    tried = trial.good >= verification.WINDOWS
    over = tried and window.ended_at_s - trial.begun_at_s >= waits_s
    return case.knowing(trial=None if over else trial), trial.bad >= verification.WINDOWS


def _taken_back(case: TuningContext) -> TuneDecision:
    """Go back to what served before, and remember what failed."""
    trial = case.learned.trial
    assert trial is not None  # noqa: S101  only a trial can have failed
    learned = verification.taken_back(case.learned, trial, case.window.ended_at_s)
    known = replace(case, state=replace(case.state, learned=learned))
    refuge = search.refuge(known.question(), trial.before)
    failed, before = describe(trial.after), describe(trial.before)
    message = f"{failed} did worse than predicted: {case.verdict.message}"
    if refuge != trial.before:
        message += f"; {describe(refuge)} is predicted to do far better than {before} did"
    return TuneDecision(refuge, Reason.ROLLED_BACK, message, known.state, if_refused=case.state)


def _tuned(case: TuningContext) -> TuneDecision:
    if case.verdict.met:
        return improvement.economise(case)
    if case.learned.service.misfit(case.applied.instances) > MAX_MISFIT:
        return _without_model(case)
    if case.saturated and not case.learned.service.has_shape:
        return _grown(case)
    return improvement.improve(case)


def _without_model(case: TuningContext) -> TuneDecision:
    """Follow the trend, but never down while the bound holds requests back.

    A queue delay goes first: it was chosen by what is no longer believed, and to the trend, which
    knows the bound alone, its wait would look like that of batches that are too large.
    """
    if case.saturated:
        return _grown(case)
    if case.verdict.latency == 1 and case.applied != case.undelayed:
        message = f"batches are no longer waited for: {case.verdict.message}"
        return case.change(case.undelayed, case.verdict.reason, message)
    stepped = trend_tuner.step(case.spec, case.applied, case.verdict, case.state)
    most = case.reach.largest_bound
    if stepped.batching.max_batch_size > most:
        return case.hold(Reason.AT_LIMIT, f"the bound may not grow; {case.verdict.message}")
    if stepped.batching == case.applied:
        return stepped
    changed = case.change(stepped.batching, stepped.reason, stepped.message)
    trajectory = stepped.state.trajectory
    return replace(changed, state=changed.state.collecting(trajectory))


def _grown(case: TuningContext) -> TuneDecision:
    """Raise the bound as far as the largest batch that was seen allows."""
    bound, most = case.applied.max_batch_size, case.reach.largest_bound
    if bound >= most:
        message = f"saturated at the largest bound that may be tried, {most}"
        return case.hold(Reason.SATURATED, f"{message}; {case.verdict.message}")
    message = f"batches are full and requests queue: {case.verdict.message}"
    return case.change(with_bound(case.applied, most), Reason.SATURATED, message)
