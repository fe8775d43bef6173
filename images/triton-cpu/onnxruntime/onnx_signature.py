"""What an ONNX graph takes and gives, in Triton's words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

#: ONNX Runtime's type names and Triton's; element types that Triton lacks are not listed.
DATA_TYPES = {
    "tensor(bool)": "TYPE_BOOL",
    "tensor(uint8)": "TYPE_UINT8",
    "tensor(uint16)": "TYPE_UINT16",
    "tensor(uint32)": "TYPE_UINT32",
    "tensor(uint64)": "TYPE_UINT64",
    "tensor(int8)": "TYPE_INT8",
    "tensor(int16)": "TYPE_INT16",
    "tensor(int32)": "TYPE_INT32",
    "tensor(int64)": "TYPE_INT64",
    "tensor(float16)": "TYPE_FP16",
    "tensor(float)": "TYPE_FP32",
    "tensor(double)": "TYPE_FP64",
    "tensor(string)": "TYPE_STRING",
    "tensor(bfloat16)": "TYPE_BF16",
}
#: Triton has it, but its Python backend hands tensors over as numpy arrays, which lack it.
UNUSABLE = {"TYPE_BF16": "export the model with float32 or float16, or use NVIDIA's image"}

#: ONNX Runtime's own names for dimensions it knows nothing about.
UNKNOWN_PREFIX = "unk__"


class Node(Protocol):
    """An input or output as ONNX Runtime describes it."""

    name: str
    type: str
    shape: Sequence[int | str | None]


class Session(Protocol):
    """The part of an ONNX Runtime session that describes its graph."""

    def get_inputs(self) -> Sequence[Node]:
        """Return what the graph takes."""

    def get_outputs(self) -> Sequence[Node]:
        """Return what the graph gives."""


@dataclass(frozen=True)
class Tensor:
    """An input or output: `dims` has -1 where variable, `symbols` their names where known."""

    name: str
    data_type: str
    dims: tuple[int, ...]
    symbols: tuple[str | None, ...]


@dataclass(frozen=True)
class Signature:
    """The inputs and outputs of a graph."""

    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]

    def batching_obstacle(self) -> str | None:
        """Say what keeps the first dimension from being a batch; None when nothing does.

        It is a batch when it is variable in every input and output, and named alike where
        named: an output counted by another symbol (detections, say) is not one row a request.
        """
        symbol: str | None = None
        for kind, tensor in self._tensors():
            if not tensor.dims:
                return f"{kind} '{tensor.name}' is a scalar"
            if tensor.dims[0] != -1:
                return f"{kind} '{tensor.name}' has the fixed first dimension {tensor.dims[0]}"
            own = tensor.symbols[0]
            if symbol and own and own != symbol:
                named = f"{kind} '{tensor.name}' counts its first dimension"
                return f"{named} by '{own}', not by '{symbol}'"
            symbol = symbol or own
        return None

    def _tensors(self) -> Iterable[tuple[str, Tensor]]:
        yield from (("input", tensor) for tensor in self.inputs)
        yield from (("output", tensor) for tensor in self.outputs)


def read_signature(session: Session) -> Signature:
    """Read the signature of an opened ONNX Runtime session."""
    return Signature(
        tuple(_tensor("input", node) for node in session.get_inputs()),
        tuple(_tensor("output", node) for node in session.get_outputs()),
    )


def _tensor(kind: str, node: Node) -> Tensor:
    data_type = DATA_TYPES.get(node.type)
    if data_type is None:
        raise ValueError(f"{kind} '{node.name}' is a {node.type}, which Triton cannot carry")
    if remedy := UNUSABLE.get(data_type):
        raise ValueError(f"{kind} '{node.name}' is a {node.type}: {remedy}")
    dims = tuple(dim if isinstance(dim, int) and dim >= 0 else -1 for dim in node.shape)
    return Tensor(node.name, data_type, dims, tuple(_symbol(dim) for dim in node.shape))


def _symbol(dim: int | str | None) -> str | None:
    known = isinstance(dim, str) and dim and not dim.startswith(UNKNOWN_PREFIX)
    return str(dim) if known else None
