"""The tuner's step in the operator: in which words the status tells what became of it."""

from dataclasses import replace
from typing import Final

from ferryman.api.conditions import Reason
from ferryman.core.batching import desired
from ferryman.core.batching.context import BatchingContext, BatchingDecision
from ferryman.core.batching.step import UNDECIDED, Step
from ferryman.core.observation.window import Window
from ferryman.core.scaling import stabilization
from ferryman.core.triton import config as triton_config
from ferryman.core.tuners.protocol import Decision
from ferryman.core.tuners.select import tune

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


def let_tuner_step(context: BatchingContext) -> BatchingDecision | None:
    """Ask the tuner after a window; apply, recommend or explain what it says."""
    spec, window, applied = context.spec, context.window, context.applied
    if window is None or spec.mode == "Fixed" or not context.pods:
        return None
    objectives, asked = context.model.spec.objectives, triton_config.within(context.overlay, spec)
    word = tune(asked, objectives, applied, window, context.state, in_effect=context.in_effect)
    taken = context.step(word, guardrails=spec.guardrails, recommend=spec.mode == "Recommend")
    context = _with_needs(context, word, window)
    if taken.verb == "Recommend":
        return _recommend(context, taken)
    in_force = taken.actuator is None or taken.reason in UNDECIDED
    stays = taken.verb == "Stay" and in_force
    return _stay(context, taken) if stays else context.carry_out(taken)


def _with_needs(context: BatchingContext, word: Decision, window: Window) -> BatchingContext:
    """Take down what the tuner says is needed."""
    model, least = context.model, stabilization.stated(context.model.spec.scaling)
    batching = desired.noted(
        context.batching, word, window, model.replicas, now=context.now, least=least
    )
    return replace(context, batching=batching)


def _stay(context: BatchingContext, taken: Step) -> BatchingDecision:
    """Explain why nothing changes, in the words of before where they are still true."""
    explained = context.batching.reason
    if taken.reason in {Reason.COLLECTING, Reason.LEARNING}:
        if explained in _OUTLAST_COLLECTING:
            return context.hold(taken=taken)
        # Not in the tuner's words: they count the values, and a count is a write per window.
        message = _LEARNING if taken.reason == Reason.LEARNING else _collecting(context)
        return context.hold(taken.reason, message, taken=taken)
    if taken.reason == Reason.OBSERVING and explained == Reason.NEEDS_CAPACITY:
        return context.hold(taken=taken)  # what is needed stands as well
    if context.steady and taken.reason == explained:
        return context.hold(taken=taken)
    return context.hold(taken.reason, taken.message, taken=taken)


def _collecting(context: BatchingContext) -> str:
    samples = context.spec.trend.samples
    return f"an objective is missed: {samples} windows make a trend, and max_batch_size follows it"


def _recommend(context: BatchingContext, taken: Step) -> BatchingDecision:
    """Write the tuner's decisions down without carrying them out."""
    before = context.batching
    context = replace(context, batching=before.with_(recommended=taken.batching))
    if taken.actuator is None:
        return _stay(context, taken)
    if before.reason == Reason.RECOMMENDED and before.recommended == taken.batching:
        return context.hold(taken=taken)
    return context.hold(Reason.RECOMMENDED, taken.message, taken=taken)
