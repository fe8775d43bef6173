"""Carry a change of a pipeline's steps out on running pods, one step and one pod after the other.

After every load the ensemble is asked whether it is still there: a step that Triton loaded in good
order may have taken it down (ensemble_utils.cc checks members only when the ensemble is loaded).
"""

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

from ferryman.actuation.actuate import Result
from ferryman.clients import tracing
from ferryman.clients.kubernetes_errors import NotFoundError, PermanentError, TemporaryError
from ferryman.clients.pbtxt import ConfigInvalid
from ferryman.clients.triton import ConfigRefused, TritonServer, TritonUnavailable
from ferryman.core.pipelines.journal import PipelineChange, StepMove
from ferryman.core.snapshot import PodView

_log = logging.getLogger(__name__)

#: A shrink waits for an instance that is idle, and under full load there may be none for long.
SHRINK_WITHIN_S: Final = 30.0

#: (pod, model) -> the connection
ServerOf = Callable[[PodView, str], TritonServer]
#: Writes an annotation of a pod. Raises KubernetesError.
AnnotateCap = Callable[[PodView, str, int], Awaitable[None]]


class EnsembleLostError(Exception):
    """A step was loaded, and the ensemble was not there any more."""


@dataclass(frozen=True)
class StepActuator:
    """Changes steps of one pipeline."""

    ensemble: str
    server: ServerOf
    annotate: AnnotateCap

    async def carry_out(self, change: PipelineChange) -> Result:
        """Change all steps in all pods, so that of several replicas only one is busy loading.

        If one refuses, or the ensemble is lost, those already changed are put back. A pod that
        does not answer, or not in time, leaves the change interrupted: it is looked at again. A
        pod that is gone counts for nothing: its successor starts with what is applied.
        """
        tally = _Tally()
        for move in change.moves:
            for pod in move.pods:
                try:
                    with tracing.span("change pod", _about(pod, move)):
                        await self._change(pod, move, change)
                except (ConfigRefused, ConfigInvalid, EnsembleLostError, PermanentError) as error:
                    if isinstance(error, NotFoundError):
                        _log.info("a pod is gone", extra={"pod": pod.name})
                        continue
                    await self._put_back(tally)
                    return Result("Refused", str(error))
                except (TritonUnavailable, TemporaryError) as error:
                    tally.silent.append(str(error))
                else:
                    tally.changed.append((pod, move))
        if tally.silent:
            return Result("Interrupted", "; ".join(tally.silent))
        return Result("Applied")

    async def _change(self, pod: PodView, move: StepMove, change: PipelineChange) -> None:
        """Put a step's new figures in force in one pod."""
        if pod.live_cap is not None and move.after.max_batch_size != move.before.max_batch_size:
            await self.annotate(pod, move.cap_annotation, move.after.max_batch_size)
        config = move.configs.get(pod.name)
        if config is None:
            return
        server = self.server(pod, move.step)
        if move.shrinks:
            await server.load(config, within_s=SHRINK_WITHIN_S)
        else:
            await server.load(config, more_than=_shown(pod, move) if move.grows else None)
        if not await self._is_there(pod):
            await self._restore(pod, move, change)
            raise EnsembleLostError(
                f"step {move.step} was loaded in pod {pod.name}, after which Triton did not serve "
                "the ensemble any more: the step was put back"
            )

    async def _is_there(self, pod: PodView) -> bool:
        """Whether the ensemble is; raises TritonUnavailable."""
        return (await self.server(pod, self.ensemble).model()).ready

    async def _restore(self, pod: PodView, move: StepMove, change: PipelineChange) -> None:
        """Put a step back, and load the ensemble if that does not bring it back by itself."""
        await self.server(pod, move.step).load(move.restoring[pod.name])
        if not await self._is_there(pod):
            await self.server(pod, self.ensemble).load(change.ensemble_pbtxt)

    async def _put_back(self, tally: "_Tally") -> None:
        """Undo on a best effort: a pod that resists is seen to differ, and converged, later."""
        for pod, move in reversed(tally.changed):
            try:
                with tracing.span("put back", _about(pod, move)):
                    await self._undo(pod, move)
            except (ConfigRefused, TritonUnavailable, TemporaryError, PermanentError) as error:
                extra = {"pod": pod.name, "step": move.step, "why": str(error)}
                _log.warning("a pod kept what a step was given", extra=extra)

    async def _undo(self, pod: PodView, move: StepMove) -> None:
        if pod.live_cap is not None:
            await self.annotate(pod, move.cap_annotation, move.before.max_batch_size)
        config = move.restoring.get(pod.name)
        if config is not None:
            await self.server(pod, move.step).load(config)


def _about(pod: PodView, move: StepMove) -> tracing.Attributes:
    return {**tracing.of_pod(pod.name), "ferryman.step": move.step}


def _shown(pod: PodView, move: StepMove) -> int:
    """Return the instances that a pod has of a step."""
    known = pod.batching is not None and pod.instances_known
    return pod.batching.instances if pod.batching and known else move.before.instances


@dataclass
class _Tally:
    """What became of the pods so far."""

    changed: list[tuple[PodView, StepMove]] = field(default_factory=list)
    silent: list[str] = field(default_factory=list)
