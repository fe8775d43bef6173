"""config.pbtxt: what goes in comes out, the same bytes each time, and errors name the field."""

import random

import pytest
from google.protobuf import text_format
from hypothesis import given
from hypothesis import strategies as st
from tritonclient.grpc.model_config_pb2 import ModelConfig

from ferryman.clients.pbtxt import ConfigInvalid, decode, encode, from_text, stated

TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=12)
BATCHERS = st.fixed_dictionaries(
    {},
    optional={
        "preferred_batch_size": st.lists(st.integers(1, 64), min_size=1, max_size=3),
        "max_queue_delay_microseconds": st.integers(1, 2**63).map(str),
        "preserve_ordering": st.sampled_from([True]),  # false is the default and leaves no trace
    },
)
GROUPS = st.fixed_dictionaries(
    {"count": st.integers(1, 8), "kind": st.sampled_from(["KIND_CPU", "KIND_GPU", "KIND_MODEL"])},
    optional={"gpus": st.lists(st.integers(0, 7), min_size=1, max_size=2)},
)
TENSORS = st.fixed_dictionaries(
    {
        "name": TEXTS.filter(bool),
        "data_type": st.sampled_from(["TYPE_FP32", "TYPE_INT64"]),
        "dims": st.lists(st.integers(-1, 2**40).map(str), min_size=1, max_size=4),
    }
)
CONFIGS = st.fixed_dictionaries(
    {},
    optional={
        "name": TEXTS.filter(bool),
        "backend": st.just("onnxruntime"),
        "max_batch_size": st.integers(1, 4096),
        "dynamic_batching": BATCHERS,
        "instance_group": st.lists(GROUPS, min_size=1, max_size=3),
        "input": st.lists(TENSORS, min_size=1, max_size=2),
        "parameters": st.dictionaries(
            TEXTS, st.fixed_dictionaries({"string_value": TEXTS.filter(bool)}), min_size=1
        ),
    },
)


@given(CONFIGS)
def test_what_is_encoded_is_decoded_unchanged(config):
    assert decode(encode(config)) == config


@given(CONFIGS, st.randoms())
def test_the_order_of_keys_does_not_change_a_byte(config, shuffler: random.Random):
    def shuffled(value):
        if not isinstance(value, dict):
            return value
        items = list(value.items())
        shuffler.shuffle(items)
        return {key: shuffled(entry) for key, entry in items}

    assert encode(shuffled(config)) == encode(config)


def test_the_text_is_what_triton_documents():
    text = encode(
        {
            "backend": "onnxruntime",
            "maxBatchSize": 8.0,
            "dynamic_batching": {},
            "instance_group": [{"count": 2, "kind": "KIND_CPU"}],
            "parameters": {"b": {"string_value": "2"}, "a": {"string_value": "1"}},
            "version_policy": None,
        }
    )
    assert text_format.Parse(text, ModelConfig()).max_batch_size == 8
    assert text.index('key: "a"') < text.index('key: "b"')
    assert decode(text) == {
        "backend": "onnxruntime",
        "max_batch_size": 8,
        "dynamic_batching": {},
        "instance_group": [{"count": 2, "kind": "KIND_CPU"}],
        "parameters": {"a": {"string_value": "1"}, "b": {"string_value": "2"}},
    }


@pytest.mark.parametrize(
    ("config", "message"),
    [
        pytest.param(
            {"max_batchsize": 8},
            "max_batchsize is no field of Triton's ModelConfig: did you mean max_batch_size?",
            id="a misspelt field: the close one is named",
        ),
        pytest.param(
            {"dynamic_batching": {"zzz": 8}},
            "dynamic_batching.zzz is no field of Triton's ModelDynamicBatching: write one of",
            id="an unknown field deep inside: the path and the choice are named",
        ),
        pytest.param(
            {"max_batch_size": "many"},
            "max_batch_size must be an integer from -2147483648 to 2147483647, not 'many'",
            id="words for a number",
        ),
        pytest.param({"max_batch_size": True}, "must be an integer", id="true for a number"),
        pytest.param({"max_batch_size": 1.5}, "must be an integer", id="a fraction"),
        pytest.param({"max_batch_size": 2**31}, "must be an integer", id="a number out of range"),
        pytest.param({"max_batch_size": float("inf")}, "must be an integer", id="infinity"),
        pytest.param(
            {"name": 5}, "name must be a string (in quotes), not 5", id="a number as name"
        ),
        pytest.param(
            {"dynamic_batching": 3}, "dynamic_batching must be an object, not 3", id="no object"
        ),
        pytest.param(
            {"instance_group": {"count": 1}},
            "instance_group must be a list, not an object",
            id="an object for a list",
        ),
        pytest.param({"input": "x"}, "input must be a list, not 'x'", id="a string for a list"),
        pytest.param(
            {"instance_group": [{"count": 1}, None]},
            "instance_group[1] must be an object, not null",
            id="null inside a list",
        ),
        pytest.param(
            {"instance_group": [{"kind": "KIND_X"}]},
            "instance_group[0].kind must be one of KIND_AUTO",
            id="an unknown word of an enumeration",
        ),
        pytest.param(
            {"instance_group": [{"kind": "\ud800"}]},
            "instance_group[0].kind must be one of KIND_AUTO",
            id="half a character in an enumeration",
        ),
        pytest.param(
            {"name\ud800": "x"},
            "is no field of Triton's ModelConfig: did you mean name?",
            id="half a character in a field",
        ),
        pytest.param(
            {"parameters": {"a": "b"}},
            "parameters[a] must be an object, not 'b'",
            id="a map's value without string_value",
        ),
        pytest.param(
            {"dynamic_batching": {"preserve_ordering": "yes"}},
            "preserve_ordering must be true or false",
            id="yes for true",
        ),
        pytest.param(
            {"sequence_batching": {}, "dynamic_batching": {}},
            "scheduling_choice",
            id="two schedulers at once",
        ),
    ],
)
def test_an_invalid_config_is_refused_by_its_field(config, message):
    with pytest.raises(ConfigInvalid) as refusal:
        encode(config)
    assert message in str(refusal.value)


def test_an_invalid_text_is_refused_with_line_and_column():
    with pytest.raises(ConfigInvalid, match=r"line:column 2:1 .*no field named \"nme\""):
        decode('backend: "x"\nnme: 1')


def test_what_a_file_states_is_as_people_write_it():
    text = (
        'input { name: "x" dims: [ -1, 3 ] } dynamic_batching { max_queue_delay_microseconds: 500 '
        "priority_queue_policy { key: 2 value { default_timeout_microseconds: 7 } } "
        "default_priority_level: 18446744073709551615 }"
    )
    assert stated(text) == {
        "input": [{"name": "x", "dims": [-1, 3]}],
        "dynamic_batching": {
            "max_queue_delay_microseconds": 500,
            "priority_queue_policy": {"2": {"default_timeout_microseconds": 7}},
            # No program that reads JSON has to know such a number.
            "default_priority_level": "18446744073709551615",
        },
    }


def test_a_fraction_that_json_does_not_have_is_refused_by_its_path():
    with pytest.raises(ConfigInvalid, match=r"direct\.minimum_slot_utilization must be a number"):
        stated("sequence_batching { direct { minimum_slot_utilization: inf } }")


def test_a_number_that_its_field_cannot_hold_is_said():
    with pytest.raises(ConfigInvalid, match="Value out of range: 2147483648"):
        from_text("max_batch_size: 2147483648")
