"""What scales a model in a simulation; ``OwnScaling`` is the operator's decision after a window."""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from ferryman.api.inference_model_status import InferenceModelStatus
from ferryman.api.scaling import ScalingChange, ScalingSpec
from ferryman.core.batching import desired
from ferryman.core.observation.window import Window
from ferryman.core.scaling import stabilization
from ferryman.core.scaling.decide import ScalingView, decide
from ferryman.core.simulator.replicas import ReplicaPods
from ferryman.core.snapshot import ServingState
from ferryman.core.tuners.protocol import Decision


@dataclass(frozen=True, slots=True)
class JudgedWindow:
    """A window, and the algorithm's word on it."""

    window: Window
    word: Decision


#: The status with the replicas that there are to be, and the change, if it is one.
Rescaled = tuple[InferenceModelStatus, ScalingChange | None]


class Scaler(Protocol):
    """Is asked at each reading how many replicas there are to be."""

    def __call__(
        self,
        status: InferenceModelStatus,
        seen: JudgedWindow | None,
        pods: ReplicaPods,
        now: datetime,
        /,
    ) -> Rescaled:
        """Return what is to be; ``seen`` is the window that ended with this reading, if one did."""


@dataclass(frozen=True, slots=True)
class OwnScaling:
    """Scales as the operator does."""

    spec: ScalingSpec

    def __call__(
        self,
        status: InferenceModelStatus,
        seen: JudgedWindow | None,
        pods: ReplicaPods,
        now: datetime,
    ) -> Rescaled:
        """Decide after a window; between two of them all stays as it is."""
        if seen is None:
            return status, None
        least = stabilization.stated(self.spec)
        batching = desired.noted(
            status.batching, seen.word, seen.window, pods.wanted, now=now, least=least
        )
        ready = len(pods.serving)
        scaling = decide(
            ScalingView(
                spec=self.spec,
                status=status.scaling,
                replicas=pods.wanted,
                batching=batching,
                serving=ServingState(ready_replicas=ready, updated_replicas=ready),
                stated=pods.scenario.replicas,
                now=now,
            )
        )
        change = scaling.changes[0] if scaling.replicas != pods.wanted else None
        status = status.with_(batching=batching, scaling=scaling, desired_replicas=scaling.replicas)
        return status, change
