"""Configurations that never change. The oracle is one, too: the runner finds it by full grid."""

from typing import Final

from benchmarks.contenders.base import Contender
from ferryman.api.batching import Batching, BatchingSpec

LARGEST: Final = 128


def default(spec: BatchingSpec) -> Batching:
    """Return what Triton does with a model's max_batch_size and an empty dynamic_batching block.

    Preferred size: the bound alone; queue delay 0; one instance (Triton's model_configuration
    documentation, "Dynamic Batcher", and ModelConfig's defaults). The bound is the scenario's
    initial one: what a user would have written.
    """
    initial = Batching(max_batch_size=8) if spec.initial is None else spec.initial
    return Batching(max_batch_size=initial.max_batch_size)


def largest(spec: BatchingSpec) -> Batching:
    """Return a bound of 128 (or what the limits allow) without any delay, one instance."""
    return Batching(max_batch_size=min(LARGEST, spec.limits.max_batch_size.max))


def unbounded(spec: BatchingSpec) -> Batching:
    """Return the largest bound that the limits allow without any delay, one instance."""
    return Batching(max_batch_size=spec.limits.max_batch_size.max)


TRITON_DEFAULT: Final = Contender("triton-default", "Triton's default", start=default)
BOUND_128: Final = Contender("bound-128", "bound 128, delay 0", start=largest)
LARGEST_BOUND: Final = Contender("largest", "largest bound, delay 0", start=unbounded)
