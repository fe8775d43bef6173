"""The user's overlay of Triton's model configuration, brought to one spelling and checked.

It is Triton's ModelConfig in its JSON form (model_config.proto of triton-inference-server/common).
What Ferryman does not read passes through unread.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

from ferryman.api.batching import MAX_BATCH_SIZE, MAX_PREFERRED_SIZES
from ferryman.api.conditions import Reason
from ferryman.api.model_source import TritonConfig
from ferryman.core.errors import RejectedError

#: Where a model states its overlay.
WHERE: Final = "spec.model.config"
#: Of these messages Ferryman reads fields itself, so their keys are brought to one spelling.
_READ_MESSAGES: Final = ("dynamic_batching", "model_transaction_policy", "sequence_batching")
# The most that the API can state.
_MAX_DELAY_US: Final = 10_000_000
_MAX_TIMEOUT_US: Final = 600_000_000
_MAX_QUEUE_SIZE: Final = 1_000_000
_MAX_INSTANCES: Final = 64
#: No number of Triton's has more.
_MAX_DIGITS: Final = 20
_HUMP: Final = re.compile(r"(?<=[a-z0-9])[A-Z]")


def normalise(config: Mapping[str, Any]) -> TritonConfig:
    """Return the overlay with the keys that Ferryman reads in the protocol file's spelling.

    The JSON form allows ``maxBatchSize`` as well as ``max_batch_size``, and 64-bit numbers as
    strings of digits, as tritonclient writes them; a configuration that held both spellings would
    be refused by Triton. Raises RejectedError for values of a wrong type.
    """
    overlay = {snake_case(key): value for key, value in config.items() if value is not None}
    for key in _READ_MESSAGES:
        if key in overlay:
            overlay[key] = _inner_message(key, overlay[key])
    _expect_number(overlay, "max_batch_size", most=MAX_BATCH_SIZE)
    _expect_dynamic_batching(overlay.get("dynamic_batching", {}))
    _expect_groups(overlay)
    _expect_warm_up(overlay)
    if not isinstance(overlay.get("parameters", {}), Mapping):
        raise invalid(f"parameters must be an object, not {overlay['parameters']!r}")
    return overlay


def invalid(message: str) -> RejectedError:
    """Return the error for an overlay that contradicts what Ferryman must read or decide."""
    return RejectedError(Reason.INVALID_CONFIG, f"{WHERE}: {message}")


def _inner_message(key: str, value: object) -> TritonConfig:
    if not isinstance(value, Mapping):
        raise invalid(f"{key} must be an object, not {value!r}")
    return {snake_case(inner): content for inner, content in value.items()}


def _expect_number(holder: dict[str, Any], key: str, *, most: int | None = None) -> None:
    if key not in holder:
        return
    value = holder[key] = _number(holder[key])
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise invalid(f"{key} must be a whole number of at least 0, not {value!r}")
    if most is not None and value > most:
        raise invalid(f"{key} must not exceed {most:_}, but is {value:_}")


def _number(value: object) -> object:
    """Return the number that a string of digits stands for; anything else as it is."""
    digits = isinstance(value, str) and value.isascii() and value.isdigit()
    return int(str(value)) if digits and len(str(value)) <= _MAX_DIGITS else value


def _expect_dynamic_batching(dynamic: TritonConfig) -> None:
    _expect_number(dynamic, "max_queue_delay_microseconds", most=_MAX_DELAY_US)
    if "preferred_batch_size" in dynamic:
        dynamic["preferred_batch_size"] = _sizes(dynamic["preferred_batch_size"])
    if "default_queue_policy" in dynamic:
        policy = _inner_message("default_queue_policy", dynamic["default_queue_policy"])
        dynamic["default_queue_policy"] = policy
        _expect_number(policy, "default_timeout_microseconds", most=_MAX_TIMEOUT_US)
        _expect_number(policy, "max_queue_size", most=_MAX_QUEUE_SIZE)


def _sizes(stated: object) -> list[int]:
    listed = [_number(size) for size in stated] if isinstance(stated, list | tuple) else None
    if listed is None or not all(isinstance(n, int) and n is not True and n > 0 for n in listed):
        raise invalid(
            f"preferred_batch_size must be a list of whole numbers from 1, not {stated!r}"
        )
    sizes = [size for size in listed if isinstance(size, int)]
    if len(sizes) > MAX_PREFERRED_SIZES:
        raise invalid(
            f"preferred_batch_size has {len(sizes)} sizes: state {MAX_PREFERRED_SIZES} at most"
        )
    return sizes


def _expect_groups(overlay: TritonConfig) -> None:
    groups = overlay.get("instance_group", [])
    if not isinstance(groups, list | tuple) or not all(isinstance(g, Mapping) for g in groups):
        raise invalid(f"instance_group must be a list of objects, not {groups!r}")
    if len(groups) > 1:
        raise invalid(
            f"instance_group has {len(groups)} groups: state one at most, so that the number of "
            "instances can be decided"
        )
    if groups:
        overlay["instance_group"] = [dict(group) for group in groups]
    for group in overlay.get("instance_group", []):
        _expect_number(group, "count", most=_MAX_INSTANCES)


def _expect_warm_up(overlay: TritonConfig) -> None:
    samples = overlay.get("model_warmup", [])
    if not isinstance(samples, list | tuple) or not all(isinstance(s, Mapping) for s in samples):
        raise invalid(f"model_warmup must be a list of objects, not {samples!r}")
    if samples:
        overlay["model_warmup"] = [_inner_message("model_warmup", sample) for sample in samples]
    for sample in overlay.get("model_warmup", []):
        _expect_number(sample, "batch_size", most=MAX_BATCH_SIZE)


def snake_case(key: str) -> str:
    """Return a key as the protocol file writes it."""
    if key.islower():
        return key  # most are: every decision asks for all keys several times
    return _HUMP.sub(lambda match: f"_{match[0].lower()}", key)
