"""Batches of requests of unlike lengths, as `allow_ragged_batch` and `batch_input` lay them out.

The graph sees a ragged input as one flat row: the elements of all requests, one after the
other. Batch inputs tell it where each request lies, and outputs named by a batch output are cut
up again by the lengths of a source input.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from onnx_signature import Signature, Tensor
from request_batching import Feeds, Outputs, split_rows

Config = Mapping[str, Any]
NUMPY_TYPES = {"TYPE_INT32": np.int32, "TYPE_FP32": np.float32}


def element_counts(arrays: Sequence[np.ndarray]) -> np.ndarray:
    """Return how many elements each request has."""
    return np.array([array.size for array in arrays])


def _item_shapes(arrays: Sequence[np.ndarray]) -> np.ndarray:
    return np.concatenate([np.full((len(a), a.ndim - 1), a.shape[1:]) for a in arrays])


#: The kinds of batch input, by what they make of the source inputs of all requests.
KINDS: dict[str, Callable[[Sequence[np.ndarray]], np.ndarray]] = {
    "BATCH_ELEMENT_COUNT": element_counts,
    "BATCH_ACCUMULATED_ELEMENT_COUNT": lambda arrays: np.cumsum(element_counts(arrays)),
    "BATCH_ACCUMULATED_ELEMENT_COUNT_WITH_ZERO": lambda arrays: np.concatenate(
        [[0], np.cumsum(element_counts(arrays))]
    ),
    "BATCH_MAX_ELEMENT_COUNT_AS_SHAPE": lambda arrays: np.zeros(element_counts(arrays).max()),
    "BATCH_ITEM_SHAPE": _item_shapes,
    "BATCH_ITEM_SHAPE_FLATTEN": lambda arrays: _item_shapes(arrays).reshape(-1),
}


@dataclass(frozen=True)
class BatchInput:
    """An input that Triton's own backend computes from the batch."""

    names: tuple[str, ...]
    kind: str
    data_type: str
    source: str

    def of(self, members: Sequence[Feeds]) -> np.ndarray:
        """Compute it for the requests of one run."""
        made = KINDS[self.kind]([member[self.source] for member in members])
        return made.astype(NUMPY_TYPES[self.data_type])


@dataclass(frozen=True)
class Ragged:
    """The layout of a model with ragged inputs; `outputs` are the names of a run's outputs."""

    inputs: frozenset[str]
    batch_inputs: tuple[BatchInput, ...]
    scattered: Mapping[str, tuple[str, tuple[int, ...]]]  # output: source input, dims
    outputs: Sequence[str] = ()

    def key(self, feeds: Feeds) -> Hashable:
        """Return the shape of a row of each input that is not ragged."""
        plain = sorted(feeds.keys() - self.inputs)
        return tuple((name, feeds[name].shape[1:]) for name in plain)

    def join(self, members: Sequence[Feeds]) -> Feeds:
        """Flatten what is ragged, put other rows one after the other, add the batch inputs."""
        joined = {}
        for name in members[0]:
            arrays = [member[name] for member in members]
            flat = [array.reshape(-1) for array in arrays] if name in self.inputs else arrays
            joined[name] = np.concatenate(flat)
        for batch_input in self.batch_inputs:
            made = batch_input.of(members)
            joined |= dict.fromkeys(batch_input.names, made)
        return joined

    def split(self, outputs: Outputs, members: Sequence[Feeds]) -> list[Outputs]:
        """Cut the scattered outputs up by their source's shapes, the others by rows."""
        parts = [
            self._scatter(name, output, members) if name in self.scattered
            else split_rows(output, members)
            for name, output in zip(self.outputs, outputs, strict=True)
        ]  # fmt: skip
        return [list(each) for each in zip(*parts, strict=True)]

    def _scatter(self, name: str, output: np.ndarray, members: Sequence[Feeds]) -> list[np.ndarray]:
        source, dims = self.scattered[name]
        shapes = [_shape((-1, *dims), member[source].shape) for member in members]
        sizes = [int(np.prod(shape)) for shape in shapes]
        if output.size != sum(sizes):
            shape = list(output.shape)
            raise ValueError(f"output '{name}' of shape {shape} does not fit input '{source}'")
        cuts = np.split(output.reshape(-1), np.cumsum(sizes)[:-1])
        return [cut.reshape(shape) for cut, shape in zip(cuts, shapes, strict=True)]


def _shape(template: Sequence[int], source: Sequence[int]) -> tuple[int, ...]:
    """Fill what varies in an output's dimensions from the same places of its source."""
    return tuple(source[i] if dim == -1 else dim for i, dim in enumerate(template))


def batch_input_tensors(config: Config) -> list[dict[str, Any]]:
    """Describe the batch inputs by name and type, as a configuration's inputs are."""
    return [
        {"name": name, "data_type": entry["data_type"]}
        for entry in config.get("batch_input") or []
        for name in entry["target_name"]
    ]


def is_flat(entry: Config, tensor: Tensor) -> bool:
    """Say whether an input is ragged and the graph takes it as one flat row."""
    return bool(entry.get("allow_ragged_batch")) and tensor.dims == (-1,)


def layout(config: Config, signature: Signature) -> Ragged | None:
    """Return the layout that a configuration asks for, None where rows will do."""
    tensors = {tensor.name: tensor for tensor in signature.inputs}
    stated = [entry for entry in config.get("input") or [] if entry["name"] in tensors]
    flat = [entry["name"] for entry in stated if is_flat(entry, tensors[entry["name"]])]
    batch_inputs = config.get("batch_input") or []
    if not flat and not batch_inputs and not config.get("batch_output"):
        return None
    dims = {entry["name"]: entry["dims"] for entry in config.get("output") or []}
    return Ragged(
        frozenset(flat),
        tuple(
            BatchInput(
                tuple(entry["target_name"]), entry["kind"], entry["data_type"],
                entry["source_input"][0],
            )
            for entry in batch_inputs
        ),
        {
            name: (entry["source_input"][0], tuple(int(dim) for dim in dims[name]))
            for entry in config.get("batch_output") or []
            for name in entry["target_name"]
        },
    )  # fmt: skip
