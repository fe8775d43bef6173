"""What Ferryman reads from and changes in Triton's ModelConfig: pure functions on the message."""

from collections.abc import Sequence
from typing import Final

from tritonclient.grpc.model_config_pb2 import ModelConfig, ModelInstanceGroup

from ferryman.api.batching import Batching

#: Schedulers that exclude the dynamic batcher (members of Triton's oneof).
_OTHER_SCHEDULERS: Final = {
    "sequence_batching": "a stateful model keeps its sequences in the server",
    "ensemble_scheduling": "an ensemble's members batch, not the ensemble",
}


def not_batchable(config: ModelConfig) -> str:
    """Return why Triton's dynamic batcher cannot serve this model, or ''."""
    scheduler = config.WhichOneof("scheduling_choice")
    if scheduler in _OTHER_SCHEDULERS:
        return f"it uses {scheduler}: {_OTHER_SCHEDULERS[scheduler]}"
    if config.max_batch_size == 0:
        return "its max_batch_size is 0: the graph has no batch dimension"
    if config.model_transaction_policy.decoupled:
        return "it is decoupled: one request may have many responses"
    return ""


def batching_of(config: ModelConfig) -> Batching | None:
    """Return the batching in a configuration, or None where it has none.

    Without the dynamic batcher the queue delay counts as 0. Instances are those of one group
    (on GPUs: of one device).
    """
    if not_batchable(config):
        return None
    groups = _main_groups(config)
    return Batching(
        max_batch_size=config.max_batch_size,
        max_queue_delay_microseconds=config.dynamic_batching.max_queue_delay_microseconds,
        instances=max(1, groups[0].count) if groups else 1,
    )


def instances_known(config: ModelConfig) -> bool:
    """Say whether all instance groups of the main kind agree in their count."""
    return len({group.count for group in _main_groups(config)}) == 1


def with_batching(config: ModelConfig, batching: Batching) -> ModelConfig:
    """Return a copy of a configuration with another batching.

    Preferred batch sizes beyond the bound would be refused, and Triton completes a missing
    list to ``[max_batch_size]``: such a leftover must not outlive the bound it was made from.
    """
    changed = ModelConfig()
    changed.CopyFrom(config)
    batcher = changed.dynamic_batching
    batcher.SetInParent()
    kept = _preferred(batcher.preferred_batch_size, config.max_batch_size, batching.max_batch_size)
    del batcher.preferred_batch_size[:]
    batcher.preferred_batch_size.extend(kept)
    changed.max_batch_size = batching.max_batch_size
    batcher.max_queue_delay_microseconds = batching.max_queue_delay_microseconds
    for group in _main_groups(changed) or [changed.instance_group.add()]:
        group.count = batching.instances
    return changed


def has_unknown_fields(config: ModelConfig) -> bool:
    """Say whether the server's schema is newer than ours and the message carries more.

    Such fields would be lost on the way through JSON, so the configuration must not be sent back.
    """
    known = ModelConfig()
    known.CopyFrom(config)
    known.DiscardUnknownFields()
    return bool(known.ByteSize() != config.ByteSize())


def _preferred(sizes: Sequence[int], old_bound: int, bound: int) -> list[int]:
    return [] if list(sizes) == [old_bound] else [size for size in sizes if size <= bound]


def _main_groups(config: ModelConfig) -> list[ModelInstanceGroup]:
    """Return the instance groups of the first group's kind."""
    groups = list(config.instance_group)
    return [group for group in groups if group.kind == groups[0].kind]
