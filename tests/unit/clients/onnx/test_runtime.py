"""ONNX Runtime as it is used here."""

import numpy as np
import pytest

from ferryman.clients.onnx import runtime
from ferryman.clients.onnx.runtime import ModelRefused, Program
from tests.unit.cli.onnx import small_models as small
from tests.unit.cli.onnx.small_models import info, node

STRING = small.TensorProto.STRING


def load(tmp_path, built):
    return Program(small.save(built, tmp_path / "m.onnx"), threads=1)


def test_it_says_what_it_takes_and_answers(tmp_path):
    program = load(tmp_path, small.two_of_each())
    signature = program.signature
    assert [(each.name, each.datatype, each.shape) for each in signature.inputs] == [
        ("x", "FP32", (-1, small.WIDTH)),
        ("z", "FP32", (-1, small.WIDTH)),
    ]
    assert [each.name for each in signature.outputs] == ["early", "y"]


def test_it_takes_what_it_needs_of_what_is_known(tmp_path):
    program = load(tmp_path, small.model([node("Relu", "x", "y")], [small.X], [small.Y]))
    answer = program.run({"x": -np.ones((2, small.WIDTH), np.float32), "other": np.zeros(1)})
    assert answer["y"].tolist() == np.zeros((2, small.WIDTH)).tolist()


def test_texts_may_be_bytes(tmp_path):
    texts = info("x", ["n"], STRING), info("y", ["n"], STRING)
    program = load(tmp_path, small.model([node("Identity", "x", "y")], [texts[0]], [texts[1]]))
    assert program.inputs[0].datatype == "BYTES"
    answer = program.run({"x": np.array([b"a", b"b"], np.object_)})
    assert answer["y"].tolist() == ["a", "b"]


def test_what_no_server_carries_is_refused(tmp_path):
    output = small.onnx.helper.make_tensor_sequence_value_info("y", small.FLOAT, None)
    program = load(
        tmp_path, small.model([node("SequenceConstruct", "x x", "y")], [small.X], [output])
    )
    with pytest.raises(ModelRefused, match=r"y is a seq\(tensor\(float\)\), which no server"):
        _ = program.signature


def test_its_faults_are_one_sentence(tmp_path):
    program = load(tmp_path, small.chain(2))
    with pytest.raises(ModelRefused, match="ONNX Runtime refuses it: ") as refused:
        program.run({"x": np.ones((1, 3), np.float32)})
    assert "\n" not in str(refused.value)


def test_runs_take_turns():
    order = []
    times_ms = runtime.interleaved([lambda: order.append("a"), lambda: order.append("b")], 3)
    assert order == ["a", "b", "a", "b", "a", "b", "a", "b"]
    assert [len(each) for each in times_ms] == [3, 3]
    assert all(time_ms >= 0 for each in times_ms for time_ms in each)
