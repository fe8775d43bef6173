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
#: What to do about a type that Triton cannot carry, by how its name begins.
REMEDIES = {
    "seq(map(": "export the model without ZipMap (skl2onnx: options={'zipmap': False})",
    "seq(": "let the graph join the sequence into one tensor (ConcatFromSequence)",
    "optional(": "export the model with a plain tensor in its place",
    "sparse_tensor(": "let the graph give a dense tensor",
    "tensor(": "let the graph cast it (Cast) to a type that Triton has",
}
#: What a refusal says where the table above has no better word.
OTHER_REMEDY = "export the model with tensors of numbers or strings"

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

    def get_overridable_initializers(self) -> Sequence[Node]:
        """Return the constants that a caller may replace."""


@dataclass(frozen=True)
class Tensor:
    """An input or output: `dims` has -1 where variable, `symbols` their names where known."""

    name: str
    data_type: str
    dims: tuple[int, ...]
    symbols: tuple[str | None, ...]


@dataclass(frozen=True)
class Signature:
    """The inputs and outputs of a graph; `defaults` are inputs that it has a value for itself."""

    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    defaults: tuple[Tensor, ...] = ()

    def batching_obstacle(self) -> str | None:
        """Say what keeps the first dimension from being a batch; None when nothing shows."""
        if not self.inputs:
            return "it has no input whose rows could be counted"
        for kind, tensor in self.tensors():
            if not tensor.dims:
                return f"{kind} '{tensor.name}' is a scalar"
            if tensor.dims[0] != -1:
                return f"{kind} '{tensor.name}' has the fixed first dimension {tensor.dims[0]}"
        return None

    def rows_named_alike(self) -> bool:
        """Say whether all first dimensions bear one name: then they count the same rows.

        Different names, or none, prove nothing: exporters make them up (`Relu_out_dim_0`).
        """
        names = {tensor.symbols[0] for _, tensor in self.tensors()}
        return len(names) == 1 and None not in names

    def tensors(self) -> Iterable[tuple[str, Tensor]]:
        """Yield each input and output with its kind."""
        yield from (("input", tensor) for tensor in self.inputs)
        yield from (("output", tensor) for tensor in self.outputs)


def read_signature(session: Session) -> Signature:
    """Read the signature of an opened ONNX Runtime session."""
    return Signature(
        tuple(_tensor("input", node) for node in session.get_inputs()),
        tuple(_tensor("output", node) for node in session.get_outputs()),
        tuple(_tensor("input", node) for node in session.get_overridable_initializers()),
    )


def _tensor(kind: str, node: Node) -> Tensor:
    data_type = DATA_TYPES.get(node.type)
    if data_type is None:
        remedies = (REMEDIES[start] for start in REMEDIES if node.type.startswith(start))
        remedy = next(remedies, OTHER_REMEDY)
        raise ValueError(
            f"{kind} '{node.name}' has the type {node.type}, which Triton cannot carry: {remedy}"
        )
    dims = tuple(dim if isinstance(dim, int) and dim >= 0 else -1 for dim in node.shape)
    return Tensor(node.name, data_type, dims, tuple(_symbol(dim) for dim in node.shape))


def _symbol(dim: int | str | None) -> str | None:
    known = isinstance(dim, str) and dim and not dim.startswith(UNKNOWN_PREFIX)
    return str(dim) if known else None
