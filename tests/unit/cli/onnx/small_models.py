"""Small ONNX models, each with one trap, written by hand."""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET, IR_VERSION = 17, 8
WIDTH = 8

FLOAT, INT64 = TensorProto.FLOAT, TensorProto.INT64


def node(operator, reads, writes, **attributes):
    return helper.make_node(operator, reads.split(), writes.split(), **attributes)


def info(name, dims, kind=FLOAT):
    return helper.make_tensor_value_info(name, kind, dims)


def weight(name, *shape, seed=0):
    # A sum of WIDTH products keeps its size.
    values = np.random.default_rng(seed).standard_normal(shape, np.float32) / np.sqrt(WIDTH)
    return numpy_helper.from_array(values.astype(np.float32), name)


def model(nodes, inputs, outputs, weights=(), *, opset=OPSET, ir=IR_VERSION, **more):
    graph = helper.make_graph(nodes, "small", inputs, outputs, list(weights))
    opsets = [helper.make_opsetid("", opset), *more.pop("opsets", ())]
    return helper.make_model(graph, opset_imports=opsets, ir_version=ir, **more)


def save(built, path):
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save_model(built, path)
    return path


X, Y = info("x", ["n", WIDTH]), info("y", ["n", WIDTH])


def chain(length=4, first=X, last=Y, **more):
    """Return so many layers, each a product and a ReLU: 2 * length - 1 places to cut."""
    nodes, value = [], "x"
    for i in range(length):
        nodes += [
            node("MatMul", f"{value} w{i}", f"p{i}"),
            node("Relu", f"p{i}", "y" if i == length - 1 else f"h{i}"),
        ]
        value = f"h{i}"
    weights = [weight(f"w{i}", WIDTH, WIDTH, seed=i) for i in range(length)]
    return model(nodes, [first], [last], weights, **more)


def residual():
    """Return two blocks around which their input is added."""
    nodes = [
        node("MatMul", "x w", "a"), node("Relu", "a", "b"), node("Add", "b x", "c"),
        node("MatMul", "c w", "d"), node("Relu", "d", "e"), node("Add", "e c", "y"),
    ]  # fmt: skip
    return model(nodes, [X], [Y], [weight("w", WIDTH, WIDTH)])


def two_of_each():
    """Return two inputs, of which the second is read late, and two outputs, one of them early."""
    nodes = [
        node("MatMul", "x w", "a"), node("Relu", "a", "early"), node("MatMul", "early w", "b"),
        node("Add", "b z", "c"), node("Sigmoid", "c", "y"),
    ]  # fmt: skip
    early = info("early", ["n", WIDTH])
    return model(nodes, [X, info("z", ["n", WIDTH])], [early, Y], [weight("w", WIDTH, WIDTH)])


def constants():
    """Return a model with a constant, and what is computed from it, read at both ends."""
    held = numpy_helper.from_array(np.full(WIDTH, 0.5, np.float32))
    nodes = [
        helper.make_node("Constant", [], ["half"], value=held), node("Exp", "half", "more"),
        node("Mul", "x more", "a"), node("Relu", "a", "b"), node("Add", "b half", "c"),
        node("Mul", "c more", "y"),
    ]  # fmt: skip
    return model(nodes, [X], [Y])


def captured():
    """Return an If whose branches read a tensor and a weight from outside."""

    def branch(name, held):
        answer = info(f"{name}.out", ["n", WIDTH])
        return helper.make_graph([node("MatMul", f"a {held}", answer.name)], name, [], [answer])

    nodes = [
        node("Relu", "x", "a"), node("ReduceSum", "x", "sum", keepdims=0),
        node("Greater", "sum zero", "positive"), node("Neg", "x", "minus"),
        node("If", "positive", "chosen", then_branch=branch("yes", "w"),
             else_branch=branch("no", "v")),
        node("Add", "chosen minus", "y"),
    ]  # fmt: skip
    zero = numpy_helper.from_array(np.array(0, np.float32), "zero")
    held = [weight(name, WIDTH, WIDTH, seed=i) for i, name in enumerate("wv")]
    return model(nodes, [X], [Y], [*held, zero])


def shaped():
    """Return a model that looks at the shape of its input to give a tensor another one."""
    rest = numpy_helper.from_array(np.array([2, WIDTH // 2], np.int64), "rest")
    zero = numpy_helper.from_array(np.array([0], np.int64), "zero")
    end = numpy_helper.from_array(np.array([1], np.int64), "end")
    width = numpy_helper.from_array(np.array([WIDTH], np.int64), "width")
    nodes = [
        node("Shape", "x", "shape"), node("Slice", "shape zero end", "rows"),
        node("Relu", "x", "a"), node("Concat", "rows rest", "three", axis=0),
        node("Reshape", "a three", "b"), node("Sigmoid", "b", "c"),
        node("Concat", "rows width", "two", axis=0), node("Reshape", "c two", "d"),
        node("Tanh", "d", "y"),
    ]  # fmt: skip
    return model(nodes, [X], [Y], [rest, zero, end, width])


def folded():
    """Return a model in which each row is four for a while."""
    shapes = {"many": [-1, WIDTH // 2], "back": [-1, 2, WIDTH]}
    nodes = [
        node("Relu", "x", "a"), node("Reshape", "a many", "b"), node("Sigmoid", "b", "c"),
        node("Reshape", "c back", "d"), node("Tanh", "d", "y"),
    ]  # fmt: skip
    held = [numpy_helper.from_array(np.array(s, np.int64), n) for n, s in shapes.items()]
    return model(nodes, [info("x", ["n", 2, WIDTH])], [info("y", None)], held)


def random_numbers():
    """Return a model that answers noise.

    Its last node makes it, which no cut leaves in the first part: ONNX Runtime draws alike for
    nodes of the same place.
    """
    nodes = [
        node("Relu", "x", "a"), node("Neg", "a", "b"), node("Tanh", "b", "c"),
        node("RandomNormalLike", "c", "y"),
    ]  # fmt: skip
    return model(nodes, [X], [Y])


def optional_inputs():
    """Return nodes that leave an optional input out, and weights that are listed as inputs."""
    most = numpy_helper.from_array(np.array(0.5, np.float32), "most")
    nodes = [
        helper.make_node("Clip", ["x", "", "most"], ["a"]), node("MatMul", "a w", "b"),
        node("Relu", "b", "y"),
    ]  # fmt: skip
    listed = [X, info("w", [WIDTH, WIDTH]), info("most", [])]
    return model(nodes, listed, [Y], [weight("w", WIDTH, WIDTH), most], ir=3)


def functions():
    """Return a model with a function of its own."""
    body = [node("Relu", "p", "q"), node("Neg", "q", "r")]
    own = helper.make_function("own", "Twice", ["p"], ["r"], body, [helper.make_opsetid("", OPSET)])
    nodes = [
        node("Twice", "x", "a", domain="own"), node("Tanh", "a", "b"),
        node("Twice", "b", "y", domain="own"),
    ]  # fmt: skip
    more = {"functions": [own], "opsets": [helper.make_opsetid("own", 1)]}
    return model(nodes, [X], [Y], **more)


def renamed(built, **names):
    """Return a model in which tensors are called otherwise."""
    for each in built.graph.node:
        each.input[:] = [names.get(name, name) for name in each.input]
        each.output[:] = [names.get(name, name) for name in each.output]
    for each in (*built.graph.input, *built.graph.output):
        each.name = names.get(each.name, each.name)
    return built


def classifier(opset=OPSET, *, constant=False):
    """Return a small convolutional network: pictures of 8x8 to scores of 4 classes."""
    random = np.random.default_rng(5)
    shapes = {"c1": (8, 1, 3, 3), "c2": (8, 8, 3, 3), "dense": (4, 8)}
    held = {
        name: numpy_helper.from_array(
            (random.standard_normal(shape) / np.sqrt(np.prod(shape[1:]))).astype(np.float32), name
        )
        for name, shape in shapes.items()
    }
    nodes = [
        node("Conv", "x c1", "a", pads=[1] * 4), node("Relu", "a", "b"),
        node("Conv", "b c2", "c", pads=[1] * 4), node("Relu", "c", "d"),
        node("GlobalAveragePool", "d", "e"), node("Flatten", "e", "f"),
        node("Gemm", "f dense", "y", transB=1),
    ]  # fmt: skip
    weights = list(held.values())
    if constant:
        moved = weights.pop(0)
        nodes.insert(0, helper.make_node("Constant", [], ["c1"], value=moved))
    return model(nodes, [info("x", ["n", 1, 8, 8])], [info("y", ["n", 4])], weights, opset=opset)


def write_chain(folder: Path) -> Path:
    """Write the plain chain, for tests that need any model."""
    return save(chain(), folder / "chain.onnx")
