"""``docs/api.md``: every kind, field, type, bound, default and rule, from the same schemas."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from ferryman.api import names
from ferryman.api.crd import MESSAGE, RULES
from hack.generate.crds import KINDS, Kind, root_schema
from hack.generate.schema import Schema

_INTRODUCTION: Final = f"""\
<!-- Generated from operator/ferryman/api by `python -m hack.generate`; do not edit. -->

# API reference

Group and version: `{names.API_VERSION}`. A field marked with * must be given where its parent is.
The API server fills in defaults and enforces bounds and rules. Ferryman writes what is in `status`.
"""


def api_reference() -> str:
    """Return the whole document."""
    return "\n".join([_INTRODUCTION, *(_kind(kind) for kind in KINDS)])


def _kind(kind: Kind) -> str:
    resource, schema = kind.resource, root_schema(kind)
    nouns = f"`{resource.plural}.{names.GROUP}`, short: `{'`, `'.join(resource.short_names)}`"
    place = f"category `ferryman`, scope {resource.scope}{_subresources(kind)}"
    parts = [f"## {resource.kind}\n", f"{schema['description']}\n", f"{nouns}, {place}.\n"]
    for part in ("spec", "status"):
        if part in schema["properties"]:
            parts += [f"### {resource.kind} `{part}`\n", *_fields(schema["properties"][part], part)]
    parts += [f"### {resource.kind} rules\n", *_rule_lines(schema), ""]
    parts += [f"### {resource.kind} columns\n", "| column | source | shown | meaning |"]
    parts += ["|---|---|---|---|"]
    for column in resource.columns:
        shown = "`-o wide`" if column.priority else "always"
        parts.append(
            f"| {column.name.upper()} | `{column.json_path}` | {shown} | {column.description} |"
        )
    return "\n".join([*parts, ""])


def _subresources(kind: Kind) -> str:
    found = [
        name
        for name, present in (
            ("status", kind.resource.has_status),
            ("scale", kind.resource.has_scale),
        )
        if present
    ]
    return f", subresources {' and '.join(found)}" if found else ""


def _fields(schema: Schema, path: str) -> list[str]:
    rows = ["| field | type | default | bounds | meaning |", "|---|---|---|---|---|"]
    for name, node, required in walk(schema, path):
        cells = (
            f"`{name}`{'*' if required else ''}",
            _type(node),
            _default(node),
            _bounds(node),
            node.get("description", ""),
        )
        rows.append("| " + " | ".join(_cell(cell) for cell in cells) + " |")
    return [*rows, ""]


def walk(schema: Schema, path: str) -> Iterator[tuple[str, Schema, bool]]:
    """Yield the path, schema and necessity of every field below a schema, parents first."""
    for name, child in schema.get("properties", {}).items():
        below = f"{path}.{name}"
        yield below, child, name in schema.get("required", ())
        yield from walk(child, below)
        if "items" in child:
            yield from walk(child["items"], f"{below}[]")


def _rule_lines(schema: Schema) -> list[str]:
    found = [(place, entry) for place, node in _nodes(schema, "") for entry in node.get(RULES, ())]
    lines = []
    for place, entry in found:
        where = f"`{place}{entry.get('fieldPath', '')}`: " if place else ""
        lines.append(f"- {where}{entry['message']}.")
    return lines


def _nodes(schema: Schema, path: str) -> Iterator[tuple[str, Schema]]:
    yield path, schema
    for name, child in schema.get("properties", {}).items():
        yield from _nodes(child, f"{path}.{name}".lstrip("."))
    if "items" in schema:
        yield from _nodes(schema["items"], f"{path}[]")
    if "additionalProperties" in schema:
        yield from _nodes(schema["additionalProperties"], f"{path}.*")


def _type(node: Schema) -> str:
    if "x-kubernetes-int-or-string" in node:
        return "quantity"
    if MESSAGE in node:
        return f"Triton's {node[MESSAGE]}"
    if node["type"] == "array":
        return f"list of {_type(node['items'])}"
    if "additionalProperties" in node:
        return f"map of {_type(node['additionalProperties'])}"
    if "x-kubernetes-preserve-unknown-fields" in node:
        return "free-form object"
    return "time" if node.get("format") == "date-time" else str(node["type"])


def _default(node: Schema) -> str:
    default: Any = node.get("default")
    if default is None or default == "":
        return ""
    return "of its fields" if isinstance(default, dict) else f"`{default}`"


def _bounds(node: Schema) -> str:
    if "enum" in node:
        return ", ".join(f"`{value}`" for value in node["enum"])
    texts = [_range(node, "minimum", "maximum", "")]
    texts += [_range(node, f"min{what}", f"max{what}", unit) for what, unit in _SIZES.items()]
    if "items" in node and (inner := _bounds(node["items"])):
        texts.append(f"each {inner}")
    if "additionalProperties" in node and (inner := _bounds(node["additionalProperties"])):
        texts.append(f"each {inner}")
    return "; ".join(text for text in texts if text)


_SIZES: Final[Mapping[str, str]] = {
    "Length": " characters", "Items": " entries", "Properties": " entries",
}  # fmt: skip


def _range(node: Schema, low: str, high: str, unit: str) -> str:
    if low in node and high in node:
        above = "above " if node.get("exclusiveMinimum") else ""
        return f"{above}{node[low]:,} to {node[high]:,}{unit}"
    if high in node:
        return f"at most {node[high]:,}{unit}"
    return f"at least {node[low]:,}{unit}" if low in node else ""


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
