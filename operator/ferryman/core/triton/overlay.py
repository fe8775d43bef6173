"""The user's overlay of Triton's model configuration, brought to one spelling and checked.

It is Triton's ModelConfig in its JSON form (model_config.proto of triton-inference-server/common).
What Ferryman does not read passes through unread.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

from ferryman.api.conditions import Reason
from ferryman.api.model_source import TritonConfig
from ferryman.core.errors import RejectedError

#: Of these messages Ferryman reads fields itself, so their keys are brought to one spelling.
_READ_MESSAGES: Final = ("dynamic_batching", "model_transaction_policy", "sequence_batching")
# The most that the API can state.
_MAX_BATCH_SIZE: Final = 4096
_MAX_DELAY_US: Final = 10_000_000
_MAX_TIMEOUT_US: Final = 600_000_000
_MAX_QUEUE_SIZE: Final = 1_000_000
_MAX_PREFERRED: Final = 8
_MAX_INSTANCES: Final = 64


def normalise(config: Mapping[str, Any]) -> TritonConfig:
    """Return the overlay with the keys that Ferryman reads in the protocol file's spelling.

    The JSON form allows ``maxBatchSize`` as well as ``max_batch_size``; a configuration that
    held both would be refused by Triton. Raises RejectedError for values of a wrong type.
    """
    overlay = {_snake_case(key): value for key, value in config.items() if value is not None}
    for key in _READ_MESSAGES:
        if key in overlay:
            overlay[key] = _inner_message(key, overlay[key])
    _expect_number(overlay, "max_batch_size", most=_MAX_BATCH_SIZE)
    _expect_dynamic_batching(overlay.get("dynamic_batching", {}))
    _expect_groups(overlay.get("instance_group", []))
    if not isinstance(overlay.get("parameters", {}), Mapping):
        raise invalid(f"parameters must be an object, not {overlay['parameters']!r}")
    return overlay


def invalid(message: str) -> RejectedError:
    """Return the error for an overlay that contradicts what Ferryman must read or decide."""
    return RejectedError(Reason.INVALID_CONFIG, f"spec.model.config: {message}")


def _inner_message(key: str, value: object) -> TritonConfig:
    if not isinstance(value, Mapping):
        raise invalid(f"{key} must be an object, not {value!r}")
    return {_snake_case(inner): content for inner, content in value.items()}


def _expect_number(holder: Mapping[str, Any], key: str, *, most: int | None = None) -> None:
    value = holder.get(key, 0)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise invalid(f"{key} must be a whole number of at least 0, not {value!r}")
    if most is not None and value > most:
        raise invalid(f"{key} must not exceed {most:_}, but is {value:_}")


def _expect_dynamic_batching(dynamic: TritonConfig) -> None:
    _expect_number(dynamic, "max_queue_delay_microseconds", most=_MAX_DELAY_US)
    _expect_sizes(dynamic.get("preferred_batch_size", []))
    if "default_queue_policy" in dynamic:
        policy = _inner_message("default_queue_policy", dynamic["default_queue_policy"])
        dynamic["default_queue_policy"] = policy
        _expect_number(policy, "default_timeout_microseconds", most=_MAX_TIMEOUT_US)
        _expect_number(policy, "max_queue_size", most=_MAX_QUEUE_SIZE)


def _expect_sizes(sizes: object) -> None:
    numbers = isinstance(sizes, list | tuple) and all(isinstance(size, int) for size in sizes)
    if not isinstance(sizes, list | tuple) or not numbers or min(sizes, default=1) < 1:
        raise invalid(f"preferred_batch_size must be a list of whole numbers from 1, not {sizes!r}")
    if len(sizes) > _MAX_PREFERRED:
        raise invalid(
            f"preferred_batch_size has {len(sizes)} sizes: state {_MAX_PREFERRED} at most"
        )


def _expect_groups(groups: object) -> None:
    if not isinstance(groups, list | tuple) or not all(isinstance(g, Mapping) for g in groups):
        raise invalid(f"instance_group must be a list of objects, not {groups!r}")
    if len(groups) > 1:
        raise invalid(
            f"instance_group has {len(groups)} groups: state one at most, so that the number of "
            "instances can be decided"
        )
    for group in groups:
        _expect_number(group, "count", most=_MAX_INSTANCES)


def _snake_case(key: str) -> str:
    return re.sub(r"(?<=[a-z0-9])[A-Z]", lambda match: f"_{match[0].lower()}", key)
