"""What the ONNX Runtime adapter makes of a configuration and a graph, without a server."""

from __future__ import annotations

import re

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.integration.onnx_serving import F, adapter_parts, graph, identity

BOXES = TensorProto.INT64


@pytest.fixture(scope="module")
def parts():
    return adapter_parts()


def opened(model):
    return onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )


def completed(parts, model, config=()):
    """Complete a configuration as the backend does."""
    config = {"name": "m", "max_batch_size": 0, **dict(config)}
    session = parts["onnx_session"].Session(opened(model))
    outputs = [tensor.name for tensor in session.signature.outputs]

    def attempt():
        stated = parts["batching_trial"].stated_rows(config)
        return parts["batching_trial"].attempt(
            session.signature, lambda feeds: session.run(outputs, feeds), stated
        )

    return parts["config_completion"].complete(config, session.signature, attempt)


def tensor(name, dims, data_type="TYPE_FP32", **more):
    return {"name": name, "data_type": data_type, "dims": [str(dim) for dim in dims], **more}


# What is a batch


def relu(dims, out_dims):
    sides = {"x": (F, dims)}, {"y": (F, out_dims)}
    return graph([helper.make_node("Relu", ["x"], ["y"])], *sides)


def added():
    """Add two inputs whose axes an exporter named after them."""
    sides = {"a": (F, ["a_axis_1", 4]), "b": (F, ["b_axis_1", 4])}, {"y": (F, ["Addy_dim_0", 4])}
    return graph([helper.make_node("Add", ["a", "b"], ["y"])], *sides)


def found():
    """List where values are: as many rows as there are values, whatever rows go in."""
    nodes = [
        helper.make_node("NonZero", ["x"], ["where"]),
        helper.make_node("Transpose", ["where"], ["y"]),
    ]
    return graph(nodes, {"x": (F, ["n", 4])}, {"y": (BOXES, ["found", 2])})


def flattened():
    """Make a row of each element."""
    shape = numpy_helper.from_array(np.array([-1, 1], np.int64), "shape")
    sides = {"x": (F, ["n", "length"])}, {"y": (F, ["all", 1])}
    return graph([helper.make_node("Reshape", ["x", "shape"], ["y"])], *sides, [shape])


def multiplied(inner):
    """Multiply rows of a variable length by a matrix that takes one length only."""
    weights = numpy_helper.from_array(np.ones((inner, 2), np.float32), "w")
    sides = {"x": (F, ["n", "length"])}, {"y": (F, ["rows", 2])}
    return graph([helper.make_node("MatMul", ["x", "w"], ["y"])], *sides, [weights])


@pytest.mark.parametrize(
    ("model", "size"),
    [
        pytest.param(relu(["n", 4], ["n", 4]), 4, id="named alike"),
        pytest.param(relu(["batch_size", 4], ["Relu_out_dim_0", 4]), 4, id="named by an exporter"),
        pytest.param(relu([None, 4], [None, 4]), 4, id="without names"),
        pytest.param(added(), 4, id="every input named for itself"),
        pytest.param(multiplied(64), 4, id="a length that the trial finds"),
        pytest.param(multiplied(1), 4, id="rows of one element"),
        pytest.param(found(), 0, id="rows of its own"),
        pytest.param(flattened(), 0, id="a row of each element"),
        pytest.param(relu([1, 4], [1, 4]), 0, id="a fixed number of rows"),
        pytest.param(relu([], []), 0, id="a scalar"),
    ],
)
def test_a_graph_can_be_batched_where_two_rows_give_two_rows(parts, model, size):
    assert completed(parts, model).max_batch_size == size


def test_a_graph_that_cannot_be_tried_is_served_without_batching_and_says_so(parts):
    completion = completed(parts, multiplied(77))
    assert completion.max_batch_size == 0
    assert "served without batching" in completion.note
    assert "State max_batch_size" in completion.note


@pytest.mark.parametrize(
    ("stated", "note"),
    [
        pytest.param({}, "max_batch_size is taken as stated", id="the owner's word counts"),
        pytest.param({"input": [tensor("x", [77])]}, "", id="tried with the stated dimensions"),
    ],
)
def test_a_stated_batch_size_stands_where_no_run_speaks_against_it(parts, stated, note):
    completion = completed(parts, multiplied(77), {"max_batch_size": 8, **stated})
    assert (completion.max_batch_size, completion.note[: len(note) or None]) == (8, note)


def test_stated_rows_of_a_graph_that_can_be_batched_are_enough(parts):
    completion = completed(parts, relu(["n", 4], ["n", 4]), {"input": [tensor("x", [4])]})
    assert (completion.max_batch_size, completion.inputs) == (4, [])
    assert [output["dims"] for output in completion.outputs] == [[4]]


@pytest.mark.parametrize(
    ("dims", "entry"),
    [
        pytest.param([], {"dims": [1]}, id="a scalar"),
        pytest.param(["n"], {"dims": [1], "reshape": {"shape": []}}, id="a row that is a scalar"),
    ],
)
def test_what_triton_has_no_shape_for_is_shown_as_one_element(parts, dims, entry):
    (described,) = completed(parts, relu(dims, dims)).inputs
    assert described == {"name": "x", "data_type": "TYPE_FP32", **entry}


# What is not the client's to send


def stateful(*extra):
    nodes = [
        helper.make_node("Add", ["chunk", "offset"], ["new_offset"]),
        helper.make_node("Mul", ["new_offset", "START"], ["y"]),
    ]
    inputs = {name: (F, ["B", 4]) for name in ("chunk", "offset")} | {"START": (F, ["B", 1])}
    outputs = {name: (F, ["B", 4]) for name in ("y", "new_offset")}
    return graph([*nodes, *extra], inputs, outputs)


def sequence(start="START", state="offset", kind="fp32_false_true", state_type="TYPE_FP32"):
    control = {"kind": "CONTROL_SEQUENCE_START", kind: [0, 1]}
    kept = {"input_name": state, "output_name": "new_offset", "data_type": state_type}
    return {
        "sequence_batching": {
            "control_input": [{"name": start, "control": [control]}],
            "state": [{**kept, "dims": ["-1"]}],
        }
    }


def test_control_inputs_and_states_are_not_completed_as_inputs(parts):
    completion = completed(parts, stateful(), sequence())
    assert [entry["name"] for entry in completion.inputs] == ["chunk"]
    assert not completion.dynamic_batching


def test_control_inputs_and_states_need_not_be_stated_again(parts):
    stated = {"input": [tensor("chunk", [4])], "output": [tensor("y", [4])], "max_batch_size": 2}
    assert completed(parts, stateful(), {**sequence(), **stated}).inputs == []


def with_default():
    hidden = numpy_helper.from_array(np.zeros(4, np.float32), "hidden")
    sides = {name: (F, ["n", 4]) for name in ("x", "hidden")}, {"y": (F, ["n", 4])}
    sides[0]["hidden"] = (F, [4])
    return graph([helper.make_node("Add", ["x", "hidden"], ["y"])], *sides, [hidden])


OPTIONAL = tensor("hidden", [4], optional=True)


def test_an_input_that_the_graph_has_a_value_for_may_be_left_out(parts):
    config = {"input": [tensor("x", [-1, 4]), OPTIONAL]}
    assert completed(parts, with_default(), config).max_batch_size == 0
    signature = parts["onnx_session"].Session(opened(with_default())).signature
    inputs = parts["config_check"].request_inputs(config, signature)
    assert inputs == {"x": True, "hidden": False}


def probabilities():
    """Classify as scikit-learn's export does: a label, and a list of maps."""
    classify = helper.make_node(
        "LinearClassifier", ["x"], ["label", "scores"], domain="ai.onnx.ml",
        classlabels_ints=[0, 1], coefficients=[0.1] * 8, intercepts=[0.0, 0.0],
    )  # fmt: skip
    zipped = helper.make_node(
        "ZipMap", ["scores"], ["maps"], domain="ai.onnx.ml", classlabels_int64s=[0, 1]
    )
    model = graph([classify, zipped], {"x": (F, ["n", 4])}, {"label": (BOXES, ["n"])})
    kind = helper.make_map_type_proto(BOXES, helper.make_tensor_type_proto(F, []))
    model.graph.output.append(helper.make_value_info("maps", helper.make_sequence_type_proto(kind)))
    model.opset_import.append(helper.make_opsetid("ai.onnx.ml", 3))
    return model


def optional_tensor():
    kind = helper.make_optional_type_proto(helper.make_tensor_type_proto(F, ["n", 4]))
    model = graph([helper.make_node("OptionalGetElement", ["x"], ["y"])], {}, {"y": (F, ["n", 4])})
    model.graph.input.append(helper.make_value_info("x", kind))
    model.opset_import[0].version = 18
    return model


def text_beside_bfloat16():
    nodes = [helper.make_node("Identity", [name], [name + "2"]) for name in ("a", "b")]
    kinds = {"a": TensorProto.STRING, "b": TensorProto.BFLOAT16}
    inputs = {name: (kind, ["n", 1]) for name, kind in kinds.items()}
    return graph(nodes, inputs, {name + "2": side for name, side in inputs.items()})


@pytest.mark.parametrize(
    ("model", "config", "message"),
    [
        pytest.param(
            found(), {"max_batch_size": 8},
            "max_batch_size is 8, but the graph cannot be batched: output 'y' has the shape "
            "[0, 2] where 2 rows go in. Set max_batch_size: 0",
            id="as many rows as it finds",
        ),
        pytest.param(
            stateful(), sequence(start="BEGIN"),
            "the configuration states control input 'BEGIN', which the graph does not have; its "
            "inputs are 'START', 'chunk', 'offset'",
            id="unknown control input",
        ),
        pytest.param(
            stateful(), sequence(kind="int32_false_true"),
            "control input 'START': the configuration says TYPE_INT32, the graph TYPE_FP32",
            id="control input of another type",
        ),
        pytest.param(
            stateful(), sequence(state="cache"),
            "the configuration states state input 'cache', which the graph does not have",
            id="unknown state",
        ),
        pytest.param(
            stateful(), sequence(state_type="TYPE_INT64"),
            "state input 'offset': the configuration says TYPE_INT64, the graph TYPE_FP32",
            id="state of another type",
        ),
        pytest.param(
            identity(F, [4]), {"input": [tensor("x", [4], optional=True)]},
            "input 'x' is optional, but the graph has no value for it; it has values for none",
            id="optional without a value",
        ),
        pytest.param(
            with_default(), {"max_batch_size": 2, "input": [tensor("x", [4]), OPTIONAL]},
            "the graph cannot be batched: input 'hidden' is optional, and its value would hold "
            "for all requests of a batch",
            id="optional in a batch",
        ),
        pytest.param(
            probabilities(), {},
            "output 'maps' has the type seq(map(int64,tensor(float))), which Triton cannot carry: "
            "export the model without ZipMap",
            id="list of maps",
        ),
        pytest.param(
            optional_tensor(), {},
            "input 'x' has the type optional(tensor(float)), which Triton cannot carry: export "
            "the model with a plain tensor",
            id="optional type",
        ),
        pytest.param(
            text_beside_bfloat16(), {},
            "output 'b2' is bfloat16 beside input 'a' of strings, which this image cannot run",
            id="bfloat16 beside strings",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_served_is_refused_by_name(parts, model, config, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        completed(parts, model, config)
