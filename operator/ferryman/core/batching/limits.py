"""Where tuning starts, and the limits within which the user lets it move."""

from typing import Final

from ferryman.api.batching import Batching, BatchingSpec, InstanceLimits

#: ``Trend`` explores by small steps from here.
TREND_STARTS_AT: Final = 8


def start(spec: BatchingSpec) -> Batching:
    """Return where tuning starts: ``initial``, or the least delay and instances.

    With the largest bound that the user calls safe, because too small a bound makes requests
    queue without end and too large a one hardly matters below capacity; ``Trend``, which
    explores by steps from where it is, with a batch of 8.
    """
    limits = spec.limits
    size = limits.max_batch_size
    first = size.max if spec.algorithm == "Guarded" else TREND_STARTS_AT
    chosen = spec.initial or Batching(
        max_batch_size=min(max(first, size.min), size.max),
        max_queue_delay_microseconds=limits.max_queue_delay_microseconds.min,
        instances=limits.instances.min,
    )
    return chosen if spec.mode == "Fixed" else clamp(chosen, spec)


def clamp(batching: Batching, spec: BatchingSpec) -> Batching:
    """Return the batching within the limits."""
    size = spec.limits.max_batch_size
    delay = spec.limits.max_queue_delay_microseconds
    instances = spec.limits.instances
    delay_us = min(max(batching.max_queue_delay_microseconds, delay.min), delay.max)
    return batching.with_(
        max_batch_size=min(max(batching.max_batch_size, size.min), size.max),
        max_queue_delay_microseconds=delay_us,
        instances=min(max(batching.instances, instances.min), instances.max),
    ).canonical()


def alone(spec: BatchingSpec) -> BatchingSpec:
    """Return the specification for a model of which a pod has one instance, on all its devices."""
    initial = None if spec.initial is None else spec.initial.with_(instances=1)
    limits = spec.limits.with_(instances=InstanceLimits(min=1, max=1))
    return spec.with_(limits=limits, initial=initial)
