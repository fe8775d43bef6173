"""Observation: one sampler per serving pipeline, which hands finished windows to the reconcile.

Like ``handlers.sampling`` for a single model: it reads the counters of all models on all ready pods
once a second, adds them up by pure functions, and decides nothing.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from ferryman.api.batching import WindowSettings
from ferryman.api.pipelines.inference_pipeline import InferencePipeline
from ferryman.api.resources import Key
from ferryman.api.statistics import Statistics
from ferryman.core.observation.pipeline_window import (
    PipelineReading,
    PipelineWindow,
    PipelineWindowState,
    observe_pipeline,
)
from ferryman.core.snapshot import PodView
from ferryman.handlers.sampling import PATIENCE, PERIOD_S, Samplers, ready

_log = logging.getLogger(__name__)

#: (key, pods, control key, model) -> pod -> counters
Read = Callable[[Key, tuple[PodView, ...], str, str], Awaitable[Mapping[str, Statistics]]]


@dataclass(frozen=True, slots=True)
class PipelineSubject:
    """What a sampler observes, and how."""

    key: Key
    pods: tuple[PodView, ...]
    control_key: str
    ensemble: str
    steps: tuple[str, ...]
    settings: WindowSettings
    percentile: int

    @classmethod
    def of(
        cls, pipeline: InferencePipeline, pods: tuple[PodView, ...], control_key: str
    ) -> "PipelineSubject":
        """Return the ready pods of a pipeline with its window settings and percentile."""
        return cls(
            key=pipeline.key,
            pods=ready(pods),
            control_key=control_key,
            ensemble=pipeline.triton_name,
            steps=tuple(step.name for step in pipeline.spec.steps),
            settings=pipeline.spec.balancing.window,
            percentile=pipeline.spec.objectives.percentile,
        )


class PipelineTuning(Samplers[PipelineSubject, PipelineWindow]):
    """The samplers of all pipelines."""

    def __init__(
        self, read: Read, deliver: Callable[[Key], None], *, clock: Callable[[], float]
    ) -> None:
        super().__init__(deliver, clock=clock)
        self._read = read

    async def _sample(self, key: Key) -> None:
        state, missed = PipelineWindowState(), 0
        while True:
            subject = self._subjects[key]
            reading = await self._reading(subject)
            complete = reading is not None
            missed = 0 if complete else missed + 1
            if missed == PATIENCE + 1:
                _log.warning("pods do not show their counters", extra=key.in_log())
                self._deliver(key)
            if reading is not None:
                state = self._advance(subject, state, reading)
            elif missed > PATIENCE:
                state = PipelineWindowState()
            await asyncio.sleep(PERIOD_S)

    async def _reading(self, subject: PipelineSubject) -> PipelineReading | None:
        """Return the counters of every model on every pod; None where any is missing."""
        models = (subject.ensemble, *subject.steps)
        try:
            shown = await asyncio.gather(
                *(
                    self._read(subject.key, subject.pods, subject.control_key, model)
                    for model in models
                )
            )
        except Exception:  # noqa: BLE001  logged with its trace
            # A reading that fails in a way nobody foresaw must not end the observation.
            _log.exception("reading statistics failed", extra=subject.key.in_log())
            return None
        wanted = {pod.name for pod in subject.pods}
        if any(samples.keys() != wanted for samples in shown):
            return None
        return PipelineReading(shown[0], dict(zip(subject.steps, shown[1:], strict=True)))

    def _advance(
        self, subject: PipelineSubject, state: PipelineWindowState, reading: PipelineReading
    ) -> PipelineWindowState:
        state, window = observe_pipeline(
            state,
            reading,
            subject.settings,
            percentile=subject.percentile,
            now_s=self._clock(),
            changed_at_s=self._changed_at_s.get(subject.key),
        )
        if window is not None:
            self._windows[subject.key] = window
            self._deliver(subject.key)
        return state
