"""What becomes of the tuner's word: it is applied, recommended, made to wait, or is to stay."""

from dataclasses import replace
from datetime import datetime
from typing import Final

from ferryman.api.batching import Guardrails
from ferryman.api.conditions import Reason
from ferryman.core.batching.context import BatchingContext, BatchingDecision
from ferryman.core.batching.guardrails import ROLLBACKS, refuse_reload
from ferryman.core.tuners.protocol import Decision
from ferryman.core.tuners.select import TuneDecision, TunerState, tune
from ferryman.core.wording import describe

#: What an algorithm answers while it has not come to a decision.
UNDECIDED: Final = (Reason.NO_TRAFFIC, Reason.OBSERVING, Reason.COLLECTING, Reason.LEARNING)
#: These explain more than the collecting of values, or the learning, that follows them.
_OUTLAST_COLLECTING: Final = (
    Reason.AT_LIMIT,
    Reason.TREND_FLAT,
    Reason.CONFIG_REFUSED,
    Reason.ROLLED_BACK,
    Reason.RECOMMENDED,
)
_LEARNING: Final = (
    "it is being learnt how long batches of each size take: the batching follows once that is known"
)


def let_tuner_step(situation: BatchingContext) -> BatchingDecision | None:
    """Ask the tuner after a window; apply, recommend or explain what it says."""
    spec, window, applied = situation.spec, situation.window, situation.applied
    if window is None or spec.mode == "Fixed" or not situation.pods:
        return None
    tuned = tune(spec, situation.model.spec.objectives, applied, window, situation.state)
    tuned = _as_overlaid(situation, tuned)
    situation = _with_needs(situation, tuned)
    if spec.mode == "Recommend":
        return _recommend(situation, tuned)
    return _stay(situation, tuned) if tuned.batching == applied else _apply(situation, tuned)


def why_reload_waits(
    word: Decision, guardrails: Guardrails, recent_reloads: tuple[str, ...], now: datetime
) -> tuple[Reason, str] | None:
    """Return why a reload that an algorithm asks for must wait; None when it may happen now."""
    rollback = word.reason in ROLLBACKS
    refused = refuse_reload(guardrails, recent_reloads, now, rollback=rollback)
    if refused is None:
        return None
    return refused.reason, f"{describe(word.batching.canonical())} waits: {refused.message}"


def _as_overlaid(situation: BatchingContext, tuned: TuneDecision) -> TuneDecision:
    """Return the tuner's word as it would come into force: an overlay may keep it from it."""
    batching = situation.in_effect(tuned.batching)
    kept = batching == situation.applied != tuned.batching.canonical()
    return replace(tuned, batching=batching, state=_if_refused(tuned) if kept else tuned.state)


def _if_refused(tuned: TuneDecision) -> TunerState:
    """Return what the tuner remembers where its word is not carried out."""
    return tuned.state if tuned.if_refused is None else tuned.if_refused


def _with_needs(situation: BatchingContext, tuned: TuneDecision) -> BatchingContext:
    """Take down the replicas that the tuner asks for; too few requests to judge say nothing."""
    needed = tuned.needs_replicas
    if tuned.reason == Reason.OBSERVING or needed == situation.batching.needed_replicas:
        return situation
    return replace(situation, batching=situation.batching.with_(needed_replicas=needed))


def _stay(situation: BatchingContext, tuned: TuneDecision) -> BatchingDecision:
    """Explain why nothing changes, in the words of before where they are still true."""
    explained = situation.batching.reason
    if tuned.reason in {Reason.COLLECTING, Reason.LEARNING}:
        if explained in _OUTLAST_COLLECTING:
            return situation.hold(state=tuned.state)
        # Not in the tuner's words: they count the values, and a count is a write per window.
        message = _LEARNING if tuned.reason == Reason.LEARNING else _collecting(situation)
        return situation.hold(tuned.reason, message, state=tuned.state)
    if situation.steady and tuned.reason == explained:
        return situation.hold(state=tuned.state)
    return situation.hold(tuned.reason, tuned.message, state=tuned.state)


def _collecting(situation: BatchingContext) -> str:
    samples = situation.spec.trend.samples
    return f"an objective is missed: {samples} windows make a trend, and the batch bound follows it"


def _recommend(situation: BatchingContext, tuned: TuneDecision) -> BatchingDecision:
    """Write the tuner's decisions down without carrying them out."""
    if tuned.reason in UNDECIDED:
        return _stay(situation, tuned)
    before = situation.batching
    situation = replace(situation, batching=before.with_(recommended=tuned.batching))
    if tuned.batching == situation.applied:
        return _stay(situation, tuned)
    state = _if_refused(tuned)
    if before.reason == Reason.RECOMMENDED and before.recommended == tuned.batching:
        return situation.hold(state=state)
    return situation.hold(Reason.RECOMMENDED, tuned.message, state=state)


def _apply(situation: BatchingContext, tuned: TuneDecision) -> BatchingDecision:
    """Carry a step out, if it needs no reload or the guardrails allow one."""
    if situation.actuator(situation.applied, tuned.batching) == "Reload":
        reloads = situation.batching.recent_reloads
        waits = why_reload_waits(tuned, situation.spec.guardrails, reloads, situation.now)
        if waits is not None:
            # Unless it says otherwise the tuner keeps its state of before: it decides afresh.
            return situation.hold(*waits, state=tuned.if_refused)
    return situation.change(
        tuned.batching,
        tuned.reason,
        tuned.message,
        state=tuned.state,
        if_refused=_if_refused(tuned),
    )
