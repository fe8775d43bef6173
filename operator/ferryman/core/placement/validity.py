"""When a placement would come out as it did: nothing that bears on it has changed since.

Comparing a thousand nodes takes some ten milliseconds, and most reconciles are about something
else: a pod that came up, a window that ended.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from ferryman.api.inference_model import InferenceModel
from ferryman.api.inference_model_status import PlacementStatus
from ferryman.core.placement.departures.unschedulable import has_waited
from ferryman.core.snapshot import Advice, ServingState

#: No event tells that reports stopped coming, or what other models have come to reserve.
COMPARE_AGAIN_S: Final = 300.0


@dataclass(frozen=True, slots=True)
class Compared:
    """What a placement was found under."""

    epoch: int
    """Counts what no placement outlasts: changes of nodes, profiles and runtimes."""
    generation: int
    placement: PlacementStatus
    at_s: float
    waiting: bool = False
    """Whether kube-scheduler had no node for a pod of the model."""

    def is_valid(
        self, model: InferenceModel, epoch: int, now_s: float, *, waiting: bool = False
    ) -> bool:
        """Whether the model's placement would come out as it is."""
        if now_s - self.at_s >= COMPARE_AGAIN_S:
            return False
        now = (epoch, model.metadata.generation, model.status.placement, waiting)
        return (self.epoch, self.generation, self.placement, self.waiting) == now


def must_compare(
    model: InferenceModel,
    serving: ServingState,
    advice: Advice | None,
    now: datetime,
    *,
    valid: bool,
) -> bool:
    """Whether nodes are to be compared: the placement is not valid, or the model may move."""
    return not valid or advice is not None or has_waited(model, serving, now)
