"""Which placements stand: nothing that bears on them has changed since nodes were compared.

Comparing a thousand nodes takes some ten milliseconds, and most reconciles are about something
else: a pod that came up, a window that ended.
"""

from dataclasses import dataclass
from typing import Final

from ferryman.api.inference_model import InferenceModel
from ferryman.api.inference_model_status import PlacementStatus
from ferryman.handlers.cache import Key

#: No event tells that reports stopped coming, or what other models have come to reserve.
COMPARE_AGAIN_S: Final = 300.0


@dataclass(frozen=True, slots=True)
class _Compared:
    """What a placement was found under."""

    epoch: int
    generation: int
    placement: PlacementStatus
    at_s: float


class Standing:
    """The placements that stand."""

    def __init__(self) -> None:
        self._epoch = 0
        self._compared: dict[Key, _Compared] = {}

    @property
    def epoch(self) -> int:
        """Counts what no placement outlasts: changes of nodes, profiles and runtimes."""
        return self._epoch

    def unsettle(self) -> None:
        """Have every placement compared again."""
        self._epoch += 1

    def note(self, model: InferenceModel, found: PlacementStatus, epoch: int, at_s: float) -> None:
        """Take note of a placement that was found by comparing the nodes as they were at epoch."""
        generation = model.metadata.generation
        self._compared[model.key] = _Compared(epoch, generation, found, at_s)

    def stands(self, model: InferenceModel, now_s: float) -> bool:
        """Whether the model's placement would come out as it is."""
        known = self._compared.get(model.key)
        if known is None or now_s - known.at_s >= COMPARE_AGAIN_S:
            return False
        now = (self._epoch, model.metadata.generation, model.status.placement)
        return (known.epoch, known.generation, known.placement) == now

    def forget(self, key: Key) -> None:
        """Forget a model that is gone."""
        self._compared.pop(key, None)
