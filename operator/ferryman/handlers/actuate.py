"""Carry a change of batching out on running pods, one after the other."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from ferryman.api.batching import Batching
from ferryman.clients.pbtxt import ConfigInvalid
from ferryman.clients.triton import ConfigRefused, TritonServer, TritonUnavailable
from ferryman.core.changes import Actuation
from ferryman.core.snapshot import PodView

_log = logging.getLogger(__name__)

Outcome = Literal["Applied", "Refused", "Interrupted"]


@dataclass(frozen=True, slots=True)
class Result:
    """What came of it; ``message`` is Triton's word or the adapter's, and may be empty."""

    outcome: Outcome
    message: str = ""


async def actuate(actuation: Actuation, server: Callable[[PodView], TritonServer]) -> Result:
    """Change all pods in turn, so that of several replicas only one is busy loading.

    If one refuses, those already changed are put back. A pod that does not answer is left to
    be converged later; if none answers, the change did not happen.
    """
    changed: list[PodView] = []
    silent: list[str] = []
    for pod in actuation.pods:
        try:
            await _apply(server(pod), actuation.after, actuation.config_pbtxt)
        except (ConfigRefused, ConfigInvalid) as refusal:
            await _put_back(changed, actuation.before, server)
            return Result("Refused", str(refusal))
        except TritonUnavailable as error:
            silent.append(str(error))
        else:
            changed.append(pod)
    if actuation.pods and not changed:
        return Result("Interrupted", "; ".join(silent))
    return Result("Applied", "; ".join(silent))


async def _apply(server: TritonServer, batching: Batching, config_pbtxt: str) -> None:
    await server.apply_batching(batching, config_pbtxt=config_pbtxt or None)


async def _put_back(
    pods: list[PodView], before: Batching, server: Callable[[PodView], TritonServer]
) -> None:
    """Undo on a best effort: a pod that resists is seen to differ, and converged, later."""
    for pod in reversed(pods):
        try:
            await _apply(server(pod), before, "")
        except (ConfigRefused, TritonUnavailable) as error:
            _log.warning("a pod kept the new batching", extra={"pod": pod.name, "why": str(error)})
