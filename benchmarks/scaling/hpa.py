"""An HPA, as KEDA makes one, that follows ``ferryman_model_desired_replicas``.

Every 15 s: ceil(metric / threshold) replicas with a threshold of 1 (``metricType: AverageValue``),
no change within a tolerance of 0.1, and down to the largest number of the last 300 s (Kubernetes'
documentation, "Horizontal Pod Autoscaling", "Algorithm details" and "Stabilization window").
"""

from dataclasses import dataclass, field
from datetime import datetime
from math import ceil
from typing import Final

from ferryman.api.inference_model_status import InferenceModelStatus
from ferryman.api.scaling import ScalingChange
from ferryman.core import timestamps
from ferryman.core.batching.desired import noted
from ferryman.core.scaling.desired import shown
from ferryman.core.simulator.replicas import ReplicaPods
from ferryman.core.simulator.rescaling import JudgedWindow, Rescaled
from ferryman.core.simulator.simulation import EPOCH

SYNC_S: Final = 15
TOLERANCE: Final = 0.1
STABILIZATION_S: Final = 300


@dataclass(slots=True)
class Autoscaler:
    """Follows one number between two bounds."""

    replicas: int
    most: int = 10
    least: int = 1
    said: list[tuple[float, int]] = field(default_factory=list)

    def sync(self, metric: float, now_s: float) -> None:
        """Look at the metric, and scale."""
        wanted = ceil(metric)
        if abs(metric / self.replicas - 1) <= TOLERANCE:
            wanted = self.replicas
        recent = [(at_s, n) for at_s, n in self.said if at_s > now_s - STABILIZATION_S]
        self.said = [*recent, (now_s, wanted)]
        if wanted < self.replicas:
            wanted = min(max(n for _, n in self.said), self.replicas)
        self.replicas = max(self.least, min(wanted, self.most))


@dataclass(slots=True)
class Following:
    """Lets an autoscaler follow what the operator says after each window of a simulation."""

    autoscaler: Autoscaler

    def __call__(
        self,
        status: InferenceModelStatus,
        seen: JudgedWindow | None,
        pods: ReplicaPods,
        now: datetime,
    ) -> Rescaled:
        """Take down what a window says; every 15 s the autoscaler looks at it."""
        if seen is not None:
            batching = noted(status.batching, seen.word, seen.window, pods.wanted, now=now)
            status = status.with_(batching=batching)
        now_s = (now - EPOCH).total_seconds()
        before = pods.wanted
        if now_s % SYNC_S == 0 and now_s:
            self.autoscaler.sync(shown(status.batching, before), now_s)
        after = self.autoscaler.replicas
        if after == before:
            return status, None
        told = {"reason": "Autoscaler", "message": ""}
        return status, ScalingChange(time=timestamps.text(now), before=before, after=after, **told)
