"""What Ferryman reads from and changes in Triton's ModelConfig: pure functions on the message."""

from typing import Final

from pydantic import ValidationError
from tritonclient.grpc.model_config_pb2 import (
    ModelConfig,
    ModelDynamicBatching,
    ModelInstanceGroup,
    ModelQueuePolicy,
)

from ferryman.api import names
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
    return _out_of_range(config)


def batching_of(config: ModelConfig) -> Batching | None:
    """Return the batching in a configuration, or None where it has none.

    Without the dynamic batcher the queue delay counts as 0. Instances are those of one group
    (on GPUs: of one device). A queue policy that delays instead of rejecting has no timeout.
    """
    return None if not_batchable(config) else _read(config)


def instances_known(config: ModelConfig) -> bool:
    """Say whether all instance groups of the main kind agree in their count."""
    return len({group.count for group in _main_groups(config)}) == 1


def instances_of(config: ModelConfig) -> int:
    """Return the instances of the main group (on GPUs: of one device)."""
    groups = _main_groups(config)
    return max(1, groups[0].count) if groups else 1


def with_batching(config: ModelConfig, batching: Batching) -> ModelConfig:
    """Return a copy of a configuration with another batching, and with nothing else changed.

    With a live cap the bound is where that starts, and Triton's own stays if it is no smaller.
    Preferred batch sizes beyond Triton's bound would be refused, and Triton completes a missing
    list to ``[max_batch_size]``: such a leftover must not outlive the bound it was made from.
    """
    batching = batching.canonical()
    changed = ModelConfig()
    changed.CopyFrom(config)
    batcher = changed.dynamic_batching
    batcher.SetInParent()
    if _preferred(config, batching.max_batch_size) != batching.preferred_batch_size:
        del batcher.preferred_batch_size[:]
        batcher.preferred_batch_size.extend(batching.preferred_batch_size)
    if _limits(batcher.default_queue_policy) != _wanted_limits(batching):
        _set_queue_policy(batcher, batching)
    _set_bound(changed, batching.max_batch_size)
    batcher.max_queue_delay_microseconds = batching.max_queue_delay_microseconds
    for group in _main_groups(changed) or [changed.instance_group.add()]:
        group.count = batching.instances
    return changed


def policy_of(config: ModelConfig) -> dict[str, object]:
    """Return the default queue policy as an overlay states it, as far as a batching can tell."""
    policy = config.dynamic_batching.default_queue_policy
    timeout_us, max_queue_size = _limits(policy)
    return {
        "timeout_action": ModelQueuePolicy.TimeoutAction.Name(policy.timeout_action),
        "default_timeout_microseconds": timeout_us,
        "max_queue_size": max_queue_size,
    }


def largest_batch_size(config: ModelConfig) -> int | None:
    """Return Triton's own bound where a live cap of Ferryman's lies below it, else None."""
    return None if _start(config) is None else int(config.max_batch_size)


def variable_inputs(config: ModelConfig) -> bool:
    """Say whether Triton looks at its queue at every request.

    It does where requests can only be batched if their shapes agree: where an input, unless it is
    ragged, has a variable dimension (backend_model.cc, dynamic_batch_scheduler.cc).
    """
    return any(-1 in each.dims and not each.allow_ragged_batch for each in config.input)


def shape_tensors(config: ModelConfig) -> bool:
    """Say whether an input is a shape tensor: the live cap's library then knows no bound."""
    return any(each.is_shape_tensor for each in config.input)


def has_unknown_fields(config: ModelConfig) -> bool:
    """Say whether the server's schema is newer than ours and the message carries more.

    Such fields would be lost on the way through JSON, so the configuration must not be sent back.
    """
    known = ModelConfig()
    known.CopyFrom(config)
    known.DiscardUnknownFields()
    return bool(known.ByteSize() != config.ByteSize())


def _out_of_range(config: ModelConfig) -> str:
    """Return which figure of a configuration is beyond what the API can state, or ''."""
    try:
        _read(config)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        return f"its {first['loc'][0]} is beyond what Ferryman can state: {first['msg']}"
    return ""


def _read(config: ModelConfig) -> Batching:
    batcher = config.dynamic_batching
    timeout_us, max_queue_size = _limits(batcher.default_queue_policy)
    start = _start(config)
    return Batching(
        max_batch_size=config.max_batch_size if start is None else start,
        max_queue_delay_microseconds=batcher.max_queue_delay_microseconds,
        instances=instances_of(config),
        preferred_batch_size=tuple(batcher.preferred_batch_size),
        default_timeout_microseconds=timeout_us,
        max_queue_size=max_queue_size,
    ).canonical()


def _start(config: ModelConfig) -> int | None:
    """Return the bound at which a live cap starts; None without one that reads our file."""
    file = _parameter(config, names.PARAMETER_LIVE_CAP_FILE)
    ours = file.startswith(f"{names.PATH_LIVE_CAP}/")
    text = _parameter(config, names.PARAMETER_LIVE_CAP_START)
    if not ours or not text.isdecimal() or shape_tensors(config):
        return None
    return int(text) or None


def _parameter(config: ModelConfig, key: str) -> str:
    """Return a parameter; to look one up in the message itself would add it."""
    return str(config.parameters[key].string_value) if key in config.parameters else ""


def _preferred(config: ModelConfig, bound: int) -> tuple[int, ...]:
    """Return the preferred sizes as they come into force under a bound; those beyond only wait."""
    sizes = config.dynamic_batching.preferred_batch_size
    if _start(config) is None:
        return tuple(sorted({*sizes}))
    canonical = Batching(max_batch_size=bound, preferred_batch_size=tuple(sizes)).canonical()
    return canonical.preferred_batch_size


def _set_bound(config: ModelConfig, bound: int) -> None:
    if _start(config) is None:
        config.max_batch_size = bound
        return
    config.parameters[names.PARAMETER_LIVE_CAP_START].string_value = str(bound)
    config.max_batch_size = max(config.max_batch_size, bound)


def _limits(policy: ModelQueuePolicy) -> tuple[int, int]:
    """Return when a queue rejects: after how many microseconds, and with how many waiting."""
    rejects = policy.timeout_action == ModelQueuePolicy.REJECT
    return policy.default_timeout_microseconds if rejects else 0, policy.max_queue_size


def _wanted_limits(batching: Batching) -> tuple[int, int]:
    return batching.default_timeout_microseconds, batching.max_queue_size


def _set_queue_policy(batcher: ModelDynamicBatching, batching: Batching) -> None:
    """Have the queue reject as the batching says; what else a policy says stays."""
    policy = batcher.default_queue_policy
    policy.timeout_action = ModelQueuePolicy.REJECT
    policy.default_timeout_microseconds, policy.max_queue_size = _wanted_limits(batching)
    if policy == ModelQueuePolicy():
        batcher.ClearField("default_queue_policy")


def _main_groups(config: ModelConfig) -> list[ModelInstanceGroup]:
    """Return the instance groups of the first group's kind."""
    groups = list(config.instance_group)
    return [group for group in groups if group.kind == groups[0].kind]
