"""Reads the generated schemas as JSON Schema, and makes examples of what they allow."""

import ast
import copy
import string
from datetime import datetime

from hypothesis import strategies as st
from jsonschema import Draft4Validator, FormatChecker

from ferryman.api.crd import RULES
from hack.generate.crds import crd_documents

_KEYS_RULE = "self.all(k, k in ["


def nodes(schema, path=""):
    """Yield the path and schema of every node, the root first."""
    yield path, schema
    for name, child in schema.get("properties", {}).items():
        yield from nodes(child, f"{path}.{name}")
    if "items" in schema:
        yield from nodes(schema["items"], f"{path}[]")
    if "additionalProperties" in schema:
        yield from nodes(schema["additionalProperties"], f"{path}.*")


def validator(schema):
    """Return a validator of OpenAPI 3.0's dialect: that of draft 4, and ``nullable``."""
    schema = copy.deepcopy(schema)
    for _, node in nodes(schema):
        if not node.pop("nullable", False):
            continue
        if "type" in node:
            node["type"] = [node["type"], "null"]
        else:
            node["anyOf"] = [*node["anyOf"], {"type": "null"}]
    return Draft4Validator(schema, format_checker=FormatChecker())


def strict_validators():
    """Return for each kind a validator that knows no field but the kind's own."""
    return {crd["spec"]["names"]["kind"]: _strict(crd) for crd in crd_documents().values()}


def _strict(crd):
    (version,) = crd["spec"]["versions"]
    found = validator(version["schema"]["openAPIV3Schema"])
    for path, node in list(nodes(found.schema)):
        open_ended = {"additionalProperties", "x-kubernetes-preserve-unknown-fields"} & node.keys()
        if "properties" in node and not open_ended and path != ".metadata":
            node["additionalProperties"] = False
    return found


def examples(schema):
    """Return a strategy for what a structural schema allows; CEL rules apart."""
    found = _examples(schema)
    return st.none() | found if schema.get("nullable") else found


def _examples(schema):
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    if "x-kubernetes-int-or-string" in schema:
        return st.integers(0, 2**40) | st.sampled_from(["500m", "4Gi", "0.5", "1e3"])
    return _BY_TYPE[schema["type"]](schema)


def _text(schema):
    if schema.get("format") == "date-time":
        first, last = datetime(1000, 1, 1), datetime(9998, 1, 1)  # noqa: DTZ001  it has no zone
        return st.datetimes(first, last).map(lambda when: f"{when:%Y-%m-%dT%H:%M:%SZ}")
    low, high = schema.get("minLength", 0), schema["maxLength"]
    if "pattern" in schema:
        pattern = st.from_regex(schema["pattern"], fullmatch=True, alphabet=string.printable)
        return pattern.filter(lambda text: low <= len(text) <= high)
    return st.text(min_size=low, max_size=min(high, low + 12))


def _integer(schema):
    return st.integers(schema.get("minimum", -(2**31)), schema.get("maximum", 2**31))


def _number(schema):
    return st.floats(
        schema.get("minimum"),
        schema.get("maximum"),
        exclude_min=schema.get("exclusiveMinimum", False),
        allow_nan=False,
        allow_infinity=False,
    )


def _array(schema):
    keys = schema.get("x-kubernetes-list-map-keys", ())
    unique = (lambda entry: tuple(entry[key] for key in keys)) if keys else None
    low = schema.get("minItems", 0)
    return st.lists(examples(schema["items"]), min_size=low, max_size=low + 2, unique_by=unique)


def _object(schema):
    if "additionalProperties" in schema:
        low = schema.get("minProperties", 0)
        value = examples(schema["additionalProperties"])
        return st.dictionaries(_map_keys(schema), value, min_size=low, max_size=low + 2)
    fields = {name: examples(child) for name, child in schema.get("properties", {}).items()}
    required = {name: fields.pop(name) for name in schema.get("required", ())}
    return st.fixed_dictionaries(required, optional=fields)


def _map_keys(schema):
    expression = schema.get(RULES, [{"rule": ""}])[0]["rule"]
    if expression.startswith(_KEYS_RULE) and expression.endswith("])"):
        return st.sampled_from(ast.literal_eval(expression[len(_KEYS_RULE) - 1 : -1]))
    return st.sampled_from(["cpu", "memory", "nvidia.com/gpu"])


_BY_TYPE = {
    "string": _text,
    "integer": _integer,
    "number": _number,
    "boolean": lambda _: st.booleans(),
    "array": _array,
    "object": _object,
}
