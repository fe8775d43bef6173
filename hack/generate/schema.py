"""Pydantic's JSON schema, made structural: what a CustomResourceDefinition may contain.

Kubernetes accepts no ``$ref``, no ``type: null``, no numeric ``exclusiveMinimum`` and no
``propertyNames``, and wants a type at every node. See docs/decisions/0003-crd-generation.md.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from pydantic import BaseModel

from ferryman.api.crd import MESSAGE, RULES, Rule

Schema = dict[str, Any]

#: Said once here, in the order in which a person reads them.
_COPIED: Final = (
    "type", "format", "enum", "pattern", "minLength", "maxLength", "minimum", "maximum",
    "minItems", "maxItems", "minProperties", "maxProperties",
)  # fmt: skip
_RULE_KEYS: Final = ("rule", "fieldPath", "message")
_EMPTY: Final[tuple[object, ...]] = (None, [], {})
_INT32_MAX: Final = 2**31 - 1
_INT_OR_STRING: Final = ({"type": "integer"}, {"type": "string"})


def structural_schema(model: type[BaseModel], *, defaults: bool) -> Schema:
    """Return the schema of a type's wire form as Kubernetes accepts it.

    Without ``defaults`` the API server fills nothing in: for status, whose writers own
    exactly the fields that they state. Raises ValueError for a shape that has no
    structural form.
    """
    document = model.model_json_schema(by_alias=True, mode="validation")
    return _node(document, document.get("$defs", {}), defaults=defaults)


def _node(source: Schema, definitions: Mapping[str, Schema], *, defaults: bool) -> Schema:
    source, nullable = _without_null(source)
    source = _inline(source, definitions)
    node: Schema = {}
    if "description" in source:
        node["description"] = " ".join(source["description"].replace("``", "`").split())
    node |= {key: source[key] for key in _COPIED if key in source}
    if "const" in source:  # a Literal of one value
        node["enum"] = [source["const"]]
    if nullable:
        node["nullable"] = True
    _bounds(source, node)
    _union(source, node)
    _children(source, node, definitions, defaults=defaults)
    node |= {key: value for key, value in source.items() if key.startswith("x-kubernetes-")}
    _rules(source, node)
    if not {"type", "x-kubernetes-int-or-string"} & node.keys():
        raise ValueError(f"no structural form: {source}")
    if defaults and source.get("default") not in _EMPTY:
        node["default"] = _without_empty(source["default"])
    return node


def _inline(source: Schema, definitions: Mapping[str, Schema]) -> Schema:
    """Replace ``$ref`` by what it means; what stands beside it (a description) goes before."""
    if "$ref" not in source:
        return source
    name = source["$ref"].rpartition("/")[2]
    beside = {key: value for key, value in source.items() if key != "$ref"}
    return _inline(definitions[name], definitions) | beside


def _without_null(source: Schema) -> tuple[Schema, bool]:
    """Turn "this or null" into this, and say whether null was allowed."""
    options = source.get("anyOf", [])
    others = [option for option in options if option != {"type": "null"}]
    if len(others) == len(options):
        return source, False
    beside = {key: value for key, value in source.items() if key != "anyOf"}
    return (others[0] | beside if len(others) == 1 else {"anyOf": others} | beside), True


def _bounds(source: Schema, node: Schema) -> None:
    """Write bounds the OpenAPI 3.0 way and name the width of integers."""
    for bound, exclusive in (("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum")):
        if exclusive in source:
            node |= {bound: source[exclusive], exclusive: True}
        if isinstance(node.get(bound), float) and node[bound].is_integer():
            node[bound] = int(node[bound])
    if node.get("type") == "integer" and "enum" not in node:
        wide = node.get("maximum", _INT32_MAX + 1) > _INT32_MAX
        node["format"] = "int64" if wide else "int32"


def _union(source: Schema, node: Schema) -> None:
    """Write "string or integer", the only union of the API, as Kubernetes' int-or-string."""
    if "anyOf" not in source:
        return
    by_type = {option.get("type"): option for option in source["anyOf"]}
    if by_type.keys() != {"string", "integer"}:
        raise ValueError(f"only string or integer may be united: {source}")
    node |= {key: by_type["string"][key] for key in _COPIED if key in by_type["string"]}
    del node["type"]
    node |= {"anyOf": [dict(option) for option in _INT_OR_STRING]}
    node["x-kubernetes-int-or-string"] = True


def _children(
    source: Schema, node: Schema, definitions: Mapping[str, Schema], *, defaults: bool
) -> None:
    if "items" in source:
        node["items"] = _node(source["items"], definitions, defaults=defaults)
        node.setdefault("x-kubernetes-list-type", "atomic")
    if source.get("required"):
        node["required"] = list(source["required"])
    if "properties" in source:
        node["properties"] = {
            name: _node(child, definitions, defaults=defaults)
            for name, child in source["properties"].items()
        }
    further = source.get("additionalProperties")
    if isinstance(further, dict):
        node["additionalProperties"] = _node(further, definitions, defaults=defaults)
    elif further and MESSAGE not in source:
        raise ValueError(f"nothing bounds how deep this is: {source}")
    if MESSAGE in source:
        node[MESSAGE] = source[MESSAGE]


def _rules(source: Schema, node: Schema) -> None:
    """Order each CEL rule for reading; add one for what has no structural form: a map's keys."""
    found = [{key: rule[key] for key in _RULE_KEYS if key in rule} for rule in node.get(RULES, ())]
    names: Iterable[str] = source.get("propertyNames", {}).get("enum", ())
    if names:
        known = ", ".join(repr(name) for name in names)
        advice = f"unknown key: use {', '.join(names)}"
        found.append(dict(Rule(f"self.all(k, k in [{known}])", advice).as_dict()))
    if found:
        node[RULES] = found


def _without_empty(value: object) -> object:
    """Leave out null, empty lists and empty maps, so that stored objects stay short.

    What remains of an object is complete: the API server holds a default against the CEL rules
    before it fills in the defaults of the object's own fields.
    """
    if not isinstance(value, dict):
        return value
    return {key: _without_empty(part) for key, part in value.items() if part not in _EMPTY}
