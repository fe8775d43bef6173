"""ONNX files: their nodes and what these read, parts of them as models of their own.

Weights stay on the disk until a part that uses them is written: a model may be larger than the
memory. What a subgraph (of If, Loop, Scan) reads from outside counts as read by its node.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import onnx
from google.protobuf.message import DecodeError
from onnx import TensorProto, external_data_helper, helper

#: Above it weights go to a file of their own: a protobuf message ends at 2 GiB (onnx#6352).
MOST_BYTES: Final = 2**31 - 2**26
#: Since then weights need not be listed as inputs.
IR_WITHOUT_LISTED_WEIGHTS: Final = 4
_RANDOM: Final = frozenset({
    "Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform",
    "RandomUniformLike",
})  # fmt: skip

Dim = int | str | None


class ModelUnreadable(ValueError):  # noqa: N818  the name states the finding
    """The file is no ONNX model that could be read; the message says why."""


@dataclass(frozen=True, slots=True)
class Source:
    """A model as it was read; its external weights are where its file is."""

    path: Path
    model: onnx.ModelProto

    @property
    def weights(self) -> frozenset[str]:
        """The names of all weights."""
        graph = self.model.graph
        named = [weight.name for weight in graph.initializer]
        return frozenset([*named, *(weight.values.name for weight in graph.sparse_initializer)])

    @property
    def inputs(self) -> tuple[str, ...]:
        """The names of what must be given: inputs that are weights have a value already."""
        weights = self.weights
        return tuple(each.name for each in self.model.graph.input if each.name not in weights)

    @property
    def outputs(self) -> tuple[str, ...]:
        """The names of what is answered."""
        return tuple(each.name for each in self.model.graph.output)


@dataclass(frozen=True, slots=True)
class Node:
    """What a node reads and writes, by the names of tensors."""

    index: int
    reads: tuple[str, ...]
    writes: tuple[str, ...]
    random: bool
    """It, or something inside of it, draws random numbers."""


@dataclass(frozen=True, slots=True)
class PartTensor:
    """An input or output of a part."""

    name: str
    element_type: int
    """Of onnx.TensorProto."""
    dims: tuple[Dim, ...]


def read(path: Path) -> Source:
    """Read a model without its external weights. Raises ModelUnreadable and OSError."""
    try:
        model = onnx.load(path, format="protobuf", load_external_data=False)
    except DecodeError as error:
        raise ModelUnreadable("it is no ONNX model") from error
    if not model.graph.node:
        raise ModelUnreadable("it is no ONNX model: it has no nodes")
    return Source(path, model)


def files(source: Source) -> tuple[Path, ...]:
    """Return the model's file and those that its weights lie in."""
    places = {
        entry.value
        for weight in source.model.graph.initializer
        if external_data_helper.uses_external_data(weight)
        for entry in weight.external_data
        if entry.key == "location"
    }
    return (source.path, *(source.path.parent / place for place in sorted(places)))


def nodes(source: Source) -> tuple[Node, ...]:
    """Return the nodes in the file's order."""
    drawing = _drawing(source.model.functions)
    return tuple(
        Node(
            index,
            tuple(dict.fromkeys(_reads(node))),
            tuple(name for name in node.output if name),
            _draws(node, drawing),
        )
        for index, node in enumerate(source.model.graph.node)
    )


def part(
    source: Source,
    indices: Iterable[int],
    inputs: Sequence[PartTensor],
    outputs: Sequence[PartTensor],
) -> onnx.ModelProto:
    """Return some nodes as a model, with copies of the weights that they read.

    Inputs and outputs of the whole model keep their descriptions. Raises ModelUnreadable where
    weights lie in another file that cannot be read.
    """
    graph = source.model.graph
    chosen = [graph.node[index] for index in indices]
    needed = {name for node in chosen for name in _reads(node)} | {each.name for each in outputs}
    described = {each.name: each for each in (*graph.input, *graph.output)}
    found = helper.make_graph(
        chosen,
        graph.name or "part",
        [_described(each, described) for each in inputs],
        [_described(each, described) for each in outputs],
        [_loaded(source, weight) for weight in graph.initializer if weight.name in needed],
        sparse_initializer=[w for w in graph.sparse_initializer if w.values.name in needed],
    )
    kept = needed | {name for node in chosen for name in node.output}
    found.quantization_annotation.extend(
        each for each in graph.quantization_annotation if each.tensor_name in kept
    )
    return _like(source.model, found)


def observed(source: Source, names: Collection[str]) -> onnx.ModelProto:
    """Return the whole model with its weights; it also answers some of the tensors inside.

    Raises ModelUnreadable as ``part`` does.
    """
    model = onnx.ModelProto()
    model.CopyFrom(source.model)
    for weight in model.graph.initializer:
        _load(source, weight)
    known = set(source.outputs)
    # ONNX Runtime finds out their types by itself.
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names if name not in known)
    return model


def save(model: onnx.ModelProto, path: Path) -> None:
    """Write a model, with its weights beside it where they are too large for one file.

    The weights of ``model`` are moved then. Raises OSError.
    """
    if weights_bytes(model) > MOST_BYTES:
        onnx.save_model(
            model, path, save_as_external_data=True, location=f"{path.name}.data", size_threshold=0
        )
    else:
        path.write_bytes(model.SerializeToString(deterministic=True))


def weights_bytes(model: onnx.ModelProto) -> int:
    """Return how large the weights that a model holds itself are."""
    return sum(len(weight.raw_data) or weight.ByteSize() for weight in model.graph.initializer)


def _like(model: onnx.ModelProto, graph: onnx.GraphProto) -> onnx.ModelProto:
    """Return a model of the same versions and functions with another graph."""
    found = helper.make_model(
        graph,
        opset_imports=model.opset_import,
        functions=model.functions,
        ir_version=max(model.ir_version, IR_WITHOUT_LISTED_WEIGHTS),
    )
    found.metadata_props.extend(model.metadata_props)
    return found


def _described(
    tensor: PartTensor, described: Mapping[str, onnx.ValueInfoProto]
) -> onnx.ValueInfoProto:
    if tensor.name in described:
        return described[tensor.name]
    return helper.make_tensor_value_info(tensor.name, tensor.element_type, tensor.dims)


def _loaded(source: Source, weight: TensorProto) -> TensorProto:
    found = TensorProto()
    found.CopyFrom(weight)
    _load(source, found)
    return found


def _load(source: Source, weight: TensorProto) -> None:
    """Read a weight that lies in another file."""
    if not external_data_helper.uses_external_data(weight):
        return
    try:
        external_data_helper.load_external_data_for_tensor(weight, str(source.path.parent))
    except (OSError, ValueError, onnx.checker.ValidationError) as error:
        raise ModelUnreadable(f"its weight {weight.name} lies in a file that cannot be") from error
    weight.data_location = TensorProto.DEFAULT
    del weight.external_data[:]


def _reads(node: onnx.NodeProto) -> Iterator[str]:
    """Yield what a node reads; an optional input that is not given has no name."""
    yield from filter(None, node.input)
    for graph in _subgraphs(node):
        yield from _captured(graph)


def _captured(graph: onnx.GraphProto) -> Iterator[str]:
    """Yield what a subgraph reads from outside."""
    own = {each.name for each in (*graph.input, *graph.initializer)}
    own.update(weight.values.name for weight in graph.sparse_initializer)
    for node in graph.node:
        yield from (name for name in _reads(node) if name not in own)
        own.update(node.output)
    # A branch may answer an outer tensor as it is.
    yield from (each.name for each in graph.output if each.name not in own)


def _subgraphs(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    for attribute in node.attribute:
        if attribute.type == onnx.AttributeProto.GRAPH:
            yield attribute.g
        elif attribute.type == onnx.AttributeProto.GRAPHS:
            yield from attribute.graphs


def _draws(node: onnx.NodeProto, drawing: Collection[tuple[str, str]]) -> bool:
    if node.op_type in _RANDOM or (node.domain, node.op_type) in drawing:
        return True
    return any(_draws(inner, drawing) for graph in _subgraphs(node) for inner in graph.node)


def _drawing(functions: Iterable[onnx.FunctionProto]) -> set[tuple[str, str]]:
    """Return the functions that draw random numbers, also through others."""
    found: set[tuple[str, str]] = set()
    waiting = list(functions)
    while fresh := [f for f in waiting if any(_draws(node, found) for node in f.node)]:
        found.update((function.domain, function.name) for function in fresh)
        waiting = [function for function in waiting if function not in fresh]
    return found
