"""Execute: carry out the plan of a pipeline, writing only what differs from what is there."""

import logging
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Literal

from ferryman.actuation.steps import ServerOf, StepActuator
from ferryman.api.batching import Batching
from ferryman.api.pipelines.inference_pipeline import InferencePipeline
from ferryman.api.pipelines.inference_pipeline_status import InferencePipelineStatus
from ferryman.clients import tracing
from ferryman.clients.kubernetes import ObjectReference
from ferryman.clients.kubernetes_errors import PermanentError
from ferryman.clients.triton import ConfigRefused, TritonUnavailable
from ferryman.core.batching.actuators import ACTUATORS
from ferryman.core.pipelines import journal
from ferryman.core.pipelines.journal import PipelineChange
from ferryman.core.pipelines.plan import PipelinePlan
from ferryman.core.pipelines.reporting import report
from ferryman.core.pipelines.serving.loading import EnsembleLoad
from ferryman.core.snapshot import PodView
from ferryman.core.status.events import Event
from ferryman.core.wording import describe
from ferryman.handlers.apply import Writer, problem_of
from ferryman.handlers.metrics import Metrics
from ferryman.handlers.work_queue import Aside, nobody_waits

_log = logging.getLogger(__name__)

#: What became of a plan's change: made, not made, or there was none to make.
Made = Literal["Made", "NotMade", "None"]


class PipelineExecutor:
    """Writes plans to the API server and to Triton."""

    def __init__(
        self,
        writer: Writer,
        metrics: Metrics,
        *,
        clock: Callable[[], datetime],
        aside: Aside = nobody_waits,
        changes: tracing.Changes | None = None,
    ) -> None:
        """``aside`` is entered while pods are changed, which may take as long as they like."""
        self._aside = aside
        self._writer = writer
        self._metrics = metrics
        self._clock = clock
        self._changes = changes or tracing.Changes()

    async def carry_out(
        self,
        pipeline: InferencePipeline,
        plan: PipelinePlan,
        server: ServerOf,
        on_change: Callable[[float], None],
    ) -> Made:
        """Write the status, apply the objects, change steps, and tell of it.

        In this order, so that an operator that dies in between finds the decision written down
        and carries on from it. Raises KubernetesError; everything is then tried again. What the
        API server refuses for good is said in the status as well.
        """
        status = plan.status
        if plan.change is not None:
            status = journal.record_started(status, plan.change, self._clock())
        await self._write_status(pipeline, status)
        # At once: the next try would see no transition any more.
        await self._writer.post(reference(pipeline), plan.events)
        pipeline = pipeline.with_(status=status)
        try:
            await self._writer.apply(pipeline.key, plan.objects)
        except PermanentError as error:
            await self._report(pipeline, plan.status, error)
            raise
        if plan.objects:
            status = report.applied(status, self._clock())
        if plan.change is None:
            await self._write_status(pipeline, status)
            return "None"
        return await self._change(pipeline, status, plan.change, server, on_change)

    async def load_ensemble(
        self,
        pipeline: InferencePipeline,
        load: EnsembleLoad,
        server: ServerOf,
        on_change: Callable[[float], None],
    ) -> str:
        """Load the ensemble where it is not; return Triton's words if it refuses, else ""."""
        for pod in load.pods:
            extra = pipeline.key.in_log() | {"pod": pod.name}
            on_change(0.0)
            try:
                async with self._aside(pipeline.key):
                    with tracing.span("load ensemble", tracing.of_pod(pod.name)):
                        await server(pod, pipeline.triton_name).load(load.config_pbtxt)
            except ConfigRefused as refusal:
                _log.warning("the ensemble was refused", extra=extra | {"why": str(refusal)})
                return str(refusal)
            except TritonUnavailable as error:
                _log.info("the ensemble was not loaded", extra=extra | {"why": str(error)})
            else:
                _log.info("the ensemble was loaded", extra=extra)
        return ""

    async def write_status(
        self, pipeline: InferencePipeline, status: InferencePipelineStatus
    ) -> None:
        """Write a status, if it differs."""
        await self._write_status(pipeline, status)

    async def _write_status(
        self, pipeline: InferencePipeline, status: InferencePipelineStatus
    ) -> None:
        self._metrics.show_pipeline(pipeline, status)
        if status != pipeline.status:
            await self._writer.write_status(reference(pipeline), status.as_dict())

    async def _report(
        self, pipeline: InferencePipeline, status: InferencePipelineStatus, error: PermanentError
    ) -> None:
        """Say why objects are not applied, unless that was said; the rest is as was decided."""
        problem = problem_of(error)
        refused = report.with_problem(status, problem, self._clock())
        if refused != status:
            await self._write_status(pipeline, refused)
            told = Event("Warning", problem.reason, problem.message)
            await self._writer.post(reference(pipeline), (told,))

    async def _change(
        self,
        pipeline: InferencePipeline,
        status: InferencePipelineStatus,
        change: PipelineChange,
        server: ServerOf,
        on_change: Callable[[float], None],
    ) -> Made:
        namespace = pipeline.key.namespace

        async def annotate(pod: PodView, annotation: str, bound: int) -> None:
            await self._writer.annotate(namespace, pod.name, {annotation: str(bound)})

        on_change(0.0)
        actuator = StepActuator(pipeline.triton_name, server, annotate)
        try:
            with self._changes.recorded(
                pipeline.key,
                actuator="InPlace",
                reason=change.reason,
                before=_described(change.before),
                after=_described(change.after),
            ) as span:
                async with self._aside(pipeline.key):
                    result = await actuator.carry_out(change)
                tracing.came(span, result.outcome, result.message)
        finally:
            on_change(ACTUATORS["LiveCap"].settles_s)
        self._metrics.changed("InPlace", result.outcome)
        extra: dict[str, Any] = {
            **pipeline.key.in_log(),
            "reason": change.reason,
            "before": {step: each.as_dict() for step, each in change.before.items()},
            "after": {step: each.as_dict() for step, each in change.after.items()},
            "outcome": result.outcome,
            "detail": result.message,
        }
        _log.info("steps changed", extra=extra)
        finished = journal.record_outcome(status, result.outcome, result.message)
        await self._write_status(pipeline.with_(status=status), finished)
        await self._writer.post(reference(pipeline), (report.of_outcome(finished),))
        return "Made" if result.outcome == "Applied" else "NotMade"


def reference(pipeline: InferencePipeline) -> ObjectReference:
    """Return what writes and events about a pipeline refer to."""
    return ObjectReference.of(pipeline.key, pipeline.metadata.uid)


def _described(steps: Mapping[str, Batching]) -> str:
    return "; ".join(f"{step}: {describe(batching)}" for step, batching in steps.items())
