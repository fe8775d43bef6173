"""Check a Triton model configuration against an ONNX graph."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import ragged_batch
import sequence_state
from onnx_signature import Signature, Tensor

Config = Mapping[str, Any]


class ConfigError(ValueError):
    """The configuration and the graph contradict each other; the message says where."""


def check(config: Config, signature: Signature, *, structure_only: bool = False) -> None:
    """Raise ConfigError, naming the tensor, where the configuration contradicts the graph.

    The structure is what does not depend on max_batch_size, which may not be known yet.
    """
    inputs, outputs = stated_tensors(config, "input"), stated_tensors(config, "output")
    known = (*signature.inputs, *signature.defaults)
    batched = None if structure_only else config.get("max_batch_size", 0) > 0
    if batched and (obstacle := obstacle_to_batches(config, signature)):
        raise cannot_be_batched(config, obstacle)
    sides = [
        ("input", inputs, known),
        ("control input", sequence_state.control_inputs(config), known),
        ("state input", sequence_state.state_tensors(config, "input"), known),
        ("batch input", ragged_batch.batch_input_tensors(config), known),
        ("output", outputs, signature.outputs),
        ("state output", sequence_state.state_tensors(config, "output"), signature.outputs),
    ]
    for kind, entries, tensors in sides:
        _check_side(config, kind, entries, tensors, batched=batched)
    if inputs:
        _check_complete(config, [*inputs, *fed(config)], signature.inputs)
    _check_optional(config, inputs, signature)


def request_inputs(config: Config, signature: Signature) -> dict[str, bool]:
    """Return the inputs that come with a request, and whether it must have them.

    Inputs that the graph has a value for are taken where the configuration states them; batch
    inputs are computed from the batch.
    """
    computed = {entry["name"] for entry in ragged_batch.batch_input_tensors(config)}
    stated = {entry["name"] for entry in stated_tensors(config, "input")}
    needed = {tensor.name: True for tensor in signature.inputs if tensor.name not in computed}
    return needed | {tensor.name: False for tensor in signature.defaults if tensor.name in stated}


def scalars(config: Config, signature: Signature) -> dict[str, list[int]]:
    """Return the tensors that are scalars in the graph, and the ones that Triton shows."""
    tensors = (*signature.inputs, *signature.outputs, *signature.defaults)
    names = {tensor.name for tensor in tensors if not tensor.dims}
    entries = [*stated_tensors(config, "input"), *stated_tensors(config, "output")]
    return {entry["name"]: _inner_dims(entry) for entry in entries if entry["name"] in names}


def fed(config: Config) -> list[dict[str, Any]]:
    """Return the inputs that no client sends: Triton or this backend adds them."""
    return [
        *sequence_state.control_inputs(config),
        *sequence_state.state_tensors(config, "input"),
        *ragged_batch.batch_input_tensors(config),
    ]


def _check_complete(config: Config, stated: list[Config], inputs: Sequence[Tensor]) -> None:
    names = {entry["name"] for entry in stated}
    for tensor in inputs:
        if tensor.name not in names:
            raise ConfigError(
                f"model '{config['name']}': the graph needs input '{tensor.name}', which the "
                f"configuration does not state; it states {_list(names)}"
            )


def _check_optional(config: Config, stated: list[Config], signature: Signature) -> None:
    defaults = {tensor.name for tensor in signature.defaults}
    for entry in stated:
        if entry.get("optional") and entry["name"] not in defaults:
            raise ConfigError(
                f"model '{config['name']}': input '{entry['name']}' is optional, but the graph "
                f"has no value for it; it has values for {_list(defaults)}"
            )


def _check_side(
    config: Config,
    kind: str,
    stated: Sequence[Config],
    tensors: Sequence[Tensor],
    *,
    batched: bool | None,
) -> None:
    known = {tensor.name: tensor for tensor in tensors}
    for entry in stated:
        name = entry["name"]
        if name not in known:
            side = kind.rsplit(maxsplit=1)[-1]
            raise ConfigError(
                f"model '{config['name']}': the configuration states {kind} '{name}', which the "
                f"graph does not have; its {side}s are {_list(known)}"
            )
        if problem := _mismatch(config, entry, known[name], batched=batched):
            raise ConfigError(f"model '{config['name']}': {kind} '{name}': {problem}")


def _mismatch(config: Config, entry: Config, tensor: Tensor, *, batched: bool | None) -> str | None:
    stated_type = entry.get("data_type", "TYPE_INVALID")
    if stated_type not in (tensor.data_type, "TYPE_INVALID"):
        return f"the configuration says {stated_type}, the graph {tensor.data_type}"
    if batched is None or "dims" not in entry or _shaped_by_the_batch(config, entry, tensor):
        return None
    stated = _inner_dims(entry)
    graph = list(tensor.dims[1:] if batched else tensor.dims)
    if not tensor.dims and all(dim == 1 for dim in stated):
        return None  # a scalar, which Triton shows as one element
    agree = len(stated) == len(graph) and all(
        theirs in (-1, ours) for ours, theirs in zip(stated, graph, strict=True)
    )
    rows = " beside its rows" if batched else ""
    return None if agree else f"the configuration says dims {stated}, the graph {graph}{rows}"


def _shaped_by_the_batch(config: Config, entry: Config, tensor: Tensor) -> bool:
    scattered = [n for output in config.get("batch_output") or [] for n in output["target_name"]]
    return ragged_batch.is_flat(entry, tensor) or entry["name"] in scattered


def _inner_dims(entry: Config) -> list[int]:
    """Return the dimensions that the model sees: the reshaped ones where there is a reshape."""
    inner = entry["reshape"].get("shape", []) if "reshape" in entry else entry.get("dims", [])
    return [int(dim) for dim in inner]


def _list(names: Iterable[str]) -> str:
    return ", ".join(f"'{name}'" for name in sorted(names)) or "none"


def obstacle_to_batches(config: Config, signature: Signature) -> str | None:
    """Return what keeps the first dimension from being a batch, as far as no run is needed."""
    for entry in stated_tensors(config, "input"):
        if entry.get("optional"):
            shared = "its value would hold for all requests of a batch"
            return f"input '{entry['name']}' is optional, and {shared}"
    return signature.batching_obstacle()


def cannot_be_batched(config: Config, obstacle: str) -> ConfigError:
    """Return the error for a stated max_batch_size that the graph cannot have."""
    return ConfigError(
        f"model '{config['name']}': max_batch_size is {config['max_batch_size']}, but the graph "
        f"cannot be batched: {obstacle}. Set max_batch_size: 0, or export the model with a "
        "variable first dimension, the same in all inputs and outputs"
    )


def stated_tensors(config: Config, kind: str) -> list[Config]:
    """Return the inputs or outputs that a configuration states."""
    stated: list[Config] = config.get(kind) or []
    return stated
