"""Triton's own messages as structural schemas, from the descriptors that tritonclient carries.

What a message does not have, the API server does not keep: an overlay is as deep as the message,
and no deeper. A field may be written as Triton does or in camelCase: so is protobuf's JSON form.
"""

from collections.abc import Mapping
from typing import Any, Final

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from tritonclient.grpc.model_config_pb2 import ModelConfig

from ferryman.api.crd import MESSAGE
from hack.generate.schema import Schema

MESSAGES: Final[Mapping[str, Descriptor]] = {"ModelConfig": ModelConfig.DESCRIPTOR}
#: Far beyond what models have; the API server refuses what is larger before it stores it.
_MAX_LENGTH: Final = 4096
_MAX_ITEMS: Final = 256
_MAX_PROPERTIES: Final = 128

_INTEGERS: Final = (
    FieldDescriptor.CPPTYPE_INT32,
    FieldDescriptor.CPPTYPE_INT64,
    FieldDescriptor.CPPTYPE_UINT32,
    FieldDescriptor.CPPTYPE_UINT64,
)


class Leaf(dict[str, Any]):
    """A node without fields, of which there are hundreds: each is written on one line."""


def expand(schema: Schema) -> Schema:
    """Return a schema in which every node that stands for a message has the message's fields.

    What the node says of a field itself (a description, a bound) goes before.
    """
    found = {key: _expanded(value) for key, value in schema.items()}
    name = found.pop(MESSAGE, None)
    if name is None:
        return found
    own = found.pop("properties", {})
    return {**found, "properties": _properties(MESSAGES[name]) | own}


def _expanded(value: Any) -> Any:  # noqa: ANN401  a part of a schema
    if isinstance(value, dict):
        return expand(value)
    return [_expanded(each) for each in value] if isinstance(value, list) else value


def _properties(message: Descriptor) -> Schema:
    found: Schema = {}
    for field in message.fields:
        node = _field(field)
        found |= {field.name: node, field.camelcase_name: node}
    return found


def _field(field: FieldDescriptor) -> Schema:
    """Return a field's schema; a null is an absent field."""
    kind = field.message_type
    if kind is not None and kind.GetOptions().map_entry:
        of = _value(kind.fields_by_name["value"])
        node: Schema = {
            "type": "object",
            "maxProperties": _MAX_PROPERTIES,
            "additionalProperties": of,
        }
    elif field.is_repeated:
        node = {
            "type": "array",
            "maxItems": _MAX_ITEMS,
            "items": _value(field),
            "x-kubernetes-list-type": "atomic",
        }
    else:
        node = _value(field)
    leaf = "properties" not in str(node)
    return Leaf(node, nullable=True) if leaf else {**node, "nullable": True}


def _value(field: FieldDescriptor) -> Schema:
    if field.message_type is not None:
        properties = _properties(field.message_type)
        # The API server keeps no empty map: that there are no fields is a bound of its own.
        fields = {"properties": properties} if properties else {"maxProperties": 0}
        return {"type": "object", **fields}
    if field.enum_type is not None:
        return {"type": "string", "enum": [value.name for value in field.enum_type.values]}
    if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
        return {"type": "boolean"}
    if field.cpp_type in _INTEGERS:  # 8 or "8"
        return {
            "anyOf": [{"type": "integer"}, {"type": "string"}],
            "maxLength": 24,
            "x-kubernetes-int-or-string": True,
        }
    if field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
        return {"type": "string", "maxLength": _MAX_LENGTH}
    return {"type": "number"}
