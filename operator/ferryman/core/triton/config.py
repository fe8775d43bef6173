"""Triton's model configuration: the user's overlay below, what Ferryman decides on top.

Configurations are Triton's ModelConfig in its JSON form (model_config.proto of
triton-inference-server/common), with the field names as the protocol file writes them.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from ferryman.api import names
from ferryman.api.batching import MAX_BATCH_SIZE, Batching, BatchingSpec, MaxBatchSizeLimits
from ferryman.api.conditions import Reason
from ferryman.api.inference_runtime import RuntimeProcessor
from ferryman.api.model_source import ModelSource, TritonConfig
from ferryman.api.pods.parallelism import Parallelism
from ferryman.core.errors import RejectedError
from ferryman.core.triton import code, parallel
from ferryman.core.triton.overlay import invalid, normalise

#: Stands for any tuned batching where only the rest of a configuration matters.
_CANONICAL: Final = Batching(max_batch_size=MAX_BATCH_SIZE)


@dataclass(frozen=True, slots=True)
class NotTunable:
    """Why the batching of a model must stay as its configuration states it."""

    reason: Reason
    message: str


@dataclass(frozen=True, slots=True)
class LiveCap:
    """A batch size bound that is not Triton's own and changes without a reload."""

    largest: int
    """Triton's own bound: what memory and outputs are laid out for."""
    file: str = names.LIVE_CAP_FILE
    """Where the bound is read from."""


def model_config(
    name: str,
    entry: RuntimeProcessor,
    source: ModelSource,
    batching: Batching,
    live_cap: LiveCap | None = None,
    *,
    parallelism: Parallelism | None = None,
) -> TritonConfig:
    """Return the whole configuration of a model of this name on one processor class.

    The overlay is laid first; name, backend and, where batching may be tuned, the batch size
    bound, the queue delay and the instances lie on top. With a live cap the bound is where that
    starts. On several devices there is one instance. Raises RejectedError when the overlay
    contradicts what Ferryman must decide, or when the class cannot serve the format.
    """
    overlay = normalise(source.config)
    _check(overlay, _backend(entry, source))
    code.check(overlay, _strings(overlay, "config"), entry)
    config = {**overlay, "name": name, "backend": _backend(entry, source)}
    if refusal_to_tune(overlay) is None:
        bound = batching.max_batch_size if live_cap is None else live_cap.largest
        largest = max(bound, largest_warm_up(overlay))
        config["max_batch_size"] = largest
        config["dynamic_batching"] = _dynamic_batching(overlay, batching, largest)
        if live_cap is not None:
            config["parameters"] = _parameters(overlay, batching, live_cap)
    group = _instance_group(overlay, entry, batching)
    if parallel.is_parallel(parallelism):
        parallel.check(overlay, config["backend"])
        group = parallel.instance_group(group)
    config["instance_group"] = [group]
    return config


def refusal_to_tune(config: Mapping[str, Any]) -> NotTunable | None:
    """Return None when the batching of this overlay may be tuned, otherwise why not."""
    overlay = normalise(config)
    for rule in _UNTUNABLE:
        message = rule(overlay)
        if message is not None:
            return NotTunable(Reason.NOT_BATCHABLE, message)
    return None


def serves_one_by_one(config: Mapping[str, Any]) -> bool:
    """Whether an overlay states that there is no batch dimension, and nothing else that is odd."""
    overlay = normalise(config)
    return [rule for rule in _UNTUNABLE if rule(overlay)] == [_has_no_batch_dimension]


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


def in_effect(config: Mapping[str, Any], batching: Batching) -> Batching:
    """Return a batching as it comes into force under an overlay.

    What the overlay itself states of preferred sizes and of the default queue policy wins over
    what is decided; such a policy counts as a whole. The bound is no smaller than the largest
    batch that the model is warmed up with, without which Triton does not load it. The result is
    canonical, as servers show it.
    """
    overlay = normalise(config)
    dynamic = overlay.get("dynamic_batching", {})
    least = largest_warm_up(overlay)
    stated: dict[str, Any] = {"max_batch_size": max(batching.max_batch_size, least)}
    if "preferred_batch_size" in dynamic:
        stated["preferred_batch_size"] = tuple(dynamic["preferred_batch_size"])
    policy = dynamic.get("default_queue_policy")
    if policy is not None:
        rejects = policy.get("timeout_action", "REJECT") == "REJECT"
        timeout_us = policy.get("default_timeout_microseconds", 0) if rejects else 0
        stated["default_timeout_microseconds"] = timeout_us
        stated["max_queue_size"] = policy.get("max_queue_size", 0)
    return batching.with_(**stated).canonical()


def within(config: Mapping[str, Any], spec: BatchingSpec) -> BatchingSpec:
    """Return the specification with no smaller bound than the model can be warmed up with."""
    limits = spec.limits
    least = largest_warm_up(normalise(config))
    if least <= limits.max_batch_size.min:
        return spec
    size = MaxBatchSizeLimits(min=least, max=max(least, limits.max_batch_size.max))
    return spec.with_(limits=limits.with_(max_batch_size=size))


def restated(config: TritonConfig, before: Batching, found: Batching) -> TritonConfig:
    """Return an overlay with what another hand changed of what it states.

    ``found`` is in force instead of ``before``. Whoever states preferred sizes anew wants these.
    """
    dynamic = dict(config.get("dynamic_batching", {}))
    if found.preferred_batch_size != before.preferred_batch_size:
        dynamic.pop("preferred_batch_size", None)
        if found.preferred_batch_size:
            dynamic["preferred_batch_size"] = list(found.preferred_batch_size)
    if "default_queue_policy" in dynamic and _policy(found) != _policy(before):
        dynamic["default_queue_policy"] = _policy(found)
    return {**config, "dynamic_batching": dynamic}


def _policy(batching: Batching) -> dict[str, int]:
    return {
        "default_timeout_microseconds": batching.default_timeout_microseconds,
        "max_queue_size": batching.max_queue_size,
    }


def largest_warm_up(overlay: TritonConfig) -> int:
    """Return the largest batch that the model is warmed up with; 0 without a warm-up."""
    samples = overlay.get("model_warmup", [])
    return max((sample.get("batch_size", 0) for sample in samples), default=0)


def untuned(
    name: str,
    spec: BatchingSpec,
    entry: RuntimeProcessor,
    source: ModelSource,
    parallelism: Parallelism | None = None,
) -> TritonConfig:
    """Return the configuration without what is changed live: when it differs, pods must roll.

    Raises RejectedError like ``model_config``.
    """
    if refusal_to_tune(source.config) is not None:
        batching = stated_batching(source.config, spec)
    else:
        batching = _CANONICAL
    return model_config(name, entry, source, batching, parallelism=parallelism)


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
    refusal = code.why_refused(entry, name)
    if refusal is not None:
        raise RejectedError(Reason.FORMAT_NOT_SUPPORTED, refusal)
    return backend


def _parameters(overlay: TritonConfig, batching: Batching, live_cap: LiveCap) -> dict[str, Any]:
    """Return the overlay's parameters and those that the live cap's library reads."""
    ours = {
        names.PARAMETER_LIVE_CAP_FILE: live_cap.file,
        names.PARAMETER_LIVE_CAP_START: str(batching.max_batch_size),
    }
    stated = overlay.get("parameters", {})
    return {**stated, **{key: {"string_value": value} for key, value in ours.items()}}


def _dynamic_batching(overlay: TritonConfig, batching: Batching, largest: int) -> dict[str, Any]:
    """Keep what the overlay says, but the delay.

    Triton refuses preferred sizes over ``largest``, its own bound.
    """
    dynamic = {
        **_decided(batching.canonical()),
        **overlay.get("dynamic_batching", {}),
        "max_queue_delay_microseconds": batching.max_queue_delay_microseconds,
    }
    if "preferred_batch_size" in dynamic:
        preferred = dynamic["preferred_batch_size"]
        dynamic["preferred_batch_size"] = [n for n in preferred if n <= largest]
    return dynamic


def _decided(batching: Batching) -> dict[str, Any]:
    """Return preferred sizes and a queue policy where there are any."""
    decided: dict[str, Any] = {}
    if batching.preferred_batch_size:
        decided["preferred_batch_size"] = list(batching.preferred_batch_size)
    limits = {key: value for key, value in _policy(batching).items() if value}
    if limits:
        decided["default_queue_policy"] = {"timeout_action": "REJECT", **limits}
    return decided


def _instance_group(
    overlay: TritonConfig, entry: RuntimeProcessor, batching: Batching
) -> dict[str, Any]:
    """Keep what the overlay says of its group (profiles, devices), but count and kind."""
    stated = (overlay.get("instance_group") or [{}])[0]
    return {**stated, "count": batching.instances, "kind": entry.instance_kind}


def expect_own(config: Mapping[str, Any]) -> None:
    """Raise RejectedError where an overlay states what is said elsewhere, or another's files."""
    overlay = normalise(config)
    if "name" in overlay:
        raise invalid("remove name: inside Triton the model is named like the InferenceModel")
    if "platform" in overlay:
        raise invalid("remove platform: the runtime's backend for the model format decides")
    if "ensemble_scheduling" in overlay:
        raise invalid("remove ensemble_scheduling: an InferenceModel serves one model")
    for path, text in _strings(overlay, "config"):
        if text.startswith("file:"):
            raise invalid(
                f"{path} starts with file:, which would replace the model's files in Triton: "
                "name the files by storageUri"
            )


def _check(overlay: TritonConfig, backend: str) -> None:
    expect_own(overlay)
    if overlay.get("backend", backend) != backend:
        raise invalid(
            f"remove backend {overlay['backend']!r}: the runtime serves this format with {backend}"
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
