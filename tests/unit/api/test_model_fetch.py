"""How variants of a model are fetched where nothing is said of it."""

from ferryman.api.model_fetch import FetchSpec
from ferryman.api.model_source import ModelFormat, ModelSource, Variant

STATED = FetchSpec(region="eu-1", sha256="a" * 64)
OWN = FetchSpec(sha256="b" * 64)
MODEL = ModelSource(
    storage_uri="s3://b/m",
    fetch=STATED,
    model_format=ModelFormat(name="onnx"),
    variants=(
        Variant(processor="gpu", storage_uri="s3://b/m-gpu"),
        Variant(processor="npu", storage_uri="s3://b/m-npu", fetch=OWN),
        Variant(processor="cpu", config={"backend": "x"}),
    ),
)


def test_other_weights_are_fetched_alike_and_have_no_pin_of_the_models():
    assert MODEL.for_processor("gpu").fetch == STATED.with_(sha256=None)


def test_what_a_variant_states_counts():
    assert MODEL.for_processor("npu").fetch == OWN


def test_the_same_weights_keep_the_pin():
    assert MODEL.for_processor("cpu").fetch == STATED


def test_nothing_stated_is_nothing():
    assert MODEL.with_(fetch=None).for_processor("gpu").fetch is None
