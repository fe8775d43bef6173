"""ONNX files: what nodes read, also inside of others, and parts as models of their own."""

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from ferryman.clients.onnx import graph
from ferryman.clients.onnx.graph import ModelUnreadable, PartTensor
from tests.unit.cli.onnx import small_models as small
from tests.unit.cli.onnx.small_models import FLOAT, WIDTH, info, node


@pytest.fixture
def read(tmp_path):
    """Return a function that writes a model and reads it."""
    return lambda built: graph.read(small.save(built, tmp_path / "model.onnx"))


def reads(source):
    return [each.reads for each in graph.nodes(source)]


def test_a_branch_reads_what_it_captures_and_not_what_is_its_own(read):
    assert {"positive", "a", "w", "v"} in map(set, reads(read(small.captured())))


def test_a_branch_within_a_branch_captures_too_and_an_answer_may_be_from_outside(read):
    inner = helper.make_graph([node("Neg", "b", "n")], "inner", [], [info("n", None)])
    other = helper.make_graph([], "other", [], [info("c", None)])
    outer = helper.make_graph(
        [
            node("Relu", "a", "b"),
            node("If", "condition", "o", then_branch=inner, else_branch=other),
        ],
        "outer", [], [info("o", None)],
    )  # fmt: skip
    nothing = helper.make_graph([node("Neg", "a", "m")], "nothing", [], [info("m", None)])
    nodes = [
        node("Relu", "x", "a"), node("Tanh", "x", "c"), node("IsNaN", "one", "condition"),
        node("If", "condition", "y", then_branch=outer, else_branch=nothing),
    ]  # fmt: skip
    one = numpy_helper.from_array(np.array(1, np.float32), "one")
    assert reads(read(small.model(nodes, [small.X], [small.Y], [one])))[-1] == (
        "condition",
        "a",
        "c",
    )


def test_an_input_that_is_left_out_is_none(read):
    assert reads(read(small.optional_inputs()))[0] == ("x", "most")


def test_weights_are_no_inputs_even_where_they_are_listed(read):
    source = read(small.optional_inputs())
    assert (source.inputs, source.outputs) == (("x",), ("y",))
    assert source.weights == {"w", "most"}


def test_what_draws_random_numbers_is_told_also_inside_of_functions(read):
    def function(name, body):
        opsets = [helper.make_opsetid("", small.OPSET), helper.make_opsetid("own", 1)]
        return helper.make_function("own", name, ["p"], ["r"], body, opsets)

    functions = [
        function("Outer", [node("Inner", "p", "r", domain="own")]),
        function("Inner", [node("RandomNormalLike", "p", "r")]),
        function("Plain", [node("Relu", "p", "r")]),
    ]
    nodes = [
        node("Plain", "x", "a", domain="own"), node("Outer", "a", "b", domain="own"),
        node("RandomNormalLike", "b", "y"),
    ]  # fmt: skip
    more = {"functions": functions, "opsets": [helper.make_opsetid("own", 1)]}
    source = read(small.model(nodes, [small.X], [small.Y], **more))
    assert [each.random for each in graph.nodes(source)] == [False, True, True]


def test_a_part_has_its_nodes_weights_and_versions(read):
    source = read(small.chain(3))
    dims = ("batch", WIDTH)
    made = graph.part(
        source, [2, 3], [PartTensor("h0", FLOAT, dims)], [PartTensor("h1", FLOAT, dims)]
    )
    onnx.checker.check_model(made, full_check=True)
    assert [each.op_type for each in made.graph.node] == ["MatMul", "Relu"]
    assert [each.name for each in made.graph.initializer] == ["w1"]
    shape = made.graph.input[0].type.tensor_type.shape
    assert [dim.dim_param or dim.dim_value for dim in shape.dim] == ["batch", WIDTH]


def test_a_part_keeps_what_is_said_of_the_models_own_tensors(read):
    source = read(small.chain(2))
    made = graph.part(source, [0], [PartTensor("x", 0, ())], [PartTensor("p0", FLOAT, (None, 8))])
    assert made.graph.input[0] == source.model.graph.input[0]


def test_the_weights_of_an_older_version_need_not_be_inputs(read):
    source = read(small.optional_inputs())
    made = graph.part(source, [1], [PartTensor("a", FLOAT, ("n", 8))], [PartTensor("b", 1, None)])
    assert made.ir_version == graph.IR_WITHOUT_LISTED_WEIGHTS
    assert [each.name for each in made.graph.input] == ["a"]


def test_sparse_weights_go_with_their_readers(read):
    held = numpy_helper.from_array(np.ones(1, np.float32), "sparse")
    places = numpy_helper.from_array(np.zeros(1, np.int64), "places")
    built = small.model(
        [node("Mul", "x sparse", "a"), node("Relu", "a", "y")], [small.X], [small.Y]
    )
    built.graph.sparse_initializer.append(helper.make_sparse_tensor(held, places, [WIDTH]))
    source = read(built)
    assert source.weights == {"sparse"}
    tensors = [PartTensor(name, FLOAT, ("n", WIDTH)) for name in ("x", "a", "y")]
    first = graph.part(source, [0], tensors[:1], tensors[1:2])
    second = graph.part(source, [1], tensors[1:2], tensors[2:])
    assert len(first.graph.sparse_initializer) == 1
    assert not second.graph.sparse_initializer


@pytest.mark.parametrize(
    "content", [b"", b"- a\n", b"\x89PNG\r\n\x1a\n\x00\xff"], ids=["empty", "text", "a picture"]
)
def test_what_is_no_model_is_refused(tmp_path, content):
    (tmp_path / "m.onnx").write_bytes(content)
    with pytest.raises(ModelUnreadable, match="it is no ONNX model"):
        graph.read(tmp_path / "m.onnx")


def test_the_files_of_a_model_are_those_that_its_weights_lie_in(tmp_path):
    path = tmp_path / "m.onnx"
    onnx.save_model(
        small.chain(2), path, save_as_external_data=True, location="w.bin", size_threshold=0
    )
    source = graph.read(path)
    assert graph.files(source) == (path, tmp_path / "w.bin")
    whole = graph.observed(source, ())
    assert graph.weights_bytes(whole) == 2 * 4 * WIDTH**2
    assert not whole.graph.initializer[0].external_data
