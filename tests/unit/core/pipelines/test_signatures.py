"""What configurations say of a model's tensors, in every spelling, and what they leave open."""

import pytest

from ferryman.core.pipelines import signatures
from ferryman.core.pipelines.signatures import Signature, TensorSignature, of_config, of_overlay
from tests.unit.core.pipelines import ocr
from tests.unit.core.pipelines.ocr import tensor

FP32_3 = TensorSignature("FP32", (3,), batched=True)


@pytest.mark.parametrize(
    ("config", "signature"),
    [
        pytest.param({}, Signature(), id="nothing is said"),
        pytest.param({"input": [], "output": None}, Signature(), id="empty lists say nothing"),
        pytest.param({"input": "x", "output": {"name": "y"}}, Signature(), id="no lists at all"),
        pytest.param(
            {"max_batch_size": 8, "input": [tensor("x", "FP32", 3)]},
            Signature(inputs={"x": FP32_3}),
            id="a list of tensors",
        ),
        pytest.param(
            {
                "maxBatchSize": "8",
                "output": [{"name": "x", "dataType": "TYPE_FP32", "dims": ["3"]}],
            },
            Signature(outputs={"x": FP32_3}),
            id="camelCase, and numbers in quotes",
        ),
        pytest.param(
            {"max_batch_size": 0, "input": [tensor("x", "STRING", -1, optional=True)]},
            Signature(inputs={"x": TensorSignature("BYTES", (-1,), batched=False, optional=True)}),
            id="optional strings of a model that does not batch",
        ),
        pytest.param(
            {"input": [tensor("x", "FP32", 3)]},
            Signature(inputs={"x": TensorSignature("FP32", (3,))}),
            id="whether it batches is not said",
        ),
        pytest.param(
            {"max_batch_size": 1, "input": [{"name": "x"}, {"dims": [3]}, "x"]},
            Signature(inputs={"x": TensorSignature(batched=True)}),
            id="a tensor of which only the name is said",
        ),
        pytest.param(
            {"max_batch_size": 1, "input": [{"name": "x", "data_type": "FP32", "dims": ["a", 3]}]},
            Signature(inputs={"x": TensorSignature(batched=True)}),
            id="a type and dimensions that Triton does not know",
        ),
        pytest.param(
            {"model_transaction_policy": {"decoupled": True}},
            Signature(decoupled=True),
            id="decoupled",
        ),
        pytest.param({"model_transaction_policy": {}}, Signature(), id="not decoupled"),
    ],
)
def test_a_configuration_is_read(config, signature):
    assert of_config(config) == signature


@pytest.mark.parametrize(
    ("more", "batched"),
    [
        pytest.param({}, True, id="nothing is said"),
        pytest.param({"max_batch_size": 4}, True, id="a bound"),
        pytest.param({"max_batch_size": 0}, False, id="none"),
        pytest.param({"sequence_batching": {}}, None, id="it keeps sequences"),
    ],
)
def test_a_model_batches_unless_its_overlay_says_otherwise(more, batched):
    found = of_overlay({"input": [tensor("x", "FP32", 3)], **more})
    assert found.inputs["x"].batched is batched


@pytest.mark.parametrize(
    ("signature", "shape"),
    [
        (FP32_3, (-1, 3)),
        (TensorSignature("FP32", (3,), batched=False), (3,)),
        (TensorSignature("FP32", (3,)), None),
        (TensorSignature("FP32", None, batched=True), None),
    ],
)
def test_a_whole_shape_has_the_batch_dimension(signature, shape):
    assert signature.shape == shape


def test_what_a_server_shows_counts_before_what_is_stated():
    stated = Signature(inputs={"x": FP32_3}, outputs={"y": FP32_3}, decoupled=True)
    shown = Signature(inputs={"z": FP32_3})
    assert signatures.merged(stated, shown) == Signature(
        {"z": FP32_3}, {"y": FP32_3}, decoupled=True
    )
    assert signatures.merged(shown, stated) == Signature(
        {"x": FP32_3}, {"y": FP32_3}, decoupled=True
    )


def test_what_one_does_not_know_another_fills_in():
    stated = TensorSignature("FP32", None, batched=False)
    whole = TensorSignature("FP16", (3,), batched=True)
    assert signatures.filled(stated, whole) == TensorSignature("FP32", (3,), batched=True)
    assert signatures.filled(whole, stated) == whole
    assert signatures.filled(TensorSignature(None, (3,), batched=False), whole).datatype == "FP16"


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ((3, -1), (3, 7), True),
        ((-1,), (-1,), True),
        ((3,), (4,), False),
        ((3,), (3, 1), False),
        ((), (), True),
    ],
)
def test_any_size_fits_each_but_no_other_number_of_dimensions(one, other, same):
    assert signatures.same_shape(one, other) is signatures.same_shape(other, one) is same


def test_what_clients_send_and_receive_is_stated_whole():
    spec = ocr.pipeline(ocr.changed({"outputs/0/shape": [4]})).spec
    assert signatures.of_inputs(spec)["size"].shape == (2,)
    assert signatures.of_outputs(spec) == {"text": TensorSignature(None, (4,), batched=False)}
