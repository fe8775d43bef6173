"""The one decision about a pipeline: what should exist, what to change, and what to report.

Like ``core.plan`` for a single model. Where something cannot be decided, because no node type fits
or the specification is wrong, there is nothing to apply: what serves keeps serving, and the status
says why.
"""

from dataclasses import dataclass

from ferryman.api.inference_model_status import PlacementStatus
from ferryman.api.pipelines.inference_pipeline_status import InferencePipelineStatus
from ferryman.core.balancing.state import BalancerState
from ferryman.core.manifests import Manifest
from ferryman.core.pipelines.journal import PipelineChange
from ferryman.core.pipelines.reporting import report
from ferryman.core.pipelines.server import as_snapshot
from ferryman.core.pipelines.service import PipelineService, Situation, serve
from ferryman.core.pipelines.serving.loading import EnsembleLoad
from ferryman.core.placement import reservations
from ferryman.core.placement.reservations import Reservation
from ferryman.core.status.events import Event


@dataclass(frozen=True)
class PipelinePlan:
    """Everything that a reconcile of a pipeline will do."""

    status: InferencePipelineStatus
    state: BalancerState
    if_refused: BalancerState
    """What is to be remembered instead where the change is not made."""
    objects: tuple[Manifest, ...] = ()
    """To be applied in this order, all of them; empty leaves what exists as it is."""
    ensemble: EnsembleLoad | None = None
    change: PipelineChange | None = None
    """To be recorded as started, carried out and recorded; then reconcile again at once."""
    events: tuple[Event, ...] = ()
    requeue_after_s: float | None = None
    reservation: Reservation | None = None
    is_new_place: bool = False
    """Whether it goes elsewhere: that is written down first, and nothing is applied."""

    @property
    def reason(self) -> str:
        """Why the steps are changed, or left as they are."""
        return self.change.reason if self.change else self.status.balancing.reason


def plan_pipeline(situation: Situation) -> PipelinePlan:
    """Decide about one pipeline."""
    pipeline = situation.snapshot.pipeline
    if pipeline.metadata.deletion_timestamp is not None:
        return PipelinePlan(pipeline.status, situation.state, situation.state)
    service = serve(situation)
    status = report.status(situation.snapshot, service, situation.window, situation.now)
    is_new = _is_new_place(pipeline.status.placement, service.placement)
    decided = service.assignment
    return PipelinePlan(
        status=status,
        state=decided.state,
        if_refused=decided.state if decided.if_refused is None else decided.if_refused,
        objects=() if is_new else service.objects,
        ensemble=None if is_new else service.ensemble,
        change=None if is_new else service.change,
        events=report.events(situation.snapshot, service, status),
        requeue_after_s=0.0 if is_new else report.requeue_after_s(service, status),
        reservation=_reservation(situation, service),
        is_new_place=is_new,
    )


def _reservation(situation: Situation, service: PipelineService) -> Reservation | None:
    snapshot, found = situation.snapshot, service.placement
    if snapshot.placement_is_valid or found.node_type is None:
        return None
    # Of a pipeline that is not deployed, since its specification is in doubt, no pod will come.
    replicas = snapshot.pipeline.spec.replicas if service.objects else 0
    return reservations.expected(as_snapshot(snapshot, service.server), found, replicas)


def _is_new_place(before: PlacementStatus | None, found: PlacementStatus) -> bool:
    if found.node_type is None:
        return False
    return before is None or before.node_type != found.node_type
