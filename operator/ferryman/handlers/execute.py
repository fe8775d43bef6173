"""Execute: carry out a plan, writing only what differs from what is there."""

import asyncio
import logging
from collections.abc import Callable
from typing import Any, Final

from ferryman.actuation.actuate import actuate
from ferryman.actuation.warm_start import measure
from ferryman.api import names
from ferryman.api.inference_model import InferenceModel
from ferryman.api.inference_model_status import InferenceModelStatus
from ferryman.clients import tracing
from ferryman.clients.triton import TritonServer
from ferryman.core.batching.actuators import ACTUATORS
from ferryman.core.batching.changes import Actuation
from ferryman.core.batching.warm_start import CurveMeasurement, Finding, finished
from ferryman.core.plan import Plan, record_outcome, record_started
from ferryman.core.snapshot import PodView
from ferryman.core.status import conditions
from ferryman.core.status.events import of_outcome, of_warm_start
from ferryman.core.status.readiness import NotReady
from ferryman.core.tuners.select import TunerState
from ferryman.core.wording import describe
from ferryman.handlers.reconciling.carrying import Carrying, reference
from ferryman.handlers.reconciling.common import Common

_log = logging.getLogger(__name__)

#: Models that are measured at once: each takes some copies of a large request.
MOST_MEASURED: Final = 2


class Executor(Carrying[InferenceModel, InferenceModelStatus, Plan]):
    """Writes plans of models to the API server and to Triton."""

    def __init__(self, common: Common) -> None:
        super().__init__(common)
        self._seconds = common.clocks.seconds
        self._measured = asyncio.Semaphore(MOST_MEASURED)

    @property
    def may_measure(self) -> bool:
        """Whether fewer models are being measured than may be at once."""
        return not self._measured.locked()

    async def carry_out(
        self,
        model: InferenceModel,
        plan: Plan,
        server: Callable[[PodView], TritonServer],
        on_change: Callable[[float], None],
    ) -> TunerState:
        """Write the status, apply the objects, change the batching or measure, and tell of it.

        ``on_change`` is called when what serves changes, with the seconds until that shows, and
        when windows do not show what clients ask. Returns what the tuner remembers from then on.
        Raises KubernetesError.
        """
        acts = plan.actuation is not None or plan.measurement is not None
        status = await self._write(model, plan, goes_on=acts)
        if plan.actuation is not None:
            await self._change(model, status, plan.actuation, server, on_change)
        elif plan.measurement is not None:
            measurement = plan.measurement
            finding = await self._measure(model, measurement, server(measurement.pod), on_change)
            after, state = finished(status, plan.state, measurement, finding, self._clock())
            await self._write_status(model, status, after)
            await self._writer.post(reference(model), of_warm_start(status, after))
            return state
        return plan.state

    async def _measure(
        self,
        model: InferenceModel,
        measurement: CurveMeasurement,
        server: TritonServer,
        on_change: Callable[[float], None],
    ) -> Finding:
        on_change(0.0)
        try:
            about = tracing.of_pod(measurement.pod.name)
            async with self._aside(model.key), self._measured:
                with tracing.span("measure model", about):
                    found = await measure(server, measurement, model.triton_name, self._seconds)
        finally:
            on_change(0.0)
        extra = {**model.key.in_log(), "sizes": sorted(found.times), "detail": found.message}
        _log.info("service times measured", extra=extra)
        return found

    def _begun(self, plan: Plan) -> InferenceModelStatus:
        if plan.actuation is None:
            return plan.status
        return record_started(plan.status, plan.actuation, self._clock())

    def _applied(self, status: InferenceModelStatus) -> InferenceModelStatus:
        return conditions.applied(status, self._clock())

    def _refused(self, plan: Plan, problem: NotReady) -> InferenceModelStatus:
        return conditions.with_problem(plan.status, problem, self._clock())

    def _show(self, subject: InferenceModel, status: InferenceModelStatus) -> None:
        self._metrics.show(subject, status)

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
        extra: dict[str, Any] = {
            **model.key.in_log(),
            "reason": actuation.reason,
            "before": actuation.before.as_dict(),
            "after": actuation.after.as_dict(),
            "outcome": result.outcome,
            "detail": result.message,
        }
        _log.info("batching changed", extra=extra)
        now = self._clock()
        finished = record_outcome(status, actuation, result.outcome, result.message, now)
        await self._write_status(model, status, finished)
        await self._writer.post(
            reference(model), (of_outcome(actuation, result.outcome, result.message),)
        )
