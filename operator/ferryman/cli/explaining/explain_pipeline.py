"""``ferryman explain --pipeline``: where a pipeline is, what each of its steps does, and why.

Like that of a model it runs the plan that the operator runs and carries nothing out; what servers
said last stands in the status.
"""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import datetime
from typing import Any, Final

from rich.console import Console, RenderableType
from rich.text import Text

from ferryman.api.inference_model_status import CandidateStatus
from ferryman.api.pipelines.execution_status import ExecutionStatus
from ferryman.api.pipelines.inference_pipeline import InferencePipeline
from ferryman.api.pipelines.inference_pipeline_status import (
    BalancingStatus,
    InferencePipelineStatus,
    StepAssignment,
    StepStatus,
)
from ferryman.cli.explaining import explain_view
from ferryman.cli.explaining.explain_view import NOTHING, SHOWN_CHANGES, Explanation
from ferryman.cli.tables import Column, Listing
from ferryman.clients import pbtxt
from ferryman.core.balancing.state import BalancerState
from ferryman.core.errors import RejectedError
from ferryman.core.pipelines.plan import plan_pipeline
from ferryman.core.pipelines.server import PipelineServer, as_server, as_snapshot, server_of
from ferryman.core.pipelines.service import Situation
from ferryman.core.pipelines.snapshot import PipelineSnapshot
from ferryman.core.placement.choose import score
from ferryman.core.render import Environment

#: What is to serve is planned as well, and neither shown nor applied.
HERE: Final = Environment(operator_namespace="", image="ferryman")


def explain(snapshot: PipelineSnapshot, now: datetime) -> tuple[Explanation, InferencePipeline]:
    """Decide as the operator does; return where the server is, and the pipeline as decided."""
    pipeline = snapshot.pipeline
    situation = Situation(snapshot, None, BalancerState(), now, pbtxt.encode, "", HERE)
    decided = plan_pipeline(situation).status
    told = pipeline.status.with_(
        faults=decided.faults,
        execution=decided.execution,
        target=decided.target,
        steps=_with_weights(pipeline.status, decided),
    )
    server: PipelineServer = as_server(pipeline)
    today: tuple[CandidateStatus, ...] = ()
    if snapshot.runtime is not None:
        with suppress(RejectedError):  # the faults say why it can be nowhere
            server = server_of(snapshot, snapshot.runtime)
            today = score(as_snapshot(snapshot, server), now)
    return Explanation(server, decided.placement, today), pipeline.with_(status=told)


def _with_weights(
    before: InferencePipelineStatus, decided: InferencePipelineStatus
) -> tuple[StepStatus, ...]:
    """Return the steps as they were reported, with the weights that are decided on."""
    weights = {step.name: step.variant for step in decided.steps}
    return tuple(step.with_(variant=weights.get(step.name)) for step in before.steps)


def as_json(explanation: Explanation, pipeline: InferencePipeline) -> dict[str, Any]:
    """Return the explanation as JSON values, with the API's field names."""
    status = pipeline.status.as_dict()
    shown = ("faults", "execution", "limitingStep", "workers", "steps", "balancing", "observed")
    return {
        "namespace": pipeline.key.namespace,
        "name": pipeline.key.name,
        "placement": explanation.placement.as_dict() if explanation.placement else None,
        "today": [candidate.as_dict() for candidate in explanation.today],
        "objectives": pipeline.spec.objectives.as_dict(),
        **{key: status.get(key) for key in shown},
        "conditions": status["conditions"],
    }


def show(explanation: Explanation, pipeline: InferencePipeline, console: Console) -> None:
    """Print the explanation as tables."""
    for part in _parts(explanation, pipeline):
        console.print(part, soft_wrap=isinstance(part, Text))


def _parts(explanation: Explanation, pipeline: InferencePipeline) -> Iterator[RenderableType]:
    status = pipeline.status
    yield Text(pipeline.key.qualified_name, style="bold")
    yield from explain_view.place(explanation)
    yield explain_view.facts(_facts(status))
    if status.execution is not None and len(status.execution.candidates) > 1:
        yield _ways(status.execution)
    if status.faults:
        yield _faults(status)
    if status.steps:
        yield _steps(status)
    if any(step.variant for step in status.steps):
        yield _variants(status)
    if status.balancing.changes:
        yield _changes(status)
    if status.conditions:
        yield explain_view.conditions(status.conditions)


def _facts(status: InferencePipelineStatus) -> Iterator[tuple[str, str]]:
    if status.execution is not None:
        execution = status.execution
        yield "Execution", f"{execution.mode}, {execution.reason}: {execution.message}"
        call = execution.call
        if call is not None:
            yield "A call", f"{call.milliseconds:g} ms, and {call.mebibytes_per_second:g} MiB/s"
    yield "Objectives", status.target
    yield "Observed", _observed(status)
    yield "Workers", status.workers or NOTHING
    if status.balancing.reason:
        yield "Why", f"{status.balancing.reason}: {status.balancing.message}"
    if status.balancing.desired_replicas is not None:
        yield "Replicas needed", _needed(status.balancing)
    following = status.balancing.next_worker
    if following is not None:
        yield "One more", f"{following.step}, {following.reason}: {following.message}"


def _ways(execution: ExecutionStatus) -> Listing:
    """Return the ways to put the steps on servers that were compared, what is chosen first."""
    figures = ("TAKES", "CALLS")
    columns = (
        *map(Column, ("", "PLACE", "CUT OFF")),
        *(Column(name, right=True) for name in figures),
        Column("REASON"),
        Column("WHY", fold=24, below=True),
    )
    table = Listing(columns, title="Servers (times of a request in ms; → serves)")
    for way in execution.candidates:
        table.add(
            "→" if way.chosen else "",
            way.place,
            ", ".join(step for server in way.servers[1:] for step in server) or NOTHING,
            _figure(way.latency_milliseconds),
            _figure(way.added_milliseconds),
            way.reason,
            way.message,
        )
    return table


def _needed(balancing: BalancingStatus) -> str:
    fewer = balancing.fewer_replicas
    if balancing.unattainable is not None:
        return f"no number would do: {balancing.unattainable}"
    later = "" if fewer is None else f", {fewer.replicas} would do since {fewer.since}"
    return f"{balancing.desired_replicas}{later}"


def _observed(status: InferencePipelineStatus) -> str:
    seen = status.observed
    if seen is None:
        return "nothing yet"
    latency = _figure(seen.latency_milliseconds, " ms")
    rejected = f", {seen.rejected_requests} rejected" if seen.rejected_requests else ""
    return (
        f"latency {latency}, {seen.requests_per_second:g} requests/s, "
        f"{seen.failed_requests} failed requests{rejected}"
    )


def _faults(status: InferencePipelineStatus) -> Listing:
    columns = (*map(Column, ("STEP", "TENSOR", "FAULT")), Column("WHAT TO DO", fold=24, below=True))
    table = Listing(columns, title="Faults")
    for fault in status.faults:
        table.add(fault.step or NOTHING, fault.tensor or NOTHING, fault.reason, fault.message)
    return table


def _steps(status: InferencePipelineStatus) -> Listing:
    figures = ("WORKERS", "BATCH", "SERVICE", "QUEUE", "BUSY", "ROWS")
    columns = (*map(Column, ("", "STEP")), *(Column(name, right=True) for name in figures))
    table = Listing(columns, title="Steps (times in ms; → limits)")
    for step in status.steps:
        table.add(*_cells(step, limits=step.name == status.limiting_step))
    return table


def _cells(step: StepStatus, *, limits: bool) -> Iterator[str]:
    yield "→" if limits else ""
    yield step.name
    yield _figure(step.instances.desired)
    yield _figure(step.max_batch_size)
    yield _figure(step.service_time_milliseconds)
    yield _figure(step.queue_milliseconds)
    yield NOTHING if step.busy is None else f"{step.busy:.0%}"
    yield _figure(step.rows_per_request)


def _variants(status: InferencePipelineStatus) -> Listing:
    columns = (*map(Column, ("STEP", "WEIGHTS", "REASON")), Column("WHY", fold=24, below=True))
    table = Listing(columns, title="Weights (→ serves)")
    for step in status.steps:
        if (chosen := step.variant) is not None:
            table.add(
                step.name, f"→ {chosen.name or 'the original'}", chosen.reason, chosen.message
            )
            for other in chosen.refused:
                table.add(step.name, other.name, other.reason, other.message)
    return table


def _changes(status: InferencePipelineStatus) -> Listing:
    columns = map(Column, ("TIME", "FROM", "TO", "OUTCOME", "REASON"))
    table = Listing((*columns, Column("WHY", fold=24, below=True)), title="Last changes")
    for change in status.balancing.changes[:SHOWN_CHANGES]:
        before, after = _short(change.before), _short(change.after)
        table.add(change.time, before, after, change.outcome, change.reason, change.message)
    return table


def _short(entries: Iterable[StepAssignment]) -> str:
    return " ".join(f"{each.step}={each.instances}" for each in entries)


def _figure(value: float | None, unit: str = "") -> str:
    return NOTHING if value is None else f"{value:g}{unit}"
