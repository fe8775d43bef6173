"""Carry a change of batching out on running pods, one after the other."""

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final, Literal

from ferryman.api.batching import Batching
from ferryman.clients import tracing
from ferryman.clients.kubernetes_errors import NotFoundError, PermanentError, TemporaryError
from ferryman.clients.pbtxt import ConfigInvalid
from ferryman.clients.triton import ConfigRefused, TritonServer, TritonUnavailable
from ferryman.core.batching.actuators import ACTUATORS
from ferryman.core.batching.changes import Actuation
from ferryman.core.snapshot import PodView

_log = logging.getLogger(__name__)

Outcome = Literal["Applied", "Refused", "Interrupted"]
#: A load that never returns takes minutes: of hundreds of such pods, days.
MOST_SILENT: Final = 3
#: Writes a pod's live cap into its annotation. Raises KubernetesError.
Annotate = Callable[[PodView, int], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Result:
    """What came of it; ``message`` is Triton's word or the adapter's, and may be empty."""

    outcome: Outcome
    message: str = ""


@dataclass(frozen=True, slots=True)
class _Means:
    """Through what pods are changed."""

    server: Callable[[PodView], TritonServer]
    annotate: Annotate


@dataclass
class _Tally:
    """What became of the pods so far."""

    changed: list[PodView] = field(default_factory=list)
    silent: list[str] = field(default_factory=list)


async def _no_annotations(pod: PodView, _bound: int) -> None:
    raise NotImplementedError(f"{pod.name} is to be annotated, but there is no API server")


async def actuate(
    actuation: Actuation,
    server: Callable[[PodView], TritonServer],
    annotate: Annotate = _no_annotations,
) -> Result:
    """Change all pods in turn, so that of several replicas only one is busy loading.

    If one refuses, those already changed are put back. A pod that does not answer is left to
    be converged later, and after a few of them so are the rest; if none answers, the change did not
    happen. A pod that is gone counts for nothing: its successor starts with what is applied.
    """
    means, tally = _Means(server, annotate), _Tally()
    for number, pod in enumerate(actuation.pods):
        if len(tally.silent) >= MOST_SILENT:
            tally.silent.append(f"{len(actuation.pods) - number} further pods were left for later")
            break
        try:
            with tracing.span("change pod", tracing.of_pod(pod.name)):
                await _change(pod, actuation, means)
        except (ConfigRefused, ConfigInvalid, _Forbidden) as refusal:
            await _put_back(pod, tally.changed, actuation, means)
            return Result("Refused", str(refusal))
        except (TritonUnavailable, TemporaryError) as error:
            tally.silent.append(str(error))
        except NotFoundError:
            _log.info("a pod is gone", extra={"pod": pod.name})
        else:
            tally.changed.append(pod)
    if tally.silent and not tally.changed:
        return Result("Interrupted", "; ".join(tally.silent))
    return Result("Applied", "; ".join(tally.silent))


class _Forbidden(Exception):  # noqa: N818  the name states the finding
    """The API server will not have the annotation changed."""


async def _change(pod: PodView, actuation: Actuation, means: _Means) -> None:
    """Put ``actuation.after`` in force in one pod.

    The annotation first: what a reload finds then agrees with what it brings. A change in place
    keeps the bound that the pod was loaded with, because another would make it a reload.
    """
    after, traits = actuation.after, ACTUATORS[actuation.actuator]
    if traits.annotates:
        await _cap(pod, after, means)
    if traits.keeps_bound and pod.live_cap is not None:
        after = after.with_(max_batch_size=pod.live_cap.loaded.max_batch_size)
    if traits.loads:
        config = actuation.config_pbtxt if _can_load(pod, actuation) else ""
        await means.server(pod).apply_batching(after, config_pbtxt=config or None)


def _can_load(pod: PodView, actuation: Actuation) -> bool:
    """Whether the pod can load the configuration of pods to come.

    One that was not made for a live cap lacks its volume and perhaps the library: its own
    configuration is changed instead.
    """
    return pod.takes_live_cap or not actuation.config_has_live_cap


async def _cap(pod: PodView, batching: Batching, means: _Means) -> None:
    if not pod.takes_live_cap:
        return
    try:
        await means.annotate(pod, batching.max_batch_size)
    except NotFoundError:
        raise
    except PermanentError as error:
        raise _Forbidden(str(error)) from error


async def _put_back(
    refusing: PodView, changed: list[PodView], actuation: Actuation, means: _Means
) -> None:
    """Undo on a best effort: a pod that resists is seen to differ, and converged, later.

    The pod that refused still serves what it had, but its annotation may be new.
    """
    back = replace(actuation, after=actuation.before, config_pbtxt="")
    undoing = [partial(_change, pod, back, means) for pod in reversed(changed)]
    if ACTUATORS[actuation.actuator].annotates:
        undoing.insert(0, partial(_cap, refusing, actuation.before, means))
    for undo in undoing:
        pod: PodView = undo.args[0]
        try:
            with tracing.span("put back", tracing.of_pod(pod.name)):
                await undo()
        except (ConfigRefused, TritonUnavailable, _Forbidden, TemporaryError, NotFoundError) as e:
            _log.warning("a pod kept the new batching", extra={"pod": pod.name, "why": str(e)})
