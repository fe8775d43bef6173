"""What a model needs whose requests Triton serves one by one: replicas, since nothing is tuned.

The tuner is asked all the same, within limits that leave it no choice: what it says of replicas is
as true of a bound of 1 as of any other.
"""

from datetime import datetime

from ferryman.api.batching import (
    Batching,
    BatchingLimits,
    BatchingSpec,
    InstanceLimits,
    MaxBatchSizeLimits,
    MaxQueueDelayLimits,
)
from ferryman.api.inference_model import InferenceModel
from ferryman.api.inference_model_status import BatchingStatus
from ferryman.core.batching import desired
from ferryman.core.observation.window import Window
from ferryman.core.scaling import stabilization
from ferryman.core.tuners.select import TunerState, tune


def noted(
    batching: BatchingStatus,
    model: InferenceModel,
    instances: int,
    window: Window | None,
    state: TunerState,
    *,
    now: datetime,
) -> tuple[BatchingStatus, TunerState]:
    """Return the status after a window of pods with so many instances, and what is remembered."""
    spec = model.spec.batching
    if window is None or spec.mode == "Fixed":
        return batching, state
    applied = Batching(max_batch_size=1, instances=instances)
    word = tune(_fixed(spec, instances), model.spec.objectives, applied, window, state)
    least = stabilization.stated(model.spec.scaling)
    said = desired.noted(batching, word, window, model.replicas, now=now, least=least)
    return said, word.state


def _fixed(spec: BatchingSpec, instances: int) -> BatchingSpec:
    """Return the specification with limits that allow one batching alone."""
    limits = BatchingLimits(
        max_batch_size=MaxBatchSizeLimits(min=1, max=1),
        max_queue_delay_microseconds=MaxQueueDelayLimits(min=0, max=0),
        instances=InstanceLimits(min=instances, max=instances),
    )
    return spec.with_(limits=limits, on_overload="Queue")
