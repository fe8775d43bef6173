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

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import ragged_batch
from batching_trial import Trial
from config_check import cannot_be_batched, check, fed, obstacle_to_batches, stated_tensors
from onnx_signature import Signature, Tensor

DEFAULT_MAX_BATCH_SIZE = 4
Config = Mapping[str, Any]


@dataclass(frozen=True)
class Completion:
    """What to add to a configuration, empty where it says all; `note` is for the log."""

    max_batch_size: int = 0
    dynamic_batching: bool = False
    inputs: list[dict[str, Any]] = field(default_factory=list)
    outputs: list[dict[str, Any]] = field(default_factory=list)
    note: str = ""


def complete(
    config: Config, signature: Signature, attempt: Callable[[], Trial] = Trial
) -> Completion:
    """Return what config.pbtxt leaves open, read from the graph.

    `attempt` runs the graph with a few rows; by default nothing speaks against a batch.
    """
    check(config, signature, structure_only=True)
    stated_size = config.get("max_batch_size", 0)
    says_all = bool(stated_tensors(config, "input") and stated_tensors(config, "output"))
    if says_all and not stated_size:
        check(config, signature)
        return Completion()
    obstacle, note = _rows(config, signature, attempt)
    if stated_size and obstacle:
        raise cannot_be_batched(config, obstacle)
    size = stated_size or (0 if obstacle else DEFAULT_MAX_BATCH_SIZE)
    check({**config, "max_batch_size": size}, signature)
    return Completion(note=note) if says_all else _fill(config, signature, size, note)


def _fill(config: Config, signature: Signature, size: int, note: str) -> Completion:
    """Add what is not stated; what Triton or this backend feeds is no input of a client's."""
    scheduled = "sequence_batching" in config or "dynamic_batching" in config
    others = {entry["name"] for entry in fed(config)}
    inputs = [tensor for tensor in signature.inputs if tensor.name not in others]
    return Completion(
        size,
        dynamic_batching=size > 1 and not scheduled,
        inputs=[] if stated_tensors(config, "input") else describe(inputs, batched=size > 0),
        outputs=(
            [] if stated_tensors(config, "output")
            else describe(signature.outputs, batched=size > 0)
        ),
        note=note,
    )  # fmt: skip


def _rows(
    config: Config, signature: Signature, attempt: Callable[[], Trial]
) -> tuple[str | None, str]:
    """Return what keeps the first dimension from being a batch, and a note where it is unsure."""
    if obstacle := obstacle_to_batches(config, signature):
        return obstacle, ""
    if signature.rows_named_alike() or ragged_batch.layout(config, signature):
        return None, ""
    trial = attempt()
    if trial.failure is None:
        return trial.obstacle, ""
    doubt = (
        "the names of the first dimensions do not tell whether they count the same rows, and a "
        f"trial run failed: {trial.failure}"
    )
    if config.get("max_batch_size", 0):
        return None, f"max_batch_size is taken as stated, though {doubt}"
    return doubt, f"served without batching: {doubt}. State max_batch_size if it can be batched"


def describe(tensors: Sequence[Tensor], *, batched: bool) -> list[dict[str, Any]]:
    """Write tensors as configuration entries, without the batch dimension where batched."""
    return [_describe(tensor, batched=batched) for tensor in tensors]


def _describe(tensor: Tensor, *, batched: bool) -> dict[str, Any]:
    dims = tensor.dims[1:] if batched else tensor.dims
    entry: dict[str, Any] = {"name": tensor.name, "data_type": tensor.data_type, "dims": list(dims)}
    if not dims:  # Triton has no empty shape: one element outside; inside a batch it can say none
        entry |= {"dims": [1]} | ({"reshape": {"shape": []}} if batched else {})
    return entry
