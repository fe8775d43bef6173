"""Features of Triton's ONNX models beyond rows in and rows out, in a real tritonserver."""

from __future__ import annotations

import queue
import time

import ml_dtypes
import numpy as np
import onnx
import pytest
import tritonclient.grpc as triton
from onnx import TensorProto, helper, numpy_helper
from tritonclient.utils import InferenceServerException

from tests.integration.onnx_serving import (
    ONE_INSTANCE,
    ONNX,
    F,
    Served,
    doubled,
    graph,
    identity,
    patient,
)
from tests.integration.tritonserver import TritonServer

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    with TritonServer(tmp_path_factory.mktemp("models")) as server:
        yield Served(server)


def row(*values, kind=np.float32):
    return np.array([values], kind)


# Files


def test_a_folder_with_a_graph_and_its_data_is_served_under_the_name_stated(served):
    folder = served.server.model_repository / "folder" / "1" / "bert.onnx"
    folder.mkdir(parents=True)
    weights = numpy_helper.from_array(np.full((2, 2), 3, np.float32), "w")
    node = helper.make_node("MatMul", ["x", "w"], ["y"])
    model = graph([node], {"x": (F, ["n", 2])}, {"y": (F, ["n", 2])}, [weights])
    onnx.save_model(
        model, folder / "model.onnx", save_as_external_data=True, location="w", size_threshold=0
    )
    text = ONNX + ONE_INSTANCE + 'default_model_filename: "bert.onnx"\n'
    (folder.parents[1] / "config.pbtxt").write_text(text)
    served.client.load_model("folder", client_timeout=60)
    assert served.infer("folder", x=row(1, 1)).as_numpy("y").tolist() == [[6, 6]]


# Faults of one request


def fails_alone(served, name, requests, guilty):
    """Send requests that form one batch; return the answers but the guilty one's, and its error."""
    answers = served.at_once([lambda x=x: served.infer(name, **x) for x in requests])
    assert served.largest_batch(name, at_least=len(requests)) == len(requests)
    return [a for a in answers if a is not answers[guilty]], str(answers[guilty])


def test_bytes_that_are_no_utf8_fail_only_the_request_that_sent_them(served):
    served.add("text", identity(TensorProto.STRING, ["n", 1]), ONNX + patient(4) + ONE_INSTANCE)
    texts = [b"one", b"\xff\xfe", "Fähre".encode(), b""]
    requests = [{"x": row(text, kind=np.object_)} for text in texts]
    answers, error = fails_alone(served, "text", requests, guilty=1)
    assert [a.as_numpy("y").item() for a in answers] == [b"one", "Fähre".encode(), b""]
    assert "input 'x' holds bytes that are no UTF-8" in error


def test_shapes_that_do_not_fit_each_other_fail_only_the_request_that_sent_them(served):
    sides = {"a": (F, ["n", "k"]), "b": (F, ["n", "m"])}, {"y": (F, ["n", "k"])}
    model = graph([helper.make_node("Add", ["a", "b"], ["y"])], *sides)
    entry = '{ name: "%s" data_type: TYPE_FP32 dims: [ -1 ] allow_ragged_batch: true }'
    text = f"input [ {entry % 'a'}, {entry % 'b'} ]\n"  # else Triton parts unlike shapes itself
    served.add("added", model, ONNX + patient(4) + text + ONE_INSTANCE)
    widths = [(2, 2), (2, 3), (2, 2), (0, 0)]
    requests = [
        {"a": np.ones((1, a), np.float32), "b": np.ones((1, b), np.float32)} for a, b in widths
    ]
    answers, error = fails_alone(served, "added", requests, guilty=1)
    assert [a.as_numpy("y").tolist() for a in answers] == [[[2, 2]], [[2, 2]], [[]]]
    assert "Add" in error


def test_requests_that_fail_are_counted_as_failed_but_beside_others_that_succeed(served):
    """The second half is Triton's: its Python backend knows failures of whole batches only."""
    served.add("counted", identity(TensorProto.STRING, ["n", 1]), ONNX + patient(4) + ONE_INSTANCE)
    good, bad = ({"x": row(text, kind=np.object_)} for text in (b"good", b"\xff"))
    served.infer("counted", **good)
    for _ in range(3):
        with pytest.raises(InferenceServerException, match="bytes that are no UTF-8"):
            served.infer("counted", **bad)
    assert counted(served, "counted", 4) == (1, 3)
    fails_alone(served, "counted", [good, bad, good, good], guilty=1)
    assert counted(served, "counted", 8) == (5, 3)


def counted(served, name, requests):
    """Return the successes and failures of so many requests; Triton counts after it answered."""
    deadline = time.monotonic() + 10
    found = (0, 0)
    while sum(found) < requests and time.monotonic() < deadline:
        time.sleep(0.05)
        [stats] = served.client.get_inference_statistics(name).model_stats
        found = stats.inference_stats.success.count, stats.inference_stats.fail.count
    return found


# Types and shapes


def test_bfloat16_passes_in_batches(served):
    nodes = [
        helper.make_node("Identity", ["x"], ["y"]),
        helper.make_node("Cast", ["x"], ["wide"], to=F),
    ]
    dims = ["n", "k"]
    outputs = {"y": (TensorProto.BFLOAT16, dims), "wide": (F, dims)}
    model = graph(nodes, {"x": (TensorProto.BFLOAT16, dims)}, outputs)
    served.add("bfloat16", model, ONNX + patient(3) + ONE_INSTANCE)
    sent = [np.full((1, 2), value, ml_dtypes.bfloat16) for value in (0.5, -1.5, 3)]
    answers = served.at_once([lambda x=x: served.infer("bfloat16", x=x) for x in sent])
    for x, answer in zip(sent, answers, strict=True):
        np.testing.assert_array_equal(answer.as_numpy("y").view(x.dtype), x)
        np.testing.assert_array_equal(answer.as_numpy("wide"), x.astype(np.float32))
    assert served.largest_batch("bfloat16", at_least=2) >= 2


def test_scalars_are_shown_as_one_element(served):
    nodes = [
        helper.make_node("Mul", ["x", "factor"], ["y"]),
        helper.make_node("ReduceMax", ["y"], ["largest"], keepdims=0),
    ]
    sides = {"x": (F, ["n"]), "factor": (F, [])}, {"y": (F, ["n"]), "largest": (F, [])}
    served.add("scalars", graph(nodes, *sides), ONNX + ONE_INSTANCE)
    answer = served.infer("scalars", x=row(1, 2)[0], factor=row(3)[0])
    assert answer.as_numpy("y").tolist() == [3, 6]
    assert answer.as_numpy("largest").tolist() == [6]


def test_a_reshape_holds_for_inputs_and_outputs(served):
    sides = ['put [ { name: "%s" data_type: TYPE_FP32 dims: [ 4 ] reshape { shape: [ 2, 2 ] } } ]']
    text = f"in{sides[0] % 'x'}\nout{sides[0] % 'y'}\nmax_batch_size: 2\n"
    node = helper.make_node("Transpose", ["x"], ["y"], perm=[0, 2, 1])
    model = graph([node], {"x": (F, ["n", 2, 2])}, {"y": (F, ["n", 2, 2])})
    served.add("reshaped", model, ONNX + text + ONE_INSTANCE)
    assert served.infer("reshaped", x=row(1, 2, 3, 4)).as_numpy("y").tolist() == [[1, 3, 2, 4]]


def test_an_input_that_the_graph_has_a_value_for_can_be_sent_or_left_out(served):
    hidden = numpy_helper.from_array(np.array([1, 2], np.float32), "hidden")
    sides = {"x": (F, [2]), "hidden": (F, [2])}, {"y": (F, [2])}
    model = graph([helper.make_node("Add", ["x", "hidden"], ["y"])], *sides, [hidden])
    entry = '{ name: "%s" data_type: TYPE_FP32 dims: [ 2 ] optional: %s }'
    text = f"input [ {entry % ('x', 'false')}, {entry % ('hidden', 'true')} ]\n"
    served.add("optional", model, ONNX + text + ONE_INSTANCE)
    x, given = np.ones(2, np.float32), np.full(2, 9, np.float32)
    assert served.infer("optional", x=x).as_numpy("y").tolist() == [2, 3]
    assert served.infer("optional", x=x, hidden=given).as_numpy("y").tolist() == [10, 10]
    assert served.infer("optional", x=x).as_numpy("y").tolist() == [2, 3]


RAGGED = """
    input [ { name: "x" data_type: TYPE_FP32 dims: [ -1 ] allow_ragged_batch: true } ]
    output [ { name: "y" data_type: TYPE_FP32 dims: [ -1 ] },
             { name: "end" data_type: TYPE_FP32 dims: [ 1 ] reshape { shape: [ ] } } ]
    batch_input [ { kind: BATCH_ACCUMULATED_ELEMENT_COUNT target_name: "ends"
                    data_type: TYPE_FP32 source_input: "x" } ]
    batch_output [ { kind: BATCH_SCATTER_WITH_INPUT_SHAPE target_name: "y" source_input: "x" } ]
"""


def test_a_graph_that_takes_one_flat_row_is_told_where_each_request_ends(served):
    nodes = [
        helper.make_node("Add", ["x", "x"], ["y"]),
        helper.make_node("Identity", ["ends"], ["end"]),
    ]
    model = graph(
        nodes, {"x": (F, ["all"]), "ends": (F, ["n"])}, {"y": (F, ["all"]), "end": (F, ["n"])}
    )
    served.add("flat", model, ONNX + patient(3) + RAGGED + ONE_INSTANCE)
    lengths = [2, 5, 3]
    answers = served.at_once(
        [lambda n=n: served.infer("flat", x=np.full((1, n), n, np.float32)) for n in lengths]
    )
    assert [a.as_numpy("y").tolist() for a in answers] == [[[2 * n] * n] for n in lengths]
    assert max(a.as_numpy("end").item() for a in answers) == sum(lengths), "they ran together"


# Sequences

SEQUENCE = """
    max_batch_size: 4
    sequence_batching {{
        {strategy} {{ }}
        max_sequence_idle_microseconds: 60000000
        control_input [ {{ name: "START" control [
            {{ kind: CONTROL_SEQUENCE_START fp32_false_true: [ 0, 1 ] }} ] }} ]
        state [
            {{ input_name: "sum" output_name: "new_sum" data_type: TYPE_FP32 dims: [ 1 ]
               initial_state {{ name: "zero" data_type: TYPE_FP32 dims: [ 1 ] zero_data: true }} }},
            {{ input_name: "seen" output_name: "new_seen" data_type: TYPE_FP32 dims: [ -1 ] }} ]
    }}
    output [ {{ name: "total" data_type: TYPE_FP32 dims: [ 1 ] }},
             {{ name: "new_seen" data_type: TYPE_FP32 dims: [ -1 ] }},
             {{ name: "first" data_type: TYPE_FP32 dims: [ 1 ] }} ]
"""


def running_sum():
    """Sum a sequence up in one state, and list it in another, which grows."""
    nodes = [
        helper.make_node("Add", ["x", "sum"], ["new_sum"]),
        helper.make_node("Identity", ["new_sum"], ["total"]),
        helper.make_node("Concat", ["seen", "x"], ["new_seen"], axis=1),
        helper.make_node("Identity", ["START"], ["first"]),
    ]
    one = (F, ["B", 1])
    inputs = {"x": one, "sum": one, "seen": (F, ["B", "length"]), "START": one}
    outputs = {"total": one, "new_sum": one, "new_seen": (F, ["B", "more"]), "first": one}
    return graph(nodes, inputs, outputs)


@pytest.mark.parametrize(
    ("strategy", "instances"),
    [
        pytest.param("direct", ONE_INSTANCE, id="direct: the batch has empty places"),
        pytest.param("oldest", "", id="oldest: on two instances"),
    ],
)
def test_sequences_have_control_inputs_and_states_of_their_own(served, strategy, instances):
    name = f"sequence-{strategy}"
    served.add(name, running_sum(), ONNX + SEQUENCE.format(strategy=strategy) + instances)

    def send(number, value, *, start=False, end=False):
        answer = served.infer(name, x=row(value), sequence=(number, start, end))
        keys = ("total", "new_seen", "first")
        total, seen, first = (answer.as_numpy(key).reshape(-1).tolist() for key in keys)
        return total, seen, first

    assert send(7, 1, start=True) == ([1], [0, 1], [1])
    assert send("eight", 10, start=True) == ([10], [0, 10], [1])
    assert send(7, 2) == ([3], [0, 1, 2], [0])
    assert send("eight", 20, end=True) == ([30], [0, 10, 20], [0])
    assert send(7, 4, end=True) == ([7], [0, 1, 2, 4], [0])
    assert send(7, 5, start=True, end=True) == ([5], [0, 5], [1])


# What the server does around a model


def test_a_decoupled_model_answers_on_the_stream(served):
    text = "model_transaction_policy { decoupled: true }\n"
    served.add("decoupled", doubled(), ONNX + text + ONE_INSTANCE)
    answers = queue.Queue()
    tensor = triton.InferInput("x", [1, 2], "FP32").set_data_from_numpy(row(1, 2))
    with triton.InferenceServerClient(served.server.grpc_url) as client:
        client.start_stream(lambda result, error: answers.put((result, error)))
        client.async_stream_infer("decoupled", [tensor])
        result, error = answers.get(timeout=60)
    assert error is None
    assert result.as_numpy("y").tolist() == [[2, 4]]


def test_options_are_honoured_or_the_log_says_why_not(served):
    warm_up = 'inputs { key: "x" value { data_type: TYPE_FP32 dims: [ 3 ] random_data: true } }'
    text = f"""
        model_warmup [ {{ name: "warm" batch_size: 4 {warm_up} }} ]
        optimization {{
            graph {{ level: 1 }}
            execution_accelerators {{ cpu_execution_accelerator: [ {{ name: "openvino" }} ] }}
        }}
        parameters {{ key: "execution_mode" value: {{ string_value: "1" }} }}
        parameters {{ key: "memory.enable_memory_arena_shrinkage"
                      value: {{ string_value: "cpu:0" }} }}
    """
    served.add("asked", doubled(), ONNX + text + ONE_INSTANCE)
    assert served.infer("asked", x=row(1)).as_numpy("y").tolist() == [[2]]
    log = served.server.log
    assert "ORT_ENABLE_EXTENDED, ORT_PARALLEL" in log
    assert "memory.enable_memory_arena_shrinkage=cpu:0" in log
    assert "model 'asked': execution accelerator 'openvino' has no effect" in log
