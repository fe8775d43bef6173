"""The ONNX Runtime adapter of the light CPU image, in a real tritonserver."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request

import numpy as np
import pytest
from onnx import TensorProto, helper
from tritonclient.utils import InferenceServerException

from hack.models import digits, onnx_graph, resnet50, sleeper
from tests.integration.onnx_serving import (
    ONE_INSTANCE,
    ONNX,
    F,
    Served,
    doubled,
    graph,
    identity,
    lookup,
    patient,
    run_directly,
)
from tests.integration.tritonserver import TritonServer

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    with TritonServer(tmp_path_factory.mktemp("models")) as server:
        yield Served(server)


# What a served model answers


@pytest.mark.parametrize(
    ("module", "shape"),
    [
        pytest.param(digits, (5, 64), id="digits"),
        pytest.param(resnet50, (2, 3, 224, 224), id="resnet50"),
    ],
)
def test_a_served_model_answers_as_onnxruntime_does(served, module, shape):
    model = module.build()
    name = module.__name__.rpartition(".")[2]
    served.add(name, model, ONNX + "max_batch_size: 8\n" + ONE_INSTANCE)
    images = np.random.default_rng(3).uniform(0, 16, shape).astype(np.float32)
    answer = served.infer(name, input=images)
    for key, expected in run_directly(model, input=images).items():
        np.testing.assert_allclose(answer.as_numpy(key), expected, rtol=1e-3, atol=1e-4)


def test_concurrent_requests_run_as_batches_and_each_gets_its_own_rows(served):
    served.add("batched", doubled(), ONNX + patient(max_batch_size=16) + ONE_INSTANCE)
    rows = [np.full((1 + i % 3, 4), i, np.float32) for i in range(24)]
    answers = served.at_once([lambda x=x: served.infer("batched", x=x) for x in rows])
    for x, answer in zip(rows, answers, strict=True):
        np.testing.assert_array_equal(answer.as_numpy("y"), x * 2)
        np.testing.assert_array_equal(answer.as_numpy("total")[:, 0], x.sum(axis=1))
    assert served.largest_batch("batched", at_least=4) >= 4


def test_rows_of_different_lengths_are_answered_together(served):
    config = patient(max_batch_size=16)
    ragged = 'input [ { name: "x" data_type: TYPE_FP32 dims: [ -1 ] allow_ragged_batch: true } ]\n'
    served.add("ragged", doubled(), ONNX + config + ragged + ONE_INSTANCE)
    rows = [np.ones((1, 1 + i % 4), np.float32) for i in range(16)]
    answers = served.at_once([lambda x=x: served.infer("ragged", x=x) for x in rows])
    assert [a.as_numpy("y").shape for a in answers] == [x.shape for x in rows]
    assert [a.as_numpy("total").item() for a in answers] == [x.shape[1] for x in rows]
    assert served.largest_batch("ragged", at_least=2) >= 2


def test_one_requests_error_does_not_fail_the_others_of_its_batch(served):
    served.add("lookup", lookup(), ONNX + patient(max_batch_size=4) + ONE_INSTANCE)
    indices = [1, 2, 9, 3]
    answers = served.at_once(
        [lambda i=i: served.infer("lookup", x=np.array([[i]], np.int64)) for i in indices]
    )
    assert "idx=9" in str(answers[2])
    assert [a.as_numpy("y").item() for a in answers if a is not answers[2]] == [1, 2, 3]
    assert served.largest_batch("lookup", at_least=4) == 4


def test_only_the_outputs_asked_for_are_returned(served):
    served.add("some", doubled())
    answer = served.infer("some", outputs=["total"], x=np.ones((2, 3), np.float32))
    assert answer.as_numpy("total").tolist() == [[3], [3]]
    assert answer.as_numpy("y") is None


NUMBERS = {
    TensorProto.BOOL: np.bool_,
    TensorProto.UINT8: np.uint8,
    TensorProto.UINT16: np.uint16,
    TensorProto.UINT32: np.uint32,
    TensorProto.UINT64: np.uint64,
    TensorProto.INT8: np.int8,
    TensorProto.INT16: np.int16,
    TensorProto.INT32: np.int32,
    TensorProto.INT64: np.int64,
    TensorProto.FLOAT16: np.float16,
    TensorProto.FLOAT: np.float32,
    TensorProto.DOUBLE: np.float64,
}


def test_every_element_type_passes_unchanged(served):
    values = {f"x{kind}": np.array([[0, 7]], kind_of) for kind, kind_of in NUMBERS.items()}
    values[f"x{TensorProto.STRING}"] = np.array([[b"ahoi", "Fähre".encode()]], np.object_)
    kinds = [*NUMBERS, TensorProto.STRING]
    nodes = [helper.make_node("Identity", [f"x{kind}"], [f"y{kind}"]) for kind in kinds]
    inputs, outputs = ({f"{side}{kind}": (kind, ["n", 2]) for kind in kinds} for side in "xy")
    served.add("types", graph(nodes, inputs, outputs))
    answer = served.infer("types", **values)
    for name, sent in values.items():
        np.testing.assert_array_equal(answer.as_numpy(name.replace("x", "y")), sent)


# How configurations are completed and checked


def test_a_bare_configuration_is_completed_from_the_graph(served):
    served.add("bare", doubled())
    config = served.config("bare")
    assert config["max_batch_size"] == 4  # Triton's default for graphs that can be batched
    assert "dynamic_batching" in config
    tensors = [(t["name"], t["data_type"], t["dims"]) for t in config["input"] + config["output"]]
    assert tensors == [
        ("x", "TYPE_FP32", ["-1"]),
        ("y", "TYPE_FP32", ["-1"]),
        ("total", "TYPE_FP32", ["1"]),
    ]


def test_what_is_stated_is_not_changed(served):
    text = 'max_batch_size: 2\ninput [ { name: "x" data_type: TYPE_FP32 dims: [ 5 ] } ]\n'
    served.add("stated", doubled(), ONNX + text)
    config = served.config("stated")
    assert (config["max_batch_size"], config["input"][0]["dims"]) == (2, ["5"])
    assert [output["name"] for output in config["output"]] == ["y", "total"]


def test_stating_inputs_and_outputs_switches_completion_off(served):
    text = """
        input [ { name: "x" data_type: TYPE_FP32 dims: [ -1, 2 ] } ]
        output [ { name: "y" data_type: TYPE_FP32 dims: [ -1, 2 ] } ]
    """
    served.add("unbatched", doubled(), ONNX + text)
    config = served.config("unbatched")
    assert "max_batch_size" not in config  # the protocol's way to say 0
    assert "dynamic_batching" not in config
    assert served.infer("unbatched", x=np.ones((9, 2), np.float32)).as_numpy("y").shape == (9, 2)


def test_a_graph_that_cannot_be_batched_shows_its_full_dimensions(served):
    served.add("fixed", identity(F, [1, 4]))
    config = served.config("fixed")
    assert "max_batch_size" not in config  # the protocol's way to say 0
    assert config["input"][0]["dims"] == ["1", "4"]
    assert served.infer("fixed", x=np.ones((1, 4), np.float32)).as_numpy("y").shape == (1, 4)


@pytest.mark.parametrize(
    ("model", "config", "message"),
    [
        pytest.param(
            identity(F, [1, 4]), "max_batch_size: 8",
            "max_batch_size is 8, but the graph cannot be batched: input 'x' has the fixed first "
            "dimension 1. Set max_batch_size: 0, or export",
            id="fixed first dimension",
        ),
        pytest.param(
            doubled(), 'input [ { name: "pixels" data_type: TYPE_FP32 dims: [ -1 ] } ]',
            "the configuration states input 'pixels', which the graph does not have; "
            "its inputs are 'x'",
            id="unknown input",
        ),
        pytest.param(
            doubled(), 'max_batch_size: 2 output [ { name: "z" data_type: TYPE_FP32 dims: [ 1 ] }]',
            "the configuration states output 'z', which the graph does not have; "
            "its outputs are 'total', 'y'",
            id="unknown output",
        ),
        pytest.param(
            doubled(),
            'max_batch_size: 2 input [ { name: "x" data_type: TYPE_INT8 dims: [ -1 ] } ]',
            "input 'x': the configuration says TYPE_INT8, the graph TYPE_FP32",
            id="wrong type",
        ),
        pytest.param(
            identity(F, ["n", 4]),
            'max_batch_size: 2 input [ { name: "x" data_type: TYPE_FP32 dims: [ 3 ] } ]',
            "input 'x': the configuration says dims [3], the graph [4] beside its rows",
            id="wrong dimensions",
        ),
    ],
)  # fmt: skip
def test_contradictions_fail_the_load_and_name_the_tensor(served, model, config, message):
    with pytest.raises(InferenceServerException) as failure:
        served.add("wrong", model, ONNX + config)
    assert message in str(failure.value)


def test_threads_follow_the_models_parameter(served):
    text = 'parameters { key: "intra_op_thread_count" value: { string_value: "3" } }'
    served.add("threads", doubled(), ONNX + text)
    assert "model 'threads': onnxruntime" in served.server.log
    assert "with 3 intra-op and 1 inter-op threads" in served.server.log


# The server around it


@pytest.mark.parametrize("variable", [False, True], ids=["fixed", "variable"])
def test_a_sleeper_takes_the_time_it_states(served, variable):
    name = f"sleeper-{variable}".lower()
    text = sleeper.config(fixed_us=20_000, per_item_us=5_000, variable=variable)
    sleeper.write(served.server.model_repository / name, text)
    served.client.load_model(name)
    served.infer(name, input=np.ones((1, 1), np.float32))
    start = time.monotonic()
    served.infer(name, input=np.ones((4, 1), np.float32))
    assert 0.040 <= time.monotonic() - start < 5


def post(server, path, headers):
    url = f"http://{server.http_url}/{path}"
    call = urllib.request.Request(url, b"", headers)
    try:
        with urllib.request.urlopen(call, timeout=10) as answer:  # noqa: S310  always http
            return answer.status
    except urllib.error.HTTPError as error:
        error.close()
        return error.code


def test_a_restricted_server_loads_only_with_the_key_and_serves_again_after_a_restart(tmp_path):
    server = TritonServer(tmp_path, control_key="secret")
    onnx_graph.save(doubled(), tmp_path / "m")
    (tmp_path / "m" / "config.pbtxt").write_text(ONNX)
    for _ in range(2):
        with server:
            served = Served(server)
            for headers in (None, {"triton-grpc-protocol-control-key": "guess"}):
                with pytest.raises(InferenceServerException, match="restricted"):
                    served.client.load_model("m", headers=headers)
            assert post(server, "v2/repository/index", {}) == 403
            assert post(server, "v2/repository/index", server.control_headers) == 200
            served.client.load_model("m", headers=server.control_metadata, client_timeout=60)
            answer = served.infer("m", x=np.ones((1, 2), np.float32))
            assert json.dumps(answer.as_numpy("y").tolist()) == "[[2.0, 2.0]]"
