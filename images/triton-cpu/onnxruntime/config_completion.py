"""Complete and check a Triton model configuration against an ONNX graph.

Follows Triton's own onnxruntime backend (its `AutoCompleteConfig`), so that the same
config.pbtxt means the same under both:

- inputs and outputs are both stated: nothing is completed, whatever max_batch_size is;
- otherwise a graph that can be batched gets max_batch_size 4 where none is stated (Triton's
  `default-max-batch-size`, whose value python-based backends cannot see) and a dynamic
  batcher where no scheduler is stated;
- a graph that cannot be batched keeps max_batch_size 0 and shows its full dimensions.

What is stated is never changed; where it contradicts the graph, loading fails.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from onnx_signature import Signature, Tensor

DEFAULT_MAX_BATCH_SIZE = 4
Config = Mapping[str, Any]


class ConfigError(ValueError):
    """The configuration and the graph contradict each other; the message says where."""


@dataclass(frozen=True)
class Completion:
    """What to add to a configuration; empty where it says all."""

    max_batch_size: int = 0
    dynamic_batching: bool = False
    inputs: list[dict[str, Any]] = field(default_factory=list)
    outputs: list[dict[str, Any]] = field(default_factory=list)


def complete(config: Config, signature: Signature) -> Completion:
    """Return what config.pbtxt leaves open, read from the graph."""
    check(config, signature)
    stated_inputs, stated_outputs = config.get("input"), config.get("output")
    if stated_inputs and stated_outputs:
        return Completion()
    max_batch_size = config.get("max_batch_size", 0)
    if signature.batching_obstacle() is None:
        max_batch_size = max_batch_size or DEFAULT_MAX_BATCH_SIZE
    batched = max_batch_size > 0
    scheduled = "sequence_batching" in config or "dynamic_batching" in config
    return Completion(
        max_batch_size,
        dynamic_batching=max_batch_size > 1 and not scheduled,
        inputs=[] if stated_inputs else describe(signature.inputs, batched=batched),
        outputs=[] if stated_outputs else describe(signature.outputs, batched=batched),
    )


def describe(tensors: Sequence[Tensor], *, batched: bool) -> list[dict[str, Any]]:
    """Write tensors as configuration entries, without the batch dimension where batched."""
    return [_describe(tensor, tensor.dims[1:] if batched else tensor.dims) for tensor in tensors]


def _describe(tensor: Tensor, dims: tuple[int, ...]) -> dict[str, Any]:
    entry: dict[str, Any] = {"name": tensor.name, "data_type": tensor.data_type, "dims": list(dims)}
    if not dims:  # Triton has no empty shape: one element outside, none inside
        entry |= {"dims": [1], "reshape": {"shape": []}}
    return entry


def check(config: Config, signature: Signature) -> None:
    """Raise ConfigError, naming the tensor, where the configuration contradicts the graph."""
    size = config.get("max_batch_size", 0)
    obstacle = signature.batching_obstacle()
    if size > 0 and obstacle:
        raise ConfigError(
            f"model '{config['name']}': max_batch_size is {size}, but the graph cannot be "
            f"batched: {obstacle}. Set max_batch_size: 0, or export the model with a variable "
            "first dimension, the same in all inputs and outputs"
        )
    if stated := config.get("input"):
        _check_side(config, "input", stated, signature.inputs)
        _check_complete(config, stated, signature.inputs)
    _check_side(config, "output", config.get("output") or [], signature.outputs)


def _check_complete(config: Config, stated: list[Config], inputs: Sequence[Tensor]) -> None:
    names = {entry["name"] for entry in stated}
    for tensor in inputs:
        if tensor.name not in names:
            raise ConfigError(
                f"model '{config['name']}': the graph needs input '{tensor.name}', which the "
                f"configuration does not state; it states {_list(names)}"
            )


def _check_side(config: Config, kind: str, stated: list[Config], tensors: Sequence[Tensor]) -> None:
    known = {tensor.name: tensor for tensor in tensors}
    for entry in stated:
        name = entry["name"]
        if name not in known:
            raise ConfigError(
                f"model '{config['name']}': the configuration states {kind} '{name}', which the "
                f"graph does not have; its {kind}s are {_list(known)}"
            )
        if problem := _mismatch(entry, known[name], batched=config.get("max_batch_size", 0) > 0):
            raise ConfigError(f"model '{config['name']}': {kind} '{name}': {problem}")


def _mismatch(entry: Config, tensor: Tensor, *, batched: bool) -> str | None:
    stated_type = entry.get("data_type", "TYPE_INVALID")
    if stated_type not in (tensor.data_type, "TYPE_INVALID"):
        return f"the configuration says {stated_type}, the graph {tensor.data_type}"
    stated = _inner_dims(entry)
    graph = list(tensor.dims[1:] if batched else tensor.dims)
    agree = len(stated) == len(graph) and all(
        theirs in (-1, ours) for ours, theirs in zip(stated, graph, strict=True)
    )
    return None if agree else f"the configuration says dims {stated}, the graph {graph}"


def _inner_dims(entry: Config) -> list[int]:
    """Return the dimensions that the model sees: the reshaped ones where there is a reshape."""
    inner = entry["reshape"].get("shape", []) if "reshape" in entry else entry.get("dims", [])
    return [int(dim) for dim in inner]


def _list(names: Iterable[str]) -> str:
    return ", ".join(f"'{name}'" for name in sorted(names))
