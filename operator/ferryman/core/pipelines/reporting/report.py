"""What is reported of a pipeline: conditions, events, and when to look at it again."""

from datetime import datetime
from typing import Final

from ferryman.api.conditions import ConditionType, Reason, find
from ferryman.api.inference_model_status import InferenceModelStatus
from ferryman.api.pipelines.execution_status import CutStatus, ExecutionStatus
from ferryman.api.pipelines.inference_pipeline_status import InferencePipelineStatus
from ferryman.core import render
from ferryman.core.observation.pipeline_window import PipelineWindow
from ferryman.core.pipelines import assignment as assignments
from ferryman.core.pipelines import journal
from ferryman.core.pipelines.cutting import decision, words
from ferryman.core.pipelines.reporting import step_report
from ferryman.core.pipelines.server import observed_of
from ferryman.core.pipelines.service import PipelineService
from ferryman.core.pipelines.snapshot import PipelineSnapshot
from ferryman.core.snapshot import ServingState
from ferryman.core.status import conditions
from ferryman.core.status import events as server_events
from ferryman.core.status.events import Event, EventType
from ferryman.core.status.readiness import NotReady, View, settled_replicas
from ferryman.core.status.specification import digest
from ferryman.core.wording import target

#: While pods come up: Triton's own word arrives with no Kubernetes event.
RETRY_SOON_S: Final = 5.0
#: While a person is needed, or pods did not answer.
RETRY_LATER_S: Final = 30.0


def status(
    snapshot: PipelineSnapshot,
    service: PipelineService,
    window: PipelineWindow | None,
    now: datetime,
) -> InferencePipelineStatus:
    """Return the status to report."""
    pipeline, before = snapshot.pipeline, snapshot.pipeline.status
    serving, balancing = snapshot.serving, service.assignment.status
    view = View(
        model=service.server,
        runtime=snapshot.runtime,
        placement=service.placement,
        serving=_with_words(snapshot, service),
        rejection=service.rejection,
        observation=service.observation,
        needed_replicas=balancing.needed_replicas,
        unattainable=balancing.unattainable,
        specification=digest(pipeline.spec),
    )
    word = service.assignment.decision
    return InferencePipelineStatus(
        observed_generation=pipeline.metadata.generation,
        conditions=conditions.describe(view, now),
        faults=tuple(fault.as_status() for fault in service.faults),
        replicas=len(serving.pods),
        ready_replicas=serving.ready_replicas,
        settled_replicas=settled_replicas(view),
        specification=view.specification,
        selector=",".join(f"{k}={v}" for k, v in render.selector(pipeline.key).items()),
        url=render.url(pipeline.key, pipeline.triton_name),
        target=target(pipeline.spec.objectives),
        workers=assignments.workers(service.assignment.applied),
        limiting_step=before.limiting_step if word is None else word.limiting,
        placement=service.placement,
        execution=_execution(snapshot, service),
        steps=step_report.steps(snapshot, service, window),
        balancing=balancing.with_(next_worker=step_report.next_worker(balancing, word)),
        observed=observed_of(service.observation.status),
    )


def events(
    snapshot: PipelineSnapshot, service: PipelineService, after: InferencePipelineStatus
) -> tuple[Event, ...]:
    """Return the events for what changed between two statuses."""
    before = service.server.status
    told = before.with_(conditions=after.conditions, placement=after.placement)
    return (
        *server_events.of_transition(before, told),
        *_resolved(snapshot, after),
        *words.events_of(_cut(snapshot.pipeline.status), _cut(after)),
    )


def _cut(status: InferencePipelineStatus) -> CutStatus | None:
    return None if status.execution is None else status.execution.cut


def applied(status: InferencePipelineStatus, now: datetime) -> InferencePipelineStatus:
    """Return a status after everything was applied: what stood until then is over."""
    return status.with_(conditions=conditions.applied(_said(status), now).conditions)


def with_problem(
    status: InferencePipelineStatus, problem: NotReady, now: datetime
) -> InferencePipelineStatus:
    """Return a status with this as the reason why the pipeline is not ready, and else as it is."""
    return status.with_(conditions=conditions.with_problem(_said(status), problem, now).conditions)


def _said(status: InferencePipelineStatus) -> InferenceModelStatus:
    return InferenceModelStatus(
        observed_generation=status.observed_generation, conditions=status.conditions
    )


def of_outcome(status_after: InferencePipelineStatus) -> Event:
    """Return the event for the change that was carried out last, or was not."""
    newest = status_after.balancing.changes[0]
    good = newest.outcome == "Applied" and newest.reason != Reason.TAKEN_BACK
    kind: EventType = "Normal" if good else "Warning"
    before, after = (
        {each.step: assignments.batching_of(each, 1) for each in entries}
        for entries in (newest.before, newest.after)
    )
    words = assignments.words(before, after)
    verb = "applied" if newest.outcome == "Applied" else f"not applied ({newest.outcome.lower()})"
    return Event(kind, status_after.balancing.reason, f"{words} {verb}: {newest.message}")


def requeue_after_s(service: PipelineService, found: InferencePipelineStatus) -> float | None:
    """Return after how long to look again without an event; None: not before the next round."""
    if service.change is not None:
        return 0.0
    reconciling = find(found.conditions, ConditionType.RECONCILING) is not None
    if journal.in_progress(found.balancing) or service.ensemble is not None or reconciling:
        return RETRY_SOON_S
    newest = found.balancing.changes[0] if found.balancing.changes else None
    paused = newest is not None and newest.outcome == "Interrupted"
    if paused or find(found.conditions, ConditionType.STALLED) is not None:
        return RETRY_LATER_S
    loaded = find(found.conditions, ConditionType.MODEL_LOADED)
    silent = loaded is not None and loaded.reason == Reason.TRITON_UNREACHABLE
    return RETRY_LATER_S if silent else None


def _with_words(snapshot: PipelineSnapshot, service: PipelineService) -> ServingState:
    """Return what serves, with the words of the step for which the ensemble is not there.

    A pipeline of which another server's step is not there answers no request either.
    """
    serving, loading = snapshot.serving, service.ensemble is not None
    away = next((each for each in service.remote.items() if not each[1].is_ready), None)
    if serving.model_ready and away is not None:
        name, model = away[0], away[1].model.metadata.name
        words = (
            f"step {name}: InferenceModel {model}, which serves it, is not ready: see its status"
        )
        return serving.with_(model_ready=False, model_message=words)
    if serving.model_ready is not False:
        return serving
    said = (
        f"step {name}: {loaded.message}"
        for name, loaded in snapshot.steps.items()
        if loaded.ready is False and loaded.message and not loaded.message.startswith("LOADING")
    )
    otherwise = "" if loading else snapshot.ensemble_refusal
    return serving.with_(model_message=next(said, otherwise))


def _execution(snapshot: PipelineSnapshot, service: PipelineService) -> ExecutionStatus | None:
    """Return how the steps are put on servers; as before while that cannot be decided."""
    pipeline, placement = snapshot.pipeline, service.placement
    if placement.node_type is None or service.rejection is not None:
        return pipeline.status.execution
    remote = {name: each.model for name, each in service.remote.items()}
    return decision.told(pipeline, decision.home_of(placement), remote, service.cutting)


def _resolved(snapshot: PipelineSnapshot, after: InferencePipelineStatus) -> tuple[Event, ...]:
    """Tell what came of a change that an earlier operator began."""
    begun = journal.in_progress(snapshot.pipeline.status.balancing)
    if begun is None or journal.in_progress(after.balancing) is not None:
        return ()
    change = after.balancing.changes[0]
    kind: EventType = "Normal" if change.outcome == "Applied" else "Warning"
    return (Event(kind, change.reason, f"found {change.outcome.lower()} after a restart"),)
