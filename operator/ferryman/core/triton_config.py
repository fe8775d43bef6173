"""Triton's model configuration: the user's overlay below, what Ferryman decides on top.

Configurations are Triton's ModelConfig in its JSON form (model_config.proto of
triton-inference-server/common), with the field names as the protocol file writes them.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from ferryman.api.batching import Batching, BatchingSpec
from ferryman.api.conditions import Reason
from ferryman.api.inference_model import InferenceModel
from ferryman.api.inference_runtime import RuntimeProcessor
from ferryman.api.model_source import ModelSource, TritonConfig
from ferryman.core.rejection import RejectedError

#: Of these messages Ferryman reads fields itself, so their keys are brought to one spelling.
_READ_MESSAGES: Final = ("dynamic_batching", "model_transaction_policy", "sequence_batching")

#: Stands for any tuned batching where only the rest of a configuration matters.
_CANONICAL: Final = Batching(max_batch_size=4096)


@dataclass(frozen=True, slots=True)
class NotTunable:
    """Why the batching of a model must stay as its configuration states it."""

    reason: Reason
    message: str


def model_config(
    model: InferenceModel, entry: RuntimeProcessor, source: ModelSource, batching: Batching
) -> TritonConfig:
    """Return the whole configuration of a model on one processor class.

    The overlay is laid first; name, backend and, where batching may be tuned, the batch size
    bound, the queue delay and the instances lie on top. Raises RejectedError when the overlay
    contradicts what Ferryman must decide, or when the class cannot serve the format.
    """
    overlay = normalise(source.config)
    _check(overlay, _backend(entry, source))
    config = {**overlay, "name": model.triton_name, "backend": _backend(entry, source)}
    if tunable(overlay) is None:
        config["max_batch_size"] = batching.max_batch_size
        config["dynamic_batching"] = _dynamic_batching(overlay, batching)
    config["instance_group"] = [_instance_group(overlay, entry, batching)]
    return config


def tunable(config: Mapping[str, Any]) -> NotTunable | None:
    """Return None when the batching of this overlay may be tuned, otherwise why not."""
    overlay = normalise(config)
    for rule in _UNTUNABLE:
        message = rule(overlay)
        if message is not None:
            return NotTunable(Reason.NOT_BATCHABLE, message)
    return None


def stated_batching(config: Mapping[str, Any], spec: BatchingSpec) -> Batching:
    """Return the batching of an overlay that must not be tuned, as the overlay states it.

    A model without a batch dimension shows as a batch size of 1.
    """
    overlay = normalise(config)
    dynamic = overlay.get("dynamic_batching", {})
    default = spec.initial.instances if spec.initial else spec.limits.instances.min
    groups = overlay.get("instance_group") or [{}]
    return Batching(
        max_batch_size=max(1, overlay.get("max_batch_size", 0)),
        max_queue_delay_microseconds=dynamic.get("max_queue_delay_microseconds", 0),
        instances=groups[0].get("count") or default,
    )


def untuned(model: InferenceModel, entry: RuntimeProcessor, source: ModelSource) -> TritonConfig:
    """Return the configuration without what is changed live: when it differs, pods must roll.

    Raises RejectedError like ``model_config``.
    """
    if tunable(source.config) is not None:
        batching = stated_batching(source.config, model.spec.batching)
    else:
        batching = _CANONICAL
    return model_config(model, entry, source, batching)


def normalise(config: Mapping[str, Any]) -> TritonConfig:
    """Return the overlay with the keys that Ferryman reads in the protocol file's spelling.

    The JSON form allows ``maxBatchSize`` as well as ``max_batch_size``; a configuration that
    held both would be refused by Triton. Raises RejectedError for values of a wrong type.
    """
    overlay = {_snake_case(key): value for key, value in config.items() if value is not None}
    for key in _READ_MESSAGES:
        if key in overlay:
            overlay[key] = _inner_message(key, overlay[key])
    _expect_number(overlay, "max_batch_size")
    _expect_number(overlay.get("dynamic_batching", {}), "max_queue_delay_microseconds")
    _expect_sizes(overlay.get("dynamic_batching", {}).get("preferred_batch_size", []))
    _expect_groups(overlay.get("instance_group", []))
    return overlay


def _backend(entry: RuntimeProcessor, source: ModelSource) -> str:
    name = source.model_format.name
    backend = entry.backends.get(name)
    if backend is None:
        raise RejectedError(
            Reason.FORMAT_NOT_SUPPORTED,
            f"processor class {entry.processor_class} of the runtime has no backend for {name} "
            f"(it has {', '.join(sorted(entry.backends))}): add one to the runtime or a variant "
            "in another format to the model",
        )
    return backend


def _dynamic_batching(overlay: TritonConfig, batching: Batching) -> dict[str, Any]:
    """Keep what the overlay says, but the delay; Triton refuses preferred sizes over the bound."""
    dynamic = {
        **overlay.get("dynamic_batching", {}),
        "max_queue_delay_microseconds": batching.max_queue_delay_microseconds,
    }
    if "preferred_batch_size" in dynamic:
        preferred = dynamic["preferred_batch_size"]
        dynamic["preferred_batch_size"] = [n for n in preferred if n <= batching.max_batch_size]
    return dynamic


def _instance_group(
    overlay: TritonConfig, entry: RuntimeProcessor, batching: Batching
) -> dict[str, Any]:
    """Keep what the overlay says of its group (profiles, devices), but count and kind."""
    stated = (overlay.get("instance_group") or [{}])[0]
    return {**stated, "count": batching.instances, "kind": entry.instance_kind}


def _check(overlay: TritonConfig, backend: str) -> None:
    if "name" in overlay:
        raise _invalid("remove name: inside Triton the model is named like the InferenceModel")
    if "platform" in overlay:
        raise _invalid("remove platform: the runtime's backend for the model format decides")
    if "ensemble_scheduling" in overlay:
        raise _invalid("remove ensemble_scheduling: an InferenceModel serves one model")
    if overlay.get("backend", backend) != backend:
        raise _invalid(
            f"remove backend {overlay['backend']!r}: the runtime serves this format with {backend}"
        )
    for path, text in _strings(overlay, "config"):
        if text.startswith("file:"):
            raise _invalid(
                f"{path} starts with file:, which would replace the model's files in Triton: "
                "name the files by storageUri"
            )


def _strings(value: object, path: str) -> Iterator[tuple[str, str]]:
    """Yield every string below a JSON value, keys too, with the path where it stands."""
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield f"{path}.{key}", str(key)
            yield from _strings(inner, f"{path}.{key}")
    elif isinstance(value, list | tuple):
        for index, inner in enumerate(value):
            yield from _strings(inner, f"{path}[{index}]")


def _inner_message(key: str, value: object) -> TritonConfig:
    if not isinstance(value, Mapping):
        raise _invalid(f"{key} must be an object, not {value!r}")
    return {_snake_case(inner): content for inner, content in value.items()}


def _expect_number(holder: Mapping[str, Any], key: str) -> None:
    value = holder.get(key, 0)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise _invalid(f"{key} must be a whole number of at least 0, not {value!r}")


def _expect_sizes(sizes: object) -> None:
    if not isinstance(sizes, list | tuple) or not all(isinstance(size, int) for size in sizes):
        raise _invalid(f"preferred_batch_size must be a list of whole numbers, not {sizes!r}")


def _expect_groups(groups: object) -> None:
    if not isinstance(groups, list | tuple) or not all(isinstance(g, Mapping) for g in groups):
        raise _invalid(f"instance_group must be a list of objects, not {groups!r}")
    if len(groups) > 1:
        raise _invalid(
            f"instance_group has {len(groups)} groups: state one at most, so that the number of "
            "instances can be decided"
        )
    for group in groups:
        _expect_number(group, "count")


def _snake_case(key: str) -> str:
    return re.sub(r"(?<=[a-z0-9])[A-Z]", lambda match: f"_{match[0].lower()}", key)


def _invalid(message: str) -> RejectedError:
    return RejectedError(Reason.INVALID_CONFIG, f"spec.model.config: {message}")


def _has_no_batch_dimension(overlay: TritonConfig) -> str | None:
    if overlay.get("max_batch_size") != 0:
        return None
    return "config states max_batch_size 0: the model has no batch dimension, nothing to tune"


def _is_stateful(overlay: TritonConfig) -> str | None:
    if "sequence_batching" not in overlay:
        return None
    return "config states sequence_batching: the sequence batcher forms the batches itself"


def _is_decoupled(overlay: TritonConfig) -> str | None:
    if not overlay.get("model_transaction_policy", {}).get("decoupled"):
        return None
    return "config states a decoupled transaction policy: requests do not pair with responses"


#: The first rule that does not return None says why batching is not tuned.
_UNTUNABLE: tuple[Callable[[TritonConfig], str | None], ...] = (
    _has_no_batch_dimension,
    _is_stateful,
    _is_decoupled,
)
