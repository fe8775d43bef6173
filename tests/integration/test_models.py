"""The models built by hack/models are what they say they are."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest

from hack.models import digits, onnx_graph, resnet50, sleeper, strips

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def resnet():
    return resnet50.build()


def outputs_of(model, images):
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return session.run(None, {"input": images})


def test_resnet50_has_the_published_number_of_parameters(resnet):
    assert onnx_graph.trained_parameters(resnet) == 25_557_032


def test_resnet50_costs_the_published_4_1_giga_multiply_accumulates_a_picture(resnet):
    assert onnx_graph.multiply_accumulates(resnet) == 4_089_184_256
    assert onnx_graph.multiply_accumulates(resnet, batch=4) == 4 * 4_089_184_256


def test_resnet50_strides_in_the_3x3_convolution_as_version_1_5_does(resnet):
    strided = [
        node.name
        for node in resnet.graph.node
        for attribute in node.attribute
        if node.op_type == "Conv" and attribute.name == "strides" and attribute.ints[0] == 2
    ]
    blocks = [f"stage{stage}.1.{part}" for stage in (2, 3, 4) for part in ("2", "shortcut")]
    assert strided == ["stem", *blocks]


def test_resnet50_is_the_same_to_the_byte_each_time(resnet, tmp_path):
    file = resnet50.write(tmp_path)
    assert file == tmp_path / "1" / "model.onnx"
    assert file.read_bytes() == resnet.SerializeToString(deterministic=True)


def test_resnet50_gives_finite_distinct_answers(resnet):
    images = np.random.default_rng(1).standard_normal((2, 3, 224, 224), dtype=np.float32)
    (answers,) = outputs_of(resnet, images)
    assert answers.shape == (2, 1000)
    assert np.isfinite(answers).all()
    assert not np.allclose(answers[0], answers[1], atol=1e-3)


def test_digits_recognises_held_out_pictures(tmp_path):
    digits.write(tmp_path)
    held_out = np.load(tmp_path / digits.HELD_OUT_FILE)
    labels, probabilities = outputs_of(digits.build(), held_out["images"])
    assert len(held_out["labels"]) == 450
    assert np.mean(labels[:, 0] == held_out["labels"]) >= 0.95
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)


@pytest.fixture(scope="module")
def recurrent():
    return strips.build()


def test_strips_recognises_held_out_pictures_one_by_one_and_in_batches(recurrent):
    split = digits.data()
    pictures = strips.as_strips(split.held_out_images)
    (labels,) = outputs_of(recurrent, pictures)
    assert np.mean(labels[:, 0] == split.held_out_labels) >= 0.95
    alone = [outputs_of(recurrent, pictures[[number]])[0].item() for number in range(3)]
    assert alone == labels[:3, 0].tolist()


def test_strips_keeps_the_drawn_weights_and_learns_those_that_read_its_states(recurrent):
    assert onnx_graph.trained_parameters(recurrent) > 4 * strips.CELLS**2


def test_digits_holds_pictures_out_of_training():
    split = digits.data()
    assert len(split.train_images) + len(split.held_out_images) == 1797
    seen = {image.tobytes() for image in split.train_images}
    assert not any(image.tobytes() in seen for image in split.held_out_images)


@pytest.mark.parametrize(("variable", "dims"), [(False, "[ 1 ]"), (True, "[ -1 ]")])
def test_sleeper_states_its_service_time_and_dimensions(tmp_path, variable, dims):
    text = sleeper.config(fixed_us=7, per_item_us=3, variable=variable)
    assert sleeper.write(tmp_path, text).exists()
    written = (tmp_path / "config.pbtxt").read_text()
    assert f'name: "input" data_type: TYPE_FP32 dims: {dims}' in written
    assert 'key: "fixed_us" value: { string_value: "7" }' in written
