"""Own scaling in a simulation: after each window the operator's decision about replicas."""

from dataclasses import dataclass
from datetime import datetime

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


def rescaled(
    spec: ScalingSpec,
    status: InferenceModelStatus,
    seen: JudgedWindow,
    pods: ReplicaPods,
    now: datetime,
) -> tuple[InferenceModelStatus, ScalingChange | None]:
    """Return the status with the replicas that there are to be, and the change, if it is one."""
    hold = stabilization.hold(spec, status.scaling, now)
    batching = desired.noted(
        status.batching, seen.word, seen.window, pods.wanted, now=now, hold=hold
    )
    ready = len(pods.serving)
    scaling = decide(
        ScalingView(
            spec=spec,
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
