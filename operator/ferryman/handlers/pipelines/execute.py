"""Execute: carry out the plan of a pipeline, writing only what differs from what is there."""

import logging
from collections.abc import Callable, Mapping
from typing import Any, Literal

from ferryman.actuation.steps import ServerOf, StepActuator
from ferryman.api.batching import Batching
from ferryman.api.pipelines.inference_pipeline import InferencePipeline
from ferryman.api.pipelines.inference_pipeline_status import InferencePipelineStatus
from ferryman.clients import tracing
from ferryman.clients.triton import ConfigRefused, TritonUnavailable
from ferryman.core.batching.actuators import ACTUATORS
from ferryman.core.pipelines import journal
from ferryman.core.pipelines.journal import PipelineChange
from ferryman.core.pipelines.plan import PipelinePlan
from ferryman.core.pipelines.reporting import report
from ferryman.core.pipelines.serving.loading import EnsembleLoad
from ferryman.core.snapshot import PodView
from ferryman.core.status.readiness import NotReady
from ferryman.core.wording import describe
from ferryman.handlers.reconciling.carrying import Carrying, reference

_log = logging.getLogger(__name__)

#: What became of a plan's change: made, not made, or there was none to make.
Made = Literal["Made", "NotMade", "None"]


class PipelineExecutor(Carrying[InferencePipeline, InferencePipelineStatus, PipelinePlan]):
    """Writes plans of pipelines to the API server and to Triton."""

    async def carry_out(
        self,
        pipeline: InferencePipeline,
        plan: PipelinePlan,
        server: ServerOf,
        on_change: Callable[[float], None],
    ) -> Made:
        """Write the status, apply the objects, change steps, and tell of it.

        ``on_change`` is called when what serves changes, with the seconds until that shows.
        Raises KubernetesError.
        """
        status = await self._write(pipeline, plan, goes_on=plan.change is not None)
        if plan.change is None:
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

    def _begun(self, plan: PipelinePlan) -> InferencePipelineStatus:
        if plan.change is None:
            return plan.status
        return journal.record_started(plan.status, plan.change, self._clock())

    def _applied(self, status: InferencePipelineStatus) -> InferencePipelineStatus:
        return report.applied(status, self._clock())

    def _refused(self, plan: PipelinePlan, problem: NotReady) -> InferencePipelineStatus:
        return report.with_problem(plan.status, problem, self._clock())

    def _show(self, subject: InferencePipeline, status: InferencePipelineStatus) -> None:
        self._metrics.show_pipeline(subject, status)

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
        await self._write_status(pipeline, status, finished)
        await self._writer.post(reference(pipeline), (report.of_outcome(finished),))
        return "Made" if result.outcome == "Applied" else "NotMade"


def _described(steps: Mapping[str, Batching]) -> str:
    return "; ".join(f"{step}: {describe(batching)}" for step, batching in steps.items())
