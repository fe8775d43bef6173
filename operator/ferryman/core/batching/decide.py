"""The batching of this reconcile: what the user asks for, what pods have, what the tuner wants.

At most one change at a time, by the cheapest actuator. In order: finish what was begun; follow
the specification; bring pods that differ back to what is applied; let the tuner take a step.
"""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from ferryman.api.batching import Batching, BatchingSpec
from ferryman.api.conditions import Reason
from ferryman.api.inference_model import InferenceModel
from ferryman.api.inference_model_status import BatchingStatus
from ferryman.api.model_source import TritonConfig
from ferryman.core import timestamps
from ferryman.core.batching import one_by_one
from ferryman.core.batching.changes import in_force, in_progress, resolve
from ferryman.core.batching.context import BatchingContext, BatchingDecision, Rule
from ferryman.core.batching.limits import clamp, start
from ferryman.core.batching.tuning import let_tuner_step
from ferryman.core.observation.window import Window
from ferryman.core.snapshot import ServingState
from ferryman.core.triton import config as triton_config
from ferryman.core.tuners.select import TunerState
from ferryman.core.wording import describe

#: A pod that keeps showing another batching than was loaded must not be reloaded for ever.
MAX_CONVERGENCES_PER_HOUR: Final = 3
_HOUR: Final = timedelta(hours=1)
#: Changes that are not the tuner's.
_NOT_TUNED: Final = (Reason.SPEC_CHANGED, Reason.DRIFTED)
#: Where nothing is tuned nothing says what is needed.
_UNSAID: Final = {
    **dict.fromkeys(("needed_replicas", "unattainable", "desired_replicas", "fewer_replicas")),
    "lulls": (),
}
#: What may explain the batching of a model with mode Fixed.
_FIXED_REASONS: Final = (
    Reason.MODE_FIXED,
    Reason.SPEC_CHANGED,
    Reason.DRIFTED,
    Reason.CONFIG_REFUSED,
    Reason.ROLLED_BACK,
)


def decide(
    model: InferenceModel,
    serving: ServingState,
    overlay: TritonConfig,
    *,
    window: Window | None,
    steady: bool,
    state: TunerState,
    now: datetime,
) -> BatchingDecision:
    """Decide about the batching of one model.

    ``overlay`` is the user's Triton configuration for the chosen processor class; ``window``
    is a complete observation of what is applied, and ``steady`` says that it brought nothing
    new. The actuation, if any, still lacks its configuration. Raises RejectedError for an overlay
    that cannot be read.
    """
    serving = _as_overlaid(serving, overlay)
    batching = resolve(model.status.batching, serving.pods)
    fixed = triton_config.refusal_to_tune(overlay)
    if fixed is not None:
        stated = triton_config.stated_batching(overlay, model.spec.batching)
        status = batching.with_(
            applied=stated, recommended=None, reason=str(fixed.reason), message=fixed.message
        )
        if not triton_config.serves_one_by_one(overlay):
            return BatchingDecision(status.with_(**_UNSAID), stated, state)
        seen = window if serving.model_ready else None
        status, state = one_by_one.noted(
            _with_needs(status, model), model, stated.instances, seen, state, now=now
        )
        return BatchingDecision(status, stated, state)
    applied = triton_config.in_effect(overlay, _applied(batching, model.spec.batching))
    batching = _with_needs(batching, model)
    # What no pod calls ready was not served by what is applied.
    window = window if serving.model_ready else None
    context = BatchingContext(
        model=model,
        serving=serving,
        overlay=overlay,
        batching=_with_last_good(_explained(batching, model, serving), applied, window),
        applied=applied,
        window=window,
        steady=steady,
        state=state,
        now=now,
    )
    return next(decision for rule in _RULES if (decision := rule(context)) is not None)


def _applied(batching: BatchingStatus, spec: BatchingSpec) -> Batching:
    return start(spec) if batching.applied is None else batching.applied


def _as_overlaid(serving: ServingState, overlay: TritonConfig) -> ServingState:
    """Read what pods have in force as the overlay will have it.

    Where the overlay states a field itself, pods of an earlier overlay are about to be replaced:
    that they differ is no drift.
    """
    pods = tuple(
        pod.with_(batching=triton_config.in_effect(overlay, pod.batching)) if pod.batching else pod
        for pod in serving.pods
    )
    return serving.with_(pods=pods)


def _with_needs(batching: BatchingStatus, model: InferenceModel) -> BatchingStatus:
    """Forget how many replicas are needed once there are to be so many, or nothing is tuned."""
    needed = batching.needed_replicas
    if model.spec.batching.mode == "Fixed":
        return batching.with_(**_UNSAID)
    if needed is None or needed > model.replicas:
        return batching
    return batching.with_(needed_replicas=None)


def _with_last_good(
    batching: BatchingStatus, applied: Batching, window: Window | None
) -> BatchingStatus:
    if window is None or window.requests == 0 or window.failures > 0:
        return batching
    return batching.with_(last_good=applied)


def _explained(
    batching: BatchingStatus, model: InferenceModel, serving: ServingState
) -> BatchingStatus:
    """Replace what was said and the specification or the server made obsolete."""
    reason, mode = batching.reason, model.spec.batching.mode
    if mode != "Recommend":
        batching = batching.with_(recommended=None)
    if mode == "Fixed":
        if reason in _FIXED_REASONS:
            return batching
        message = "mode Fixed: the batching stays as stated"
        return batching.with_(reason=str(Reason.MODE_FIXED), message=message)
    obsolete = (
        reason in {"", Reason.MODE_FIXED}
        or (reason == Reason.NOT_BATCHABLE and serving.model_ready)
        or (reason == Reason.RECOMMENDED and mode == "Auto")
    )
    if not obsolete:
        return batching
    message = "no observation window has ended yet"
    return batching.with_(reason=str(Reason.OBSERVING), message=message)


def _await_outcome(context: BatchingContext) -> BatchingDecision | None:
    """Nothing else happens while a change is under way whose outcome cannot be told yet."""
    return context.hold() if in_progress(context.batching) else None


def _leave_unbatchable(context: BatchingContext) -> BatchingDecision | None:
    """Triton found that the model cannot be batched: there is nothing to change."""
    if context.serving.batchable:
        return None
    message = (
        "Triton says that the model cannot be batched: state max_batch_size: 0 in "
        "spec.model.config to confirm it, or export the model with a variable batch dimension"
    )
    batching, state = one_by_one.noted(
        context.batching,
        context.model,
        context.applied.instances,
        context.window,
        context.state,
        now=context.now,
    )
    return replace(context, batching=batching, state=state).hold(Reason.NOT_BATCHABLE, message)


def _follow_spec(context: BatchingContext) -> BatchingDecision | None:
    """Apply what the user states: no interval binds it, but it counts."""
    wanted = context.in_effect(_wanted(context))
    if wanted == context.applied:
        return None
    if not context.pods and any(pod.ready for pod in context.serving.pods):
        return context.hold()  # they serve what is applied, and are changed once one answers
    if not context.pods:  # they will come up with it
        status = context.batching.with_(applied=wanted)
        return BatchingDecision(status, wanted, context.state)
    asked, has = describe(wanted), describe(context.applied)
    message = f"the specification asks for {asked} instead of {has}"
    return context.change(wanted, Reason.SPEC_CHANGED, message)


def _wanted(context: BatchingContext) -> Batching:
    """Return what the specification makes of what is applied.

    Before anything was tuned or proved good, ``initial`` still says where tuning starts.
    """
    spec, batching = context.spec, context.batching
    if spec.mode == "Fixed":
        return spec.initial or context.applied
    tuned = any(change.reason not in _NOT_TUNED for change in batching.changes)
    if batching.last_good is None and not tuned:
        return start(spec)
    return clamp(context.applied, spec)


def _converge(context: BatchingContext) -> BatchingDecision | None:
    """Bring pods that have another batching in force back to what is applied."""
    applied = context.applied
    found = next((p.batching for p in context.pods if not in_force(p, applied)), None)
    if found is None:
        return None
    if _convergences(context) >= MAX_CONVERGENCES_PER_HOUR:
        message = (
            f"pods have {describe(found)} in force although {describe(applied)} was loaded "
            f"{MAX_CONVERGENCES_PER_HOUR} times within an hour: look at Triton's log"
        )
        return context.hold(Reason.DRIFTED, message)
    pods = tuple(pod for pod in context.pods if pod.batching == found)
    message = (
        f"{len(pods)} of {len(context.serving.pods)} pods have {describe(found)} in force "
        f"instead of {describe(applied)}"
    )
    return context.change(applied, Reason.DRIFTED, message, before=found, pods=pods)


def _convergences(context: BatchingContext) -> int:
    """Count the last hour's attempts to bring pods to what is applied."""
    return sum(
        change.reason == Reason.DRIFTED
        and change.after == context.applied
        and context.now - timestamps.parse(change.time) < _HOUR
        for change in context.batching.changes
    )


_RULES: Final[tuple[Rule, ...]] = (
    _await_outcome,
    _leave_unbatchable,
    _follow_spec,
    _converge,
    let_tuner_step,
    BatchingContext.hold,
)
