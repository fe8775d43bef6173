"""The conditions: what is the case, why, and what to do about it, in kstatus' terms.

``Reconciling``, ``Stalled``, ``NeedsCapacity``, ``ScalingLimited``, ``ScalingContested`` and
``KnownVulnerabilities`` are present only while true; ``Ready`` is true without the first two and
otherwise mirrors them, except that it stays true while another number of replicas comes up and no
fewer serve than before.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

from ferryman.api.conditions import Condition, ConditionType, Reason, find
from ferryman.api.inference_model import InferenceModel
from ferryman.api.inference_model_status import InferenceModelStatus
from ferryman.core import timestamps
from ferryman.core.batching.changes import clip
from ferryman.core.scaling.decide import is_limited
from ferryman.core.status.readiness import (
    NotReady,
    View,
    asks_for_none,
    awaits_apply,
    find_problem,
    is_same,
    placement_reason,
    still_serves,
    why_not_loaded,
)
from ferryman.core.triton import advisories

Status = Literal["True", "False", "Unknown"]

_STATUS: Final[dict[bool | None, Status]] = {True: "True", False: "False", None: "Unknown"}
#: In which order conditions are listed.
_ORDER: Final = tuple(map(str, ConditionType))
#: What tells that a model is not ready, and why.
_OF_PROBLEMS: Final = (ConditionType.READY, ConditionType.RECONCILING, ConditionType.STALLED)


@dataclass(frozen=True)
class _Finding:
    """A condition without the time at which it became so."""

    type: ConditionType
    status: Status
    reason: str
    message: str


def describe(view: View, now: datetime) -> tuple[Condition, ...]:
    """Return all conditions of a model."""
    problem = find_problem(view)
    findings = [_ready(view, problem), _placed(view), _model_loaded(view), _objectives_met(view)]
    if problem is not None:
        findings.append(_abnormal(problem))
    findings += [
        *_needs_capacity(view),
        *_scaling_limited(view),
        *_scaling_contested(view),
        *_known_vulnerabilities(view),
    ]
    model = view.model
    return _dated(findings, model.status.conditions, model.metadata.generation, now)


def with_problem(
    status: InferenceModelStatus, problem: NotReady, now: datetime
) -> InferenceModelStatus:
    """Return a status with this as the reason why the model is not ready, and else as it is.

    Carrying a decision out may bring to light what no decision can foresee.
    """
    found = after_problem(status.conditions, problem, status.observed_generation, now)
    return status.with_(conditions=found)


def after_problem(
    known: Sequence[Condition], problem: NotReady, generation: int, now: datetime
) -> tuple[Condition, ...]:
    """Return the conditions with this as the reason why the model is not ready, else as known."""
    findings = (_not_ready(problem), _abnormal(problem))
    kept = (c for c in known if c.type not in _OF_PROBLEMS)
    return tuple(sorted((*_dated(findings, known, generation, now), *kept), key=_place))


def _place(condition: Condition) -> int:
    """Return where a condition is listed; those of types that another version knows come last."""
    return _ORDER.index(condition.type) if condition.type in _ORDER else len(_ORDER)


def applied(status: InferenceModelStatus, now: datetime) -> InferenceModelStatus:
    """Return a status after everything was applied: what stood until then is over.

    The next look tells how far the pods are.
    """
    ready = find(status.conditions, ConditionType.READY)
    if ready is None or not awaits_apply(ready):
        return status
    message = "what was decided last is applied, and its replicas are counted next"
    return with_problem(status, NotReady(Reason.DEPLOYING, message, stalled=False), now)


def _ready(view: View, problem: NotReady | None) -> _Finding:
    if problem is not None:
        return _on_the_way(view) if still_serves(view) else _not_ready(problem)
    if asks_for_none(view):
        message = "no replicas are asked for: raise spec.replicas to serve"
        return _Finding(ConditionType.READY, "True", Reason.SCALED_TO_ZERO, message)
    placement, replicas = view.placement, view.model.replicas
    serve = "1 replica serves" if replicas == 1 else f"{replicas} replicas serve"
    message = f"{serve} on {placement.node_type} ({placement.processor})"
    return _Finding(ConditionType.READY, "True", Reason.SERVING, message)


def _on_the_way(view: View) -> _Finding:
    placement, wanted, ready = view.placement, view.model.replicas, view.serving.ready_replicas
    message = (
        f"{min(ready, wanted)} of {wanted} replicas serve on {placement.node_type} "
        f"({placement.processor}), no fewer than before their number was changed"
    )
    return _Finding(ConditionType.READY, "True", Reason.SERVING, message)


def _not_ready(problem: NotReady) -> _Finding:
    return _Finding(ConditionType.READY, "False", problem.reason, problem.message)


def _abnormal(problem: NotReady) -> _Finding:
    kind = ConditionType.STALLED if problem.stalled else ConditionType.RECONCILING
    return _Finding(kind, "True", problem.reason, problem.message)


def _placed(view: View) -> _Finding:
    placement = view.placement
    status: Status = "False" if placement.node_type is None else "True"
    return _Finding(ConditionType.PLACED, status, placement_reason(placement), placement.message)


def _model_loaded(view: View) -> _Finding:
    status, reason, message = _loaded(view)
    return _Finding(ConditionType.MODEL_LOADED, status, reason, message)


def _loaded(view: View) -> tuple[Status, str, str]:
    serving = view.serving
    if asks_for_none(view):
        return "False", Reason.SCALED_TO_ZERO, "no replicas are asked for"
    if serving.model_ready:
        return "True", Reason.MODEL_LOADED, "Triton says that the model is ready"
    if serving.model_ready is False:
        return "False", *why_not_loaded(serving)
    if serving.ready_replicas == 0:
        return "Unknown", Reason.DEPLOYING, "no pod is ready yet"
    message = (
        "pods are ready, but none answers the operator on Triton's gRPC port: look at "
        "NetworkPolicies and at the operator's log"
    )
    return "Unknown", Reason.TRITON_UNREACHABLE, message


def _objectives_met(view: View) -> _Finding:
    status, reason, message = _judged(view)
    return _Finding(ConditionType.OBJECTIVES_MET, status, reason, message)


def _judged(view: View) -> tuple[Status, str, str]:
    observation, previous = view.observation, _judged_before(view)
    verdict = observation.verdict
    if view.serving.ready_replicas == 0:
        return "Unknown", Reason.OBSERVING, "no replica serves, so there is nothing to observe"
    if previous and (verdict is None or (observation.steady and previous.reason == verdict.reason)):
        return previous.status, previous.reason, previous.message
    if verdict is None:
        return "Unknown", Reason.OBSERVING, "no window with enough requests has ended yet"
    return _STATUS[verdict.met], verdict.reason, verdict.message


def _judged_before(view: View) -> Condition | None:
    """Return the last judgement under this specification, whose objectives may be new."""
    condition = find(view.model.status.conditions, ConditionType.OBJECTIVES_MET)
    if condition is None or condition.reason == Reason.OBSERVING:
        return None
    return condition if is_same(view, condition) else None


def _known_vulnerabilities(view: View) -> Iterator[_Finding]:
    """Say what is published of the server that the model gets."""
    entry = view.runtime and view.runtime.processor(view.placement.processor or "")
    message = advisories.words(entry.image) if entry else None
    if message is not None:
        kind = ConditionType.KNOWN_VULNERABILITIES
        yield _Finding(kind, "True", Reason.PUBLISHED_ADVISORIES, message)


def _needs_capacity(view: View) -> Iterator[_Finding]:
    """Say that more replicas are needed, without figures that change while nothing changes."""
    needed, wanted = view.needed_replicas, view.model.replicas
    if asks_for_none(view):
        return
    more = _way_to_more(view.model)
    if view.unattainable is not None:
        message = (
            f"no batching meets the objectives, and {view.unattainable}: relax them, or allow a "
            "faster class of processors"
        )
    elif needed is not None and needed > wanted:
        message = (
            f"no batching of {wanted} {_replicas(wanted)} meets the objectives, {needed} would: "
            f"raise {more} to {needed}, or relax the objectives"
        )
    elif _rejects(view):
        message = (
            f"requests are rejected because they would not be answered in time: raise {more}, or "
            "relax the objectives"
        )
    else:
        return
    yield _Finding(ConditionType.NEEDS_CAPACITY, "True", Reason.NEEDS_CAPACITY, message)


def _way_to_more(model: InferenceModel) -> str:
    """Return which field a person raises to have more replicas."""
    return "spec.replicas" if model.spec.scaling is None else "spec.scaling.maxReplicas"


def _scaling_limited(view: View) -> Iterator[_Finding]:
    """Say what keeps own scaling from the replicas that the objectives need."""
    scaling = view.model.status.scaling
    if scaling is not None and not asks_for_none(view) and is_limited(scaling):
        kind = ConditionType.SCALING_LIMITED
        yield _Finding(kind, "True", scaling.reason, scaling.message)


def _scaling_contested(view: View) -> Iterator[_Finding]:
    """Say that somebody else sets the number, and that it is not followed."""
    scaling = view.model.status.scaling
    if scaling is None or asks_for_none(view) or scaling.contested_at is None:
        return
    message = (
        f"spec.replicas was set to {scaling.stated_replicas} at {scaling.contested_at}, as an HPA "
        "or KEDA does, and is not followed, because Ferryman scales this model: delete the "
        "HorizontalPodAutoscaler or ScaledObject, or remove spec.scaling"
    )
    kind = ConditionType.SCALING_CONTESTED
    yield _Finding(kind, "True", Reason.OTHER_AUTOSCALER, message)


def _replicas(count: int) -> str:
    return "replica" if count == 1 else "replicas"


def _rejects(view: View) -> bool:
    """Whether the last window rejected requests on behalf of ``onOverload: Reject``."""
    observed = view.observation.status
    asked = view.model.spec.batching.on_overload == "Reject"
    return asked and observed is not None and bool(observed.rejected_requests)


def _dated(
    findings: Iterable[_Finding], known: Sequence[Condition], generation: int, now: datetime
) -> tuple[Condition, ...]:
    """Give each condition the time at which its status became what it is."""
    return tuple(_date(finding, known, generation, now) for finding in findings)


def _date(
    finding: _Finding, known: Sequence[Condition], generation: int, now: datetime
) -> Condition:
    before = find(known, finding.type)
    same = before is not None and before.status == finding.status
    return Condition(
        type=finding.type,
        status=finding.status,
        reason=finding.reason,
        message=clip(finding.message),
        observed_generation=generation,
        last_transition_time=before.last_transition_time
        if before and same
        else timestamps.text(now),
    )
