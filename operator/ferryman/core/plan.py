"""The one decision of a reconcile: what should exist, what to change, and what to report.

Every trigger leads here, and ``ferryman explain`` prints what this returns. Where something
cannot be decided, because no node type fits or the specification is wrong, there is nothing to
apply: what serves keeps serving, and the status says why.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from ferryman.api.conditions import ConditionType, Reason, find
from ferryman.api.inference_model import InferenceModel
from ferryman.api.inference_model_status import (
    InferenceModelStatus,
    PlacementStatus,
    ServiceTimes,
)
from ferryman.core import render, timestamps
from ferryman.core.batching import measured_times, warm_start
from ferryman.core.batching.changes import (
    Actuation,
    in_progress,
    interruption,
    record_outcome,
    record_started,
)
from ferryman.core.batching.warm_start import CurveMeasurement, WarmStart
from ferryman.core.manifests import Manifest
from ferryman.core.observation.window import Window
from ferryman.core.placement import reservations
from ferryman.core.placement.choose import choose
from ferryman.core.placement.reservations import Reservation
from ferryman.core.render import EncodeConfig, Environment
from ferryman.core.service import Inputs, Service, serve
from ferryman.core.snapshot import Snapshot
from ferryman.core.status import conditions, events
from ferryman.core.status.events import Event
from ferryman.core.status.observed import observe
from ferryman.core.status.readiness import (
    View,
    find_problem,
    settled_replicas,
    why_not_applied,
)
from ferryman.core.status.specification import digest
from ferryman.core.tuners.select import TunerState
from ferryman.core.wording import target

__all__ = [
    "Actuation",
    "EncodeConfig",
    "Environment",
    "Event",
    "Plan",
    "plan",
    "record_outcome",
    "record_started",
]


#: While pods come up: Triton's own word arrives with no Kubernetes event.
RETRY_SOON_S: Final = 5.0
#: While a person is needed: heartbeats and models may come back unannounced.
RETRY_LATER_S: Final = 30.0
#: No longer than this passes between two looks at pods that do not answer.
RETRY_AT_LAST_S: Final = 300.0


@dataclass(frozen=True)
class Plan:
    """Everything that a reconcile will do."""

    status: InferenceModelStatus
    state: TunerState
    objects: tuple[Manifest, ...] = ()
    """To be applied in this order, all of them; empty leaves what exists as it is."""
    actuation: Actuation | None = None
    """To be recorded as started, carried out and recorded; then reconcile again at once."""
    measurement: CurveMeasurement | None = None
    """To be carried out where there is no actuation, and learned from; then likewise."""
    events: tuple[Event, ...] = ()
    requeue_after_s: float | None = None
    reservation: Reservation | None = None
    """What the model will take of nodes; None where none is found, or none were compared."""
    is_new_place: bool = False
    """Whether it goes elsewhere. That is written down first, and nothing is applied: other models
    that wait for a place come before its objects."""

    @property
    def reason(self) -> str:
        """Why batching is changed, or left as it is."""
        return self.actuation.reason if self.actuation else self.status.batching.reason


def plan(
    snapshot: Snapshot,
    *,
    window: Window | None,
    state: TunerState,
    now: datetime,
    encode: EncodeConfig,
    control_key: str,
    environment: Environment,
    may_measure: bool = True,
) -> Plan:
    """Decide about one model.

    ``window`` is the observation that just ended, or None; ``encode`` turns a Triton
    configuration into the text of config.pbtxt and raises ValueError for one that does not fit
    Triton's schema; ``control_key`` is the model's own. ``may_measure`` says that no more models
    are being measured than may be at once.
    """
    model = snapshot.model
    if model.metadata.deletion_timestamp is not None:
        gone = _reservation(snapshot, model.status.placement, replicas=0)
        return Plan(model.status, state, reservation=gone)
    inputs = Inputs(
        snapshot=snapshot,
        window=window,
        state=state,
        now=now,
        encode=encode,
        control_key=control_key,
        environment=environment,
        placement=choose(snapshot, now),
        observation=observe(model, window),
    )
    service = serve(inputs)
    if service.actuation is not None and why_not_applied(model) is not None:
        # Objects come first: nothing that serves is touched before the API server takes them.
        service = replace(service, actuation=None, state=state)
    return _with_service(inputs, service, may_measure=may_measure)


def _with_service(inputs: Inputs, service: Service, *, may_measure: bool) -> Plan:
    model, view = inputs.snapshot.model, _view(inputs, service)
    is_new = _is_new_place(model.status.placement, inputs.placement)
    serves = service.actuation is None and not is_new and find_problem(view) is None
    warm = _warm_start(inputs, service, serves=serves, has_turn=may_measure)
    service = replace(service, batching=service.batching.with_(warm_start=warm.status))
    view = replace(view, is_measured=warm.measurement is not None)
    status = _status(inputs, service, view)
    paused = interruption(service.batching, inputs.now) is not None
    # Of a model that is not deployed, since its specification is in doubt, no pod will come.
    replicas = _scaled(model, service).replicas if service.objects else 0
    return Plan(
        status=status,
        state=service.state,
        objects=() if is_new else service.objects,
        actuation=None if is_new else service.actuation,
        measurement=warm.measurement,
        events=events.of_transition(model.status, status),
        requeue_after_s=0.0
        if is_new or warm.measurement is not None
        else _requeue_after_s(status, service, inputs.now, paused=paused or warm.waits),
        reservation=_reservation(inputs.snapshot, inputs.placement, replicas=replicas),
        is_new_place=is_new,
    )


def _scaled(model: InferenceModel, service: Service) -> InferenceModel:
    """Return the model with as many replicas as were decided."""
    return model.with_(status=model.status.with_(scaling=service.scaling))


def _is_new_place(before: PlacementStatus | None, found: PlacementStatus) -> bool:
    if found.node_type is None:
        return False
    return before is None or before.node_type != found.node_type


def _reservation(
    snapshot: Snapshot, found: PlacementStatus | None, *, replicas: int
) -> Reservation | None:
    if snapshot.placement_is_valid or found is None or found.node_type is None:
        return None
    return reservations.expected(snapshot, found, replicas)


def _warm_start(inputs: Inputs, service: Service, *, serves: bool, has_turn: bool) -> WarmStart:
    snapshot = inputs.snapshot
    return warm_start.decide(
        snapshot.model,
        snapshot.serving,
        snapshot.runtime,
        inputs.placement,
        service.batching.applied,
        serves=serves and in_progress(service.batching) is None,
        has_turn=has_turn,
        now=inputs.now,
    )


def _view(inputs: Inputs, service: Service) -> View:
    snapshot = inputs.snapshot
    return View(
        model=_scaled(snapshot.model, service),
        runtime=snapshot.runtime,
        placement=inputs.placement,
        serving=snapshot.serving,
        rejection=service.rejection,
        observation=inputs.observation,
        needed_replicas=service.batching.needed_replicas,
        unattainable=service.batching.unattainable,
        specification=digest(snapshot.model.spec),
    )


def _status(inputs: Inputs, service: Service, view: View) -> InferenceModelStatus:
    model, serving, scaled = inputs.snapshot.model, inputs.snapshot.serving, view.model
    return InferenceModelStatus(
        observed_generation=model.metadata.generation,
        conditions=conditions.describe(view, inputs.now),
        desired_replicas=scaled.replicas,
        replicas=len(serving.pods),
        ready_replicas=serving.ready_replicas,
        settled_replicas=settled_replicas(view),
        specification=view.specification,
        selector=",".join(f"{key}={value}" for key, value in render.selector(model.key).items()),
        url=render.url(model.key, model.triton_name),
        target=target(model.spec.objectives),
        placement=inputs.placement,
        batching=service.batching,
        drain=service.drain,
        scaling=service.scaling,
        source=serving.source,
        observed=inputs.observation.status,
        service_times=_service_times(inputs, service),
    )


def _service_times(inputs: Inputs, service: Service) -> tuple[ServiceTimes, ...]:
    """Return what serving pods showed, by node type; nothing new without a window.

    What pods with another file showed is forgotten.
    """
    before, applied = inputs.snapshot.model.status, service.batching.applied
    known, now = inputs.state.subject, service.state.subject
    another = known is not None and now is not None and not known.same_file(now)
    shown = () if another else before.service_times
    if inputs.window is None or applied is None:
        return shown
    return measured_times.kept(
        shown,
        before.placement,
        service.state.learned,
        applied.instances,
        timestamps.text(inputs.now),
    )


def _requeue_after_s(
    status: InferenceModelStatus, service: Service, now: datetime, *, paused: bool
) -> float | None:
    if service.actuation is not None:
        return 0.0
    if in_progress(service.batching) is not None or _has(status, ConditionType.RECONCILING):
        return RETRY_SOON_S
    if paused or _has(status, ConditionType.STALLED):
        return RETRY_LATER_S
    return _until_it_answers_s(status, now)


def _until_it_answers_s(status: InferenceModelStatus, now: datetime) -> float | None:
    """Return when to ask ready pods again that do not answer; None where one does.

    No event tells that a server answers now. As long again as it has been so: pods that never
    answer cost little.
    """
    loaded = find(status.conditions, ConditionType.MODEL_LOADED)
    if loaded is None or loaded.reason != Reason.TRITON_UNREACHABLE:
        return None
    silent = now - timestamps.parse(loaded.last_transition_time)
    return min(max(RETRY_SOON_S, silent.total_seconds()), RETRY_AT_LAST_S)


def _has(status: InferenceModelStatus, kind: ConditionType) -> bool:
    return find(status.conditions, kind) is not None
