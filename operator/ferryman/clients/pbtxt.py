"""Triton's ModelConfig between its JSON form (a CRD's field) and its text form (config.pbtxt).

The text is deterministic: the same configuration gives the same bytes, whatever the order of
its keys, so that a ConfigMap changes only when the configuration does.
"""

import difflib
from collections.abc import Mapping, Sequence
from typing import Any, Final

from google.protobuf import json_format, text_format
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from tritonclient.grpc.model_config_pb2 import ModelConfig

_INTEGERS: Final = {
    FieldDescriptor.CPPTYPE_INT32: range(-(2**31), 2**31),
    FieldDescriptor.CPPTYPE_INT64: range(-(2**63), 2**63),
    FieldDescriptor.CPPTYPE_UINT32: range(2**32),
    FieldDescriptor.CPPTYPE_UINT64: range(2**64),
}
_LARGEST_NUMBER: Final = 2**53
_FRACTIONS: Final = (FieldDescriptor.CPPTYPE_FLOAT, FieldDescriptor.CPPTYPE_DOUBLE)


class ConfigInvalid(ValueError):  # noqa: N818  the name states the finding
    """The user's ModelConfig does not fit Triton's schema; another try cannot help.

    The message names the field and says what to write instead.
    """


def encode(config: Mapping[str, Any]) -> str:
    """Return the config.pbtxt of a ModelConfig given in its JSON form.

    Field names may be written as Triton does (``max_batch_size``) or in camelCase; a null is
    an absent field. Raises ConfigInvalid for unknown fields and values of a wrong type.
    """
    return to_text(parse(config))


def decode(text: str) -> dict[str, Any]:
    """Return the JSON form of a config.pbtxt, with Triton's own field names.

    As everywhere in protobuf's JSON, 64-bit integers become strings. Raises ConfigInvalid.
    """
    return to_dict(from_text(text))


def to_dict(message: ModelConfig) -> dict[str, Any]:
    """Return the JSON form of a message, as ``decode`` does."""
    return dict(json_format.MessageToDict(message, preserving_proto_field_name=True))


def stated(text: str) -> dict[str, Any]:
    """Return what a config.pbtxt states, as people write it: 64-bit integers are numbers.

    Raises ConfigInvalid, also for fractions that JSON does not have.
    """
    return _as_written(decode(text), ModelConfig.DESCRIPTOR, "")


def parse(config: Mapping[str, Any]) -> ModelConfig:
    """Return the message of a ModelConfig given in its JSON form; raises ConfigInvalid."""
    _check_message(config, ModelConfig.DESCRIPTOR, "")
    try:
        return json_format.ParseDict(dict(config), ModelConfig())
    except json_format.ParseError as error:
        raise ConfigInvalid(f"the model's config is not valid: {_first_line(error)}") from error


def from_text(text: str) -> ModelConfig:
    """Return the message of a config.pbtxt; raises ConfigInvalid with line and column."""
    try:
        return text_format.Parse(text, ModelConfig())
    except text_format.ParseError as error:
        raise ConfigInvalid(f"config.pbtxt, line:column {_first_line(error)}") from error
    except ValueError as error:  # a number that its field cannot hold
        raise ConfigInvalid(f"config.pbtxt: {_first_line(error)}") from error


def to_text(message: ModelConfig) -> str:
    """Return the config.pbtxt of a message: fields in schema order, maps sorted by key."""
    return str(text_format.MessageToString(message, as_utf8=True))


def to_json(message: ModelConfig) -> str:
    """Return the one-line JSON that Triton's load parameter ``config`` takes."""
    return str(json_format.MessageToJson(message, preserving_proto_field_name=True, indent=None))


def _as_written(value: Mapping[str, Any], schema: Descriptor, path: str) -> dict[str, Any]:
    return {
        key: _field_as_written(entry, schema.fields_by_name[key], f"{path}.{key}".lstrip("."))
        for key, entry in value.items()
    }


def _field_as_written(value: Any, field: FieldDescriptor, path: str) -> Any:  # noqa: ANN401  JSON
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        of = field.message_type.fields_by_name["value"]
        return {key: _value_as_written(entry, of, f"{path}[{key}]") for key, entry in value.items()}
    if field.is_repeated:
        return [_value_as_written(entry, field, path) for entry in value]
    return _value_as_written(value, field, path)


def _value_as_written(value: Any, field: FieldDescriptor, path: str) -> Any:  # noqa: ANN401  JSON
    if field.message_type is not None:
        return _as_written(value, field.message_type, path)
    if field.cpp_type in _FRACTIONS and isinstance(value, str):
        raise ConfigInvalid(f"{path} must be a number, not {value}")
    if field.cpp_type in _INTEGERS:
        number = int(value)
        # Beyond that, programs that read JSON take a number for a fraction, or for none.
        return number if abs(number) < _LARGEST_NUMBER else value
    return value


def _check_message(value: object, schema: Descriptor, path: str) -> None:
    for key, entry in _mapping(value, path).items():
        name = f"{path}.{key}" if path else str(key)
        field = _field(schema, key)
        if field is None:
            raise ConfigInvalid(_unknown_field(name, str(key), schema))
        if entry is not None:
            _check_field(entry, field, name)


def _field(schema: Descriptor, key: object) -> FieldDescriptor | None:
    """Return a field by either spelling."""
    if not _is_ascii(key):
        return None
    return schema.fields_by_name.get(key) or schema.fields_by_camelcase_name.get(key)


def _is_ascii(name: object) -> bool:
    """Whether it can be a name in a schema: to ask for half a character is a SystemError."""
    return isinstance(name, str) and name.isascii()


def _check_field(value: object, field: FieldDescriptor, path: str) -> None:
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        of = field.message_type.fields_by_name["value"]
        for key, entry in _mapping(value, path).items():
            _check_value(entry, of, f"{path}[{key}]")
    elif field.is_repeated:
        if isinstance(value, str) or not isinstance(value, Sequence):
            raise ConfigInvalid(f"{path} must be a list, not {_shown(value)}")
        for position, entry in enumerate(value):
            _check_value(entry, field, f"{path}[{position}]")
    else:
        _check_value(value, field, path)


def _check_value(value: object, field: FieldDescriptor, path: str) -> None:
    if field.message_type is not None:
        _check_message(value, field.message_type, path)
        return
    wanted = _wanted(field)
    if not _fits(value, field):
        raise ConfigInvalid(f"{path} must be {wanted}, not {_shown(value)}")


def _fits(value: object, field: FieldDescriptor) -> bool:
    if field.enum_type is not None:
        return _is_ascii(value) and value in field.enum_type.values_by_name
    if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
        return isinstance(value, bool)
    if field.cpp_type in _INTEGERS:
        number = _as_integer(value)
        return number is not None and number in _INTEGERS[field.cpp_type]
    if field.cpp_type in _FRACTIONS:
        return isinstance(value, int | float) and not isinstance(value, bool)
    return isinstance(value, str)


def _as_integer(value: object) -> int | None:
    """Read what protobuf's JSON allows for an integer: 8, 8.0 and "8"."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = int(value)
    except (ValueError, OverflowError):
        return None
    return number if isinstance(value, str) or number == value else None


def _wanted(field: FieldDescriptor) -> str:
    if field.enum_type is not None:
        return f"one of {', '.join(field.enum_type.values_by_name)}"
    if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
        return "true or false"
    if field.cpp_type in _INTEGERS:
        allowed = _INTEGERS[field.cpp_type]
        return f"an integer from {allowed.start} to {allowed.stop - 1}"
    return "a number" if field.cpp_type in _FRACTIONS else "a string (in quotes)"


def _mapping(value: object, path: str) -> Mapping[str, Any]:
    if isinstance(value, Mapping):
        return value
    raise ConfigInvalid(f"{path} must be an object, not {_shown(value)}")


def _unknown_field(path: str, key: str, schema: Descriptor) -> str:
    known = sorted(schema.fields_by_name)
    close = difflib.get_close_matches(key, known, n=1)
    advice = f"did you mean {close[0]}?" if close else f"write one of {', '.join(known)}"
    return f"{path} is no field of Triton's {schema.name}: {advice}"


def _shown(value: object) -> str:
    kinds = {dict: "an object", list: "a list", type(None): "null"}
    return kinds.get(type(value), repr(value))


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]
