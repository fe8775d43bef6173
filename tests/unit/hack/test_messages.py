"""Triton's messages as schemas: what is in them, and that they end."""

from contextlib import suppress

import pytest
from google.protobuf import json_format
from hypothesis import given
from jsonschema import Draft4Validator, ValidationError
from tritonclient.grpc.model_config_pb2 import ModelConfig

from ferryman.clients import pbtxt
from ferryman.clients.bounded.objects import OBJECT
from hack.generate.crds import KINDS, root_schema
from hack.generate.messages import expand
from tests.unit.api.schemas import examples, nodes, validator

CONFIG = expand({"type": "object", "x-message": "ModelConfig", "properties": {}})


def strict(schema):
    """Return a validator that refuses what the API server would drop."""
    found = validator(schema)
    for _, node in list(nodes(found.schema)):
        if "properties" in node:
            node["additionalProperties"] = False
    return Draft4Validator(found.schema)


def fields(message, prefix=""):
    """Yield every field of a message in both spellings, by its path."""
    for field in message.fields:
        for name in {field.name, field.camelcase_name}:
            path = f"{prefix}.{name}"
            yield path
            kind = field.message_type
            if kind is not None and not kind.GetOptions().map_entry:
                yield from fields(kind, f"{path}[]" if field.is_repeated else path)


def test_every_field_of_tritons_is_there_in_both_spellings():
    found = {path for path, _ in nodes(CONFIG) if not path.endswith(("[]", ".*"))} - {""}
    expected = set(fields(ModelConfig.DESCRIPTOR))
    assert len(expected) > 200
    assert expected <= found
    assert {path for path in found - expected if ".*" not in path} == set()


@pytest.mark.parametrize("kind", KINDS)
def test_no_kind_has_a_field_that_is_as_deep_as_one_likes(kind):
    deepest = 0
    for path, node in nodes(expand(root_schema(kind))):
        assert "x-kubernetes-preserve-unknown-fields" not in node, path
        deepest = max(deepest, path.count(".") + path.count("[]"))
    assert deepest < OBJECT.depth - 10, "what the API server lets in is read"


@given(config=examples(CONFIG))
def test_what_the_schema_allows_is_what_triton_has(config):
    """Apart from values that the schema cannot bound, nothing of it is unknown."""
    with suppress(pbtxt.ConfigInvalid):
        pbtxt.parse(config)
        return
    with pytest.raises(pbtxt.ConfigInvalid, match=r"^(?!.*is no field)"):
        pbtxt.parse(config)


FULL = """
name: "m" max_batch_size: 8
input [ { name: "x" data_type: TYPE_FP32 dims: [ -1, 4 ] reshape { shape: [ 4 ] } } ]
output [ { name: "y" data_type: TYPE_INT64 dims: [ 1 ] } ]
instance_group [ { count: 2 kind: KIND_GPU gpus: [ 0, 1 ] } ]
dynamic_batching {
  preferred_batch_size: [ 4, 8 ] max_queue_delay_microseconds: 100
  priority_queue_policy { key: 1 value { timeout_action: DELAY } }
}
parameters { key: "p" value { string_value: "v" } }
model_warmup [ { name: "w" batch_size: 1
  inputs { key: "x" value { data_type: TYPE_FP32 dims: [ 4 ] zero_data: true } } } ]
optimization { execution_accelerators {
  cpu_execution_accelerator [ { name: "openvino" parameters { key: "k" value: "v" } } ] } }
response_cache { enable: true }
"""


@pytest.mark.parametrize("spelling", [True, False], ids=["as Triton writes it", "in camelCase"])
def test_a_whole_configuration_is_allowed_in_either_spelling(spelling):
    message = pbtxt.from_text(FULL)
    config = json_format.MessageToDict(message, preserving_proto_field_name=spelling)
    strict(CONFIG).validate(config)
    strict(CONFIG).validate(dict.fromkeys(config))


@pytest.mark.parametrize(
    "config",
    [
        pytest.param({"no_such_field": 1}, id="an unknown field"),
        pytest.param({"dynamic_batching": {"a": {}}}, id="an unknown field below"),
        pytest.param({"max_batch_size": 1.5}, id="half a number"),
        pytest.param({"input": [{"data_type": "TYPE_NEW"}]}, id="an unknown constant"),
        pytest.param({"input": {}}, id="an object for a list"),
        pytest.param({"parameters": {"a": {"string_value": "x" * 5000}}}, id="a long value"),
        pytest.param({"input": [{}] * 300}, id="a long list"),
    ],
)
def test_what_is_none_of_tritons_is_not_allowed(config):
    with pytest.raises(ValidationError):
        strict(CONFIG).validate(config)
