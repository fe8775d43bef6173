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
from ferryman.api.inference_model import Objectives
from ferryman.core import trend_tuner
from ferryman.core.changes import describe
from ferryman.core.guarded import improvement, learning, verification
from ferryman.core.guarded.case import Case
from ferryman.core.guarded.prediction import Prediction
from ferryman.core.objectives import Verdict, judge
from ferryman.core.tuner_state import (
    MIN_REQUESTS,
    Learned,
    TuneDecision,
    TunerState,
    with_bound,
)
from ferryman.core.window import QUANTILE_MEMORY_S, Window

#: A curve that is further than this from what it was fitted to is not believed.
MAX_MISFIT: Final = 0.1
#: So large a share of requests that fail after the bound was raised is the bound's fault.
FAILING: Final = 0.01
_US_PER_MS: Final = 1e3


def decide(
    spec: BatchingSpec,
    objectives: Objectives,
    applied: Batching,
    window: Window,
    state: TunerState,
) -> TuneDecision:
    """Decide about bound, queue delay, preferred sizes, instances and queue policy together."""
    known = verification.settled(state.learned, applied)
    foreseen = _foreseen(known, objectives, applied, window)
    verdict = _judged(known, objectives, applied, window, foreseen)
    taught = learning.after(known, applied, window)
    if verdict.met is False:
        taught = replace(taught, missed_at_s=window.ended_at_s)
    case = Case(spec, objectives, applied, window, replace(state, learned=taught), verdict)
    broken = _too_large(case, known)
    if broken is not None:
        return broken
    if verdict.met is None:
        return case.hold(Reason.NO_TRAFFIC, verdict.message)
    if window.requests < MIN_REQUESTS:
        message = f"only {window.requests} requests in the window, {MIN_REQUESTS} needed to judge"
        return case.hold(Reason.OBSERVING, message)
    case, regressed = _verified(case, known, foreseen)
    return _taken_back(case) if regressed else _tuned(case)


def _foreseen(
    known: Learned, objectives: Objectives, applied: Batching, window: Window
) -> Prediction | None:
    """Return what the window should have shown, where that is needed and can be told."""
    needed = known.trial is not None or _unbelievable(known, window)
    if not needed or window.requests < MIN_REQUESTS or not known.service.points:
        return None
    goal = learning.goal(objectives, window)
    return learning.expected(known.service, applied, window, goal)


def _unbelievable(known: Learned, window: Window) -> bool:
    """Whether Triton's percentile is an estimate, or still describes an earlier excursion."""
    missed_at_s = known.missed_at_s
    remembered = missed_at_s is not None and window.ended_at_s - missed_at_s < QUANTILE_MEMORY_S
    return window.latency_estimated or remembered


def _judged(
    known: Learned,
    objectives: Objectives,
    applied: Batching,
    window: Window,
    foreseen: Prediction | None,
) -> Verdict:
    """Judge the window, by a better estimate of its percentile where there is one.

    Where Triton's own is not to be believed, the twin's, corrected by the means, which are
    exact, comes nearer than the mean alone. What was rejected counts as late.
    """
    doubted = foreseen is not None and _unbelievable(known, window)
    if doubted and foreseen is not None and window.mean_latency_ms is not None:
        off = window.mean_latency_ms / foreseen.mean_ms
        window = replace(window, latency_ms=foreseen.latency_ms * off)
    delay_ms = applied.max_queue_delay_microseconds / _US_PER_MS
    verdict = judge(objectives, window, queue_delay_ms=delay_ms)
    asked, latency = window.requests + window.rejected, objectives.latency
    allowed = asked if latency is None else asked * (1 - latency.percentile / 100)
    if not verdict.met or window.rejected <= allowed:
        return verdict
    message = f"{window.rejected} of {asked} requests were rejected; {verdict.message}"
    return replace(verdict, met=False, reason=Reason.REJECTING, message=message)


def _too_large(case: Case, known: Learned) -> TuneDecision | None:
    """Step back at once when requests fail since the bound was raised, and never go there again.

    A batch that does not fit into memory fails, with all of its requests.
    """
    window, bound = case.window, case.applied.max_batch_size
    asked = window.requests + window.failures
    if known.proven or window.failures <= FAILING * asked:
        return None
    before = known.trial.before.max_batch_size if known.trial else 0
    served = min(max(case.learned.service.sizes, default=bound // 2), bound - 1)
    safe = max(before, served, case.spec.limits.max_batch_size.min)
    if safe >= bound:
        return None
    message = (
        f"{window.failures} of {asked} requests failed with batches up to {bound}: "
        f"back to {safe}, and never beyond"
    )
    state = case.knowing(safe_bound=safe, trial=None, evaluation=None).state
    after = with_bound(case.applied, safe)
    return TuneDecision(after, Reason.BATCH_TOO_LARGE, message, state, if_refused=state)


def _verified(case: Case, known: Learned, foreseen: Prediction | None) -> tuple[Case, bool]:
    """Hold a change that is on trial against its prediction; say whether it failed."""
    trial = known.trial
    if trial is None or foreseen is None:
        return case, False
    before, after = trial.before.max_batch_size, trial.after.max_batch_size
    # Larger batches are still those of the configuration before, which drains.
    surprise = known.service.surprise(
        trial.after.instances, case.window.service_times, above=before, upto=after
    )
    trial = verification.verified(
        trial,
        case.window,
        foreseen,
        missed=case.verdict.met is False,
        surprise=surprise,
    )
    over = trial.good >= verification.WINDOWS
    return case.knowing(trial=None if over else trial), trial.bad >= verification.WINDOWS


def _taken_back(case: Case) -> TuneDecision:
    """Go back to what served before, and remember what failed."""
    trial = case.learned.trial
    assert trial is not None  # noqa: S101  only a trial can have failed
    message = (
        f"{describe(trial.after)} did worse than predicted for {trial.bad} windows: "
        f"{case.verdict.message}"
    )
    learned = verification.taken_back(case.learned, trial, case.window.ended_at_s)
    state = replace(case.state, learned=learned)
    return TuneDecision(trial.before, Reason.ROLLED_BACK, message, state, if_refused=case.state)


def _tuned(case: Case) -> TuneDecision:
    if case.verdict.met:
        return improvement.economise(case)
    if case.learned.service.misfit(case.applied.instances) > MAX_MISFIT:
        return _without_model(case)
    if case.saturated and not case.learned.service.has_shape:
        return _grown(case)
    return improvement.improve(case)


def _without_model(case: Case) -> TuneDecision:
    """Follow the trend, but never down while the bound holds requests back."""
    if case.saturated:
        return _grown(case)
    stepped = trend_tuner.step(case.spec, case.applied, case.verdict, case.state)
    if stepped.batching == case.applied:
        return stepped
    changed = case.change(stepped.batching, stepped.reason, stepped.message)
    trajectory = stepped.state.trajectory
    return replace(changed, state=changed.state.collecting(trajectory))


def _grown(case: Case) -> TuneDecision:
    """Raise the bound as far as the largest batch that was seen allows."""
    bound, most = case.applied.max_batch_size, case.question().largest_bound
    if bound >= most:
        message = f"saturated at the largest bound that may be tried, {most}"
        return case.hold(Reason.SATURATED, f"{message}; {case.verdict.message}")
    message = f"batches are full and requests queue: {case.verdict.message}"
    return case.change(with_bound(case.applied, most), Reason.SATURATED, message)
