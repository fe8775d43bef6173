"""Why a model is not ready: a chain of rules, the first that applies is shown.

A problem makes no progress until a person acts (it is *stalled*), or is being worked on.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from ferryman.api.conditions import Condition, ConditionType, Reason, find
from ferryman.api.inference_model import InferenceModel
from ferryman.api.inference_model_status import PlacementStatus
from ferryman.api.inference_runtime import InferenceRuntime
from ferryman.core.errors import RejectedError
from ferryman.core.snapshot import ServingState
from ferryman.core.status.observed import Observation

#: Why the API server does not have what was decided.
_REFUSALS: Final = (Reason.NAME_TAKEN, Reason.APPLY_REFUSED)
#: Under these nothing was applied, whatever serves (placement says so itself).
_REJECTIONS: Final = (
    Reason.RUNTIME_NOT_FOUND,
    Reason.PROCESSOR_NOT_IN_RUNTIME,
    Reason.FORMAT_NOT_SUPPORTED,
    Reason.INVALID_CONFIG,
    Reason.INVALID_SPEC,
)


@dataclass(frozen=True)
class View:
    """What the conditions describe."""

    model: InferenceModel
    runtime: InferenceRuntime | None
    placement: PlacementStatus
    serving: ServingState
    rejection: RejectedError | None
    """Why the specification cannot be served, if so."""
    observation: Observation
    needed_replicas: int | None = None
    """Replicas that the tuner asks for, because no batching of the present ones will do."""
    unattainable: str | None = None
    """Why no number of replicas would do, where none would."""
    is_measured: bool = False
    """Whether its service times are about to be measured, before its clients come."""
    specification: str = ""
    """The digest of the specification but for the number of replicas: see ``specification``."""


@dataclass(frozen=True)
class NotReady:
    """Why the model is not ready."""

    reason: str
    message: str
    stalled: bool
    """Whether it stays so until a person acts."""


def find_problem(view: View) -> NotReady | None:
    """Return why the model is not ready, or None when it is."""
    return next((found for rule in PROBLEMS if (found := rule(view)) is not None), None)


def still_serves(view: View) -> bool:
    """Whether as many replicas serve as did before another number was asked for.

    What is yet to come of that number, or to go, takes nothing from whoever asks.
    """
    before, wanted = view.model.status.settled_replicas, view.model.replicas
    least, serving = min(before, wanted), view.serving
    is_decided = _rejected(view) is None and _not_placed(view) is None and _refused(view) is None
    is_rolled_out = not serving.observed or serving.updated_replicas >= least
    return (
        is_decided
        and _was_applied(view)
        and serving.exists
        and before != wanted
        and is_rolled_out
        and serving.ready_replicas >= least > 0
    )


def settled_replicas(view: View) -> int:
    """Return how many served when all that were asked for last did; of another service none."""
    if find_problem(view) is None:
        return view.model.replicas
    return view.model.status.settled_replicas if _was_applied(view) else 0


def is_same(view: View, condition: Condition) -> bool:
    """Whether a condition was said of this specification, whatever number of replicas it states."""
    model = view.model
    known = model.status.specification
    return condition.observed_generation == model.metadata.generation or (
        bool(known) and known == view.specification
    )


def placement_reason(placement: PlacementStatus) -> str:
    """Return the one reason for which all candidates were refused, where there is but one."""
    reasons = {candidate.reason for candidate in placement.candidates}
    if placement.reason == Reason.NO_CANDIDATE and len(reasons) == 1:
        return reasons.pop()
    return placement.reason


def why_not_loaded(serving: ServingState) -> tuple[Reason, str]:
    """Return why Triton has not loaded the model, in its own words where it has any."""
    words = serving.model_message
    if not words or words.startswith("LOADING"):
        return Reason.MODEL_LOADING, "Triton is loading the model"
    return Reason.MODEL_LOAD_FAILED, (
        f"Triton could not load the model: correct its files or spec.model.config: {words}"
    )


def why_not_applied(model: InferenceModel) -> NotReady | None:
    """Return what kept this very specification from being applied last, if something did.

    It stands until an apply succeeds, after which the shell takes it out of the status.
    """
    ready = _said(model)
    if ready is None or ready.reason not in _REFUSALS:
        return None
    return NotReady(ready.reason, ready.message, stalled=True)


def awaits_apply(ready: Condition) -> bool:
    """Whether what was said of readiness ends only when everything is applied."""
    return ready.reason in (*_REFUSALS, Reason.APPLYING)


def _rejected(view: View) -> NotReady | None:
    if view.rejection is None:
        return None
    return NotReady(view.rejection.reason, f"{view.rejection}{_still_serving(view)}", stalled=True)


def _not_placed(view: View) -> NotReady | None:
    placement = view.placement
    if placement.node_type is not None:
        return None
    reason = placement_reason(placement)
    measurable = view.runtime is not None and view.runtime.spec.benchmark is not None
    reasons = {candidate.reason for candidate in placement.candidates}
    if Reason.NOT_BENCHMARKED in reasons and measurable:
        message = f"waiting for the benchmark of a node type: {placement.message}"
        return NotReady(Reason.NOT_BENCHMARKED, message, stalled=False)
    message = f"{placement.message}{_still_serving(view)}"
    return NotReady(reason, message, stalled=reason != Reason.NO_NODE_PROFILE)


def _refused(view: View) -> NotReady | None:
    return why_not_applied(view.model)


def _not_applied(view: View) -> NotReady | None:
    """Whatever serves, it is what was decided before; where nothing does, replicas are counted."""
    if asks_for_none(view) or not view.serving.exists or _was_applied(view):
        return None
    message = "what was decided last is being applied"
    return NotReady(Reason.APPLYING, message, stalled=False)


def _pods_have_a_problem(view: View) -> NotReady | None:
    serving = view.serving
    if asks_for_none(view) or not serving.problem_reason:
        return None
    # A scheduler may still find a node: a cluster can grow.
    waits = serving.problem_reason == Reason.POD_UNSCHEDULABLE
    stalled = not waits or serving.progress_deadline_exceeded
    message = f"{serving.problem_message}{_still_serving(view)}"
    return NotReady(serving.problem_reason, message, stalled=stalled)


def _model_not_loaded(view: View) -> NotReady | None:
    if asks_for_none(view) or view.serving.model_ready is not False:
        return None
    reason, message = why_not_loaded(view.serving)
    return NotReady(reason, message, stalled=reason == Reason.MODEL_LOAD_FAILED)


def _makes_no_progress(view: View) -> NotReady | None:
    if asks_for_none(view) or not view.serving.progress_deadline_exceeded:
        return None
    deadline_s = view.model.spec.progress_deadline_seconds
    message = f"{_replicas(view)}, and none was added for {deadline_s} s: look at the pods' events"
    return NotReady(Reason.PROGRESS_DEADLINE_EXCEEDED, message, stalled=True)


def _deploying(view: View) -> NotReady | None:
    wanted, serving = view.model.replicas, view.serving
    complete = (
        serving.exists
        and serving.desired_replicas == wanted
        and serving.updated_replicas >= wanted
        and serving.ready_replicas >= wanted
        and len(serving.pods) <= wanted
    )
    if complete or asks_for_none(view):
        return None
    return NotReady(Reason.DEPLOYING, _replicas(view), stalled=False)


def _being_measured(view: View) -> NotReady | None:
    """Have it wait where nobody has come to know it yet: one that is or was in use does not."""
    status = view.model.status
    ready = find(status.conditions, ConditionType.READY)
    in_use = status.observed is not None or (ready is not None and ready.status == "True")
    if in_use or not view.is_measured:
        return None
    message = (
        "it serves whoever asks; before it counts as ready its service times are being measured "
        "(spec.batching.warmStart), for half a minute at most"
    )
    return NotReady(Reason.MEASURING, message, stalled=False)


#: The first that applies is why the model is not ready.
PROBLEMS: Final[tuple[Callable[[View], NotReady | None], ...]] = (
    _rejected,
    _not_placed,
    _refused,
    _not_applied,
    _pods_have_a_problem,
    _model_not_loaded,
    _makes_no_progress,
    _deploying,
    _being_measured,
)


def asks_for_none(view: View) -> bool:
    """Whether the model is scaled to zero."""
    return view.model.replicas == 0


def _was_applied(view: View) -> bool:
    """Whether the status shows that this specification was applied, for this node type.

    A status is written before objects are, so that a try that fails and an operator that ends
    in between leave a status that says so.
    """
    before = view.model.status.placement
    ready = find(view.model.status.conditions, ConditionType.READY)
    return (
        ready is not None
        and is_same(view, ready)
        and ready.reason not in (*_REJECTIONS, Reason.APPLYING)
        and before is not None
        and before.node_type == view.placement.node_type
    )


def _said(model: InferenceModel) -> Condition | None:
    """Return what was said of readiness under this very specification."""
    ready = find(model.status.conditions, ConditionType.READY)
    if ready is None or ready.observed_generation != model.metadata.generation:
        return None
    return ready


def _still_serving(view: View) -> str:
    """Add that nothing was taken away, where something serves."""
    return "; what served before keeps serving" if view.serving.ready_replicas else ""


def _replicas(view: View) -> str:
    serving, wanted = view.serving, view.model.replicas
    text = f"{min(serving.ready_replicas, wanted)} of {wanted} replicas are ready"
    if serving.exists and serving.updated_replicas < wanted:
        text += f", {serving.updated_replicas} are updated to what is specified now"
    elif len(serving.pods) > wanted:
        text += f", {len(serving.pods) - wanted} of before are still there"
    return f"{text}, on {view.placement.node_type}"
