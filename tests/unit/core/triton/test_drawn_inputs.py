"""Which requests can be drawn for a model, and which cannot."""

import pytest

from ferryman.core.errors import RejectedError
from ferryman.core.triton.drawn_inputs import DrawnInput, drawn_inputs

IMAGE = {"name": "image", "data_type": "TYPE_FP32", "dims": ["3", "224", "224"]}
WORDS = {"name": "words", "data_type": "TYPE_INT64", "dims": ["-1"]}


def test_inputs_of_known_size_are_drawn_as_they_are():
    assert drawn_inputs({"input": [IMAGE]}) == (DrawnInput("image", "FP32", (3, 224, 224)),)


def test_a_scalar_has_no_dimensions():
    assert drawn_inputs({"input": [{"name": "x", "data_type": "TYPE_STRING"}]}) == (
        DrawnInput("x", "BYTES", ()),
    )


def test_optional_inputs_are_left_out_unless_there_are_no_others():
    optional = {**IMAGE, "name": "mask", "optional": True}
    assert [each.name for each in drawn_inputs({"input": [IMAGE, optional]})] == ["image"]
    assert [each.name for each in drawn_inputs({"input": [optional]})] == ["mask"]


def test_a_dimension_of_any_size_is_what_the_sample_of_the_warm_up_says():
    sample = {"words": {"data_type": "TYPE_INT64", "dims": ["128"], "random_data": True}}
    config = {"input": [WORDS], "model_warmup": [{"batch_size": 1, "inputs": sample}]}
    assert drawn_inputs(config) == (DrawnInput("words", "INT64", (128,)),)


@pytest.mark.parametrize(
    ("config", "words"),
    [
        pytest.param({}, "names no inputs", id="no inputs"),
        pytest.param({"input": [WORDS]}, "model_warmup", id="a dimension of any size"),
        pytest.param(
            {"input": [WORDS], "model_warmup": [{"batch_size": 1}]},
            "input words has a dimension of any size",
            id="a sample without the input",
        ),
        pytest.param(
            {
                "input": [WORDS],
                "model_warmup": [{"inputs": {"words": {"dims": ["-1"]}}}],
            },
            "input words has a dimension of any size",
            id="a sample of any size, too",
        ),
        pytest.param(
            {"input": [{**IMAGE, "data_type": "TYPE_INVALID"}]}, "data type", id="an unknown type"
        ),
        pytest.param(
            {"input": [{**IMAGE, "is_shape_tensor": True}]}, "shape tensor", id="a shape tensor"
        ),
    ],
)
def test_where_they_cannot_be_drawn_it_is_said_why(config, words):
    with pytest.raises(RejectedError, match=words) as refused:
        drawn_inputs(config)
    assert refused.value.reason == "InputsUnknown"
