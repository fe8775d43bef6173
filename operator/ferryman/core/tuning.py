"""What becomes of the tuner's word: it is applied, recommended, made to wait, or is to stay."""

from dataclasses import replace
from typing import Final

from ferryman.api.conditions import Reason
from ferryman.core.changes import cheapest_actuator, describe
from ferryman.core.guardrails import refuse_reload
from ferryman.core.situation import BatchingDecision, Situation
from ferryman.core.tuner import TuneDecision, tune

#: What the tuner answers while it has not come to a decision.
_UNDECIDED: Final = (Reason.NO_TRAFFIC, Reason.OBSERVING, Reason.COLLECTING)
#: These explain more than the collecting of values that follows them.
_OUTLAST_COLLECTING: Final = (
    Reason.AT_LIMIT,
    Reason.TREND_FLAT,
    Reason.CONFIG_REFUSED,
    Reason.RECOMMENDED,
)


def let_tuner_step(situation: Situation) -> BatchingDecision | None:
    """Ask the tuner after a window; apply, recommend or explain what it says."""
    spec, window, applied = situation.spec, situation.window, situation.applied
    if window is None or spec.mode == "Fixed" or not situation.pods:
        return None
    tuned = tune(spec, situation.model.spec.objectives, applied, window, situation.state)
    if spec.mode == "Recommend":
        return _recommend(situation, tuned)
    return _stay(situation, tuned) if tuned.batching == applied else _apply(situation, tuned)


def _stay(situation: Situation, tuned: TuneDecision) -> BatchingDecision:
    """Explain why nothing changes, in the words of before where they are still true."""
    explained = situation.batching.reason
    if tuned.reason == Reason.COLLECTING:
        if explained in _OUTLAST_COLLECTING:
            return situation.hold(state=tuned.state)
        # Not in the tuner's words: they count the values, and a count is a write per window.
        message = (
            f"an objective is missed: {situation.spec.trend.samples} windows make a trend, and "
            "the batch bound follows it"
        )
        return situation.hold(Reason.COLLECTING, message, state=tuned.state)
    if situation.steady and tuned.reason == explained:
        return situation.hold(state=tuned.state)
    return situation.hold(tuned.reason, tuned.message, state=tuned.state)


def _recommend(situation: Situation, tuned: TuneDecision) -> BatchingDecision:
    """Write the tuner's decisions down without carrying them out."""
    if tuned.reason in _UNDECIDED:
        return _stay(situation, tuned)
    before = situation.batching
    situation = replace(situation, batching=before.with_(recommended=tuned.batching))
    if tuned.batching == situation.applied:
        return _stay(situation, tuned)
    if before.reason == Reason.RECOMMENDED and before.recommended == tuned.batching:
        return situation.hold(state=tuned.state)
    return situation.hold(Reason.RECOMMENDED, tuned.message, state=tuned.state)


def _apply(situation: Situation, tuned: TuneDecision) -> BatchingDecision:
    """Carry a step out, if it needs no reload or the guardrails allow one."""
    if cheapest_actuator(situation.applied, tuned.batching) == "Reload":
        batching = situation.batching
        refused = refuse_reload(situation.spec.guardrails, batching.recent_reloads, situation.now)
        if refused is not None:
            # The tuner keeps its state of before, so that it decides afresh at each window.
            message = f"{describe(tuned.batching)} waits: {refused.message}"
            return situation.hold(refused.reason, message)
    return situation.change(tuned.batching, tuned.reason, tuned.message, state=tuned.state)
