"""Find out whether a graph's first dimension is a batch, by running it with two rows and three.

The names of dimensions cannot tell: exporters call the rows of an output `Relu_out_dim_0`, and
a detector's boxes are named apart from its pictures in the same way.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from onnx_signature import Signature, Tensor

Feeds = dict[str, np.ndarray]
Run = Callable[[Feeds], Sequence[np.ndarray]]

ROWS = (2, 3)
#: What other variable dimensions are tried with, one after the other, until the graph runs. One
#: comes last: with it, a graph that makes a row of each element would look like one of rows.
SIZES = (8, 64, 224, 1)

NUMPY_TYPES: dict[str, type[np.generic]] = {
    "TYPE_BOOL": np.bool_,
    "TYPE_UINT8": np.uint8,
    "TYPE_UINT16": np.uint16,
    "TYPE_UINT32": np.uint32,
    "TYPE_UINT64": np.uint64,
    "TYPE_INT8": np.int8,
    "TYPE_INT16": np.int16,
    "TYPE_INT32": np.int32,
    "TYPE_INT64": np.int64,
    "TYPE_FP16": np.float16,
    "TYPE_FP32": np.float32,
    "TYPE_FP64": np.float64,
    "TYPE_BF16": np.uint16,  # its bits: numpy has no such type
}


@dataclass(frozen=True)
class Trial:
    """What the runs showed: nothing against a batch, an obstacle, or (`failure`) nothing at all."""

    obstacle: str | None = None
    failure: str | None = None


def stated_rows(config: Mapping[str, Any]) -> dict[str, list[int]]:
    """Return the dimensions of one row that a configuration states for inputs and states."""
    states = (config.get("sequence_batching") or {}).get("state", [])
    inputs = {entry["name"]: entry for entry in config.get("input") or []}
    stated = {entry["input_name"]: entry for entry in states} | inputs
    return {
        name: [int(d) for d in (entry.get("reshape") or {}).get("shape", entry.get("dims", []))]
        for name, entry in stated.items()
    }


def attempt(signature: Signature, run: Run, stated: Mapping[str, Sequence[int]]) -> Trial:
    """Run the graph with zeros; `stated` has the dimensions that a configuration gives inputs."""
    failure = None
    for size in SIZES:
        try:
            for rows in ROWS:
                outputs = run(_zeros(signature, rows, size, stated))
                if obstacle := _obstacle(signature, rows, outputs):
                    return Trial(obstacle=obstacle)
            return Trial()
        except Exception as error:  # noqa: BLE001  whatever the runtime raises: try another size
            failure = failure or str(error)
    return Trial(failure=failure)


def _obstacle(signature: Signature, rows: int, outputs: Sequence[np.ndarray]) -> str | None:
    for tensor, output in zip(signature.outputs, outputs, strict=True):
        if output.ndim == 0 or len(output) != rows:
            shape = list(output.shape)
            return f"output '{tensor.name}' has the shape {shape} where {rows} rows go in"
    return None


def _zeros(
    signature: Signature, rows: int, size: int, stated: Mapping[str, Sequence[int]]
) -> Feeds:
    return {
        tensor.name: _zero(tensor, (rows, *_inner(tensor, size, stated.get(tensor.name, ()))))
        for tensor in signature.inputs
    }


def _zero(tensor: Tensor, shape: tuple[int, ...]) -> np.ndarray:
    if tensor.data_type == "TYPE_STRING":
        return np.full(shape, "", np.object_)
    return np.zeros(shape, NUMPY_TYPES[tensor.data_type])


def _inner(tensor: Tensor, size: int, stated: Sequence[int]) -> list[int]:
    """Fill the dimensions of one row: as the graph fixes them, as stated, or with `size`."""
    inner = tensor.dims[1:]
    known = stated if len(stated) == len(inner) else inner
    return [next((dim for dim in pair if dim > 0), size) for pair in zip(inner, known, strict=True)]
