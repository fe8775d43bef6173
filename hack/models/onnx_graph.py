"""Write ONNX graphs by hand, and count what they cost."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper, shape_inference

OPSET = 17
IR_VERSION = 8  # the oldest for this opset: every Triton since 22.12 reads it

Dims = list[int | str]
Attribute = int | list[int]


class GraphWriter:
    """Collects nodes and weights; operators return the name of their output."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._nodes: list[onnx.NodeProto] = []
        self._weights: list[onnx.TensorProto] = []

    def weight(self, name: str, values: NDArray[Any]) -> str:
        """Add a constant tensor."""
        self._weights.append(numpy_helper.from_array(values, name))
        return name

    def node(self, operator: str, inputs: list[str], output: str, **attributes: Attribute) -> str:
        """Add an operator with one output."""
        return self.nodes(operator, inputs, [output], **attributes)[0]

    def nodes(
        self, operator: str, inputs: list[str], outputs: list[str], **attributes: Attribute
    ) -> list[str]:
        """Add an operator with several outputs; it is called as the first of them."""
        node = helper.make_node(operator, inputs, outputs, name=outputs[0])
        node.attribute.extend(helper.make_attribute(key, attributes[key]) for key in attributes)
        self._nodes.append(node)
        return outputs

    def model(
        self, inputs: dict[str, Dims], outputs: dict[str, tuple[int, Dims]]
    ) -> onnx.ModelProto:
        """Return the checked model; inputs are float32, outputs (element type, dims)."""
        graph = helper.make_graph(
            self._nodes,
            self._name,
            [helper.make_tensor_value_info(n, TensorProto.FLOAT, d) for n, d in inputs.items()],
            [helper.make_tensor_value_info(n, t, d) for n, (t, d) in outputs.items()],
            self._weights,
        )
        opsets = [helper.make_opsetid("", OPSET)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION)
        onnx.checker.check_model(model, full_check=True)
        return model


def save(model: onnx.ModelProto, folder: Path) -> Path:
    """Write `model` as version 1 of a Triton model, and return the file."""
    file = folder / "1" / "model.onnx"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(model.SerializeToString(deterministic=True))
    return file


def trained_parameters(model: onnx.ModelProto) -> int:
    """Count the weights that training would learn: not batch normalisation's statistics."""
    statistics = {
        name
        for node in model.graph.node
        if node.op_type == "BatchNormalization"
        for name in node.input[3:5]
    }
    return sum(
        math.prod(weight.dims)
        for weight in model.graph.initializer
        if weight.name not in statistics
    )


def multiply_accumulates(model: onnx.ModelProto, batch: int = 1) -> int:
    """Count the multiply-accumulates of convolutions and dense layers for one batch."""
    shapes = _shapes(model, batch)
    return sum(_node_macs(node, shapes) for node in model.graph.node)


def _node_macs(node: onnx.NodeProto, shapes: dict[str, tuple[int, ...]]) -> int:
    if node.op_type == "Conv":  # each output value sums over (inputs / groups) x kernel
        return math.prod(shapes[node.output[0]]) * math.prod(shapes[node.input[1]][1:])
    if node.op_type == "Gemm":  # [rows, inner] x [inner, columns], whichever is transposed
        rows, columns = shapes[node.output[0]]
        return rows * columns * (math.prod(shapes[node.input[1]]) // columns)
    return 0


def _shapes(model: onnx.ModelProto, batch: int) -> dict[str, tuple[int, ...]]:
    fixed = onnx.ModelProto()
    fixed.CopyFrom(model)
    for value in (*fixed.graph.input, *fixed.graph.output):
        for dim in value.type.tensor_type.shape.dim:
            if dim.dim_param:
                dim.dim_value = batch
    graph = shape_inference.infer_shapes(fixed, strict_mode=True, data_prop=True).graph
    shapes = {weight.name: tuple(weight.dims) for weight in graph.initializer}
    for value in (*graph.input, *graph.value_info, *graph.output):
        dims = value.type.tensor_type.shape.dim
        shapes[value.name] = tuple(dim.dim_value for dim in dims)
    return shapes


def as_float32(values: NDArray[Any]) -> NDArray[np.float32]:
    """Return `values` as contiguous float32, the element type of all weights here."""
    return np.ascontiguousarray(values, dtype=np.float32)
