"""Execute: carry out a plan, writing only what differs from what is there."""

import logging
from collections.abc import Callable
from datetime import datetime
from typing import Any

from ferryman.actuation.actuate import actuate
from ferryman.api import names
from ferryman.api.inference_model import InferenceModel
from ferryman.api.inference_model_status import InferenceModelStatus
from ferryman.clients import tracing
from ferryman.clients.kubernetes import ObjectReference
from ferryman.clients.kubernetes_errors import PermanentError
from ferryman.clients.triton import TritonServer
from ferryman.core.batching.actuators import ACTUATORS
from ferryman.core.batching.changes import Actuation
from ferryman.core.plan import Plan, record_outcome, record_started
from ferryman.core.snapshot import PodView
from ferryman.core.status import conditions
from ferryman.core.status.events import Event, of_outcome
from ferryman.core.wording import describe
from ferryman.handlers.apply import Writer, problem_of
from ferryman.handlers.metrics import Metrics
from ferryman.handlers.work_queue import Aside, nobody_waits

_log = logging.getLogger(__name__)


class Executor:
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
        model: InferenceModel,
        plan: Plan,
        server: Callable[[PodView], TritonServer],
        on_change: Callable[[float], None],
    ) -> None:
        """Write the status, apply the objects, change the batching, and tell of it.

        ``on_change`` is called when what serves changes, with the seconds until that shows.

        In this order, so that an operator that dies in between finds the decision written down
        and carries on from it. Raises KubernetesError; everything is then tried again. What the
        API server refuses for good is said in the status as well.
        """
        status = plan.status
        if plan.actuation is not None:
            status = record_started(status, plan.actuation, self._clock())
        await self._write_status(model, status)
        # At once: the next try would see no transition any more.
        await self._writer.post(reference(model), plan.events)
        model = model.with_(status=status)
        try:
            await self._writer.apply(model.key, plan.objects)
        except PermanentError as error:
            await self._report(model, plan.status, error)
            raise
        if plan.objects:
            status = conditions.applied(status, self._clock())
        if plan.actuation is None:
            await self._write_status(model, status)
            return
        await self._change(model, status, plan.actuation, server, on_change)

    async def _write_status(self, model: InferenceModel, status: InferenceModelStatus) -> None:
        self._metrics.show(model, status)
        if status != model.status:
            await self._writer.write_status(reference(model), status.as_dict())

    async def _report(
        self, model: InferenceModel, status: InferenceModelStatus, error: PermanentError
    ) -> None:
        """Say why objects are not applied, unless that was said; the rest is as was decided.

        A change of batching that was to follow was not begun.
        """
        problem = problem_of(error)
        refused = conditions.with_problem(status, problem, self._clock())
        if refused != status:
            await self._write_status(model, refused)
            await self._writer.post(
                reference(model), (Event("Warning", problem.reason, problem.message),)
            )

    async def _change(
        self,
        model: InferenceModel,
        status: InferenceModelStatus,
        actuation: Actuation,
        server: Callable[[PodView], TritonServer],
        on_change: Callable[[float], None],
    ) -> None:
        async def annotate(pod: PodView, bound: int) -> None:
            annotations = {names.ANNOTATION_MAX_BATCH_SIZE: str(bound)}
            await self._writer.annotate(model.key.namespace, pod.name, annotations)

        traits = ACTUATORS[actuation.actuator]
        on_change(0.0)
        try:
            with self._changes.recorded(
                model.key,
                actuator=actuation.actuator,
                reason=actuation.reason,
                before=describe(actuation.before),
                after=describe(actuation.after),
            ) as span:
                async with self._aside(model.key):
                    result = await actuate(actuation, server, annotate)
                tracing.came(span, result.outcome, result.message)
        finally:
            on_change(traits.settles_s)
        self._metrics.changed(actuation.actuator, result.outcome)
        _log.info(
            "batching changed",
            extra=_described(model)
            | {
                "reason": actuation.reason,
                "before": actuation.before.as_dict(),
                "after": actuation.after.as_dict(),
                "outcome": result.outcome,
                "detail": result.message,
            },
        )
        now = self._clock()
        finished = record_outcome(status, actuation, result.outcome, result.message, now)
        await self._write_status(model.with_(status=status), finished)
        await self._writer.post(
            reference(model), (of_outcome(actuation, result.outcome, result.message),)
        )


def reference(model: InferenceModel) -> ObjectReference:
    """Return what writes and events about a model refer to."""
    return ObjectReference.of(model.key, model.metadata.uid)


def _described(model: InferenceModel) -> dict[str, Any]:
    return model.key.in_log()
