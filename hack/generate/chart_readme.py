"""``charts/ferryman/README.md``: every value of the chart, from ``values.yaml`` and its comments.

Values are read with PyYAML's own events, so that a default stands in the table as it is written.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

import yaml

from hack.manifests import CHART

_INTRODUCTION: Final = """\
<!-- Generated from values.yaml by `python -m hack.generate`; do not edit. -->

# Ferryman's chart

An operator that deploys Triton models onto the best node type and tunes their batching live. What
it installs, and what a cluster must have, tells the project's documentation
(`docs/installation.md`).

```sh
helm install ferryman charts/ferryman --namespace ferryman-system --create-namespace
helm test ferryman --namespace ferryman-system     # serves a small model and asks it
helm upgrade ferryman charts/ferryman --namespace ferryman-system --reset-then-reuse-values
helm uninstall ferryman --namespace ferryman-system
```

An upgrade of the operator changes nothing of what serves, and `helm rollback` takes it back. The
CRDs, and with them all models, stay when the release is removed (`crds.keep`); what serves goes on.

## Values

A wrong name or type is refused by `values.schema.json`, with the value's path.

| value | default | |
|---|---|---|
"""


@dataclass(frozen=True, slots=True)
class ChartValue:
    """One row: where it stands, its default as written, and what its comment says."""

    path: str
    default: str
    meaning: str


def chart_readme() -> str:
    """Return the whole document."""
    found = values((CHART / "values.yaml").read_text(encoding="utf-8"))
    return _INTRODUCTION + "".join(f"{row}\n" for row in _rows(found))


def values(text: str) -> list[ChartValue]:
    """Return all values of a file whose comments stand above what they tell of.

    A map whose entries have lines of their own is told by them, and one in braces as a whole.
    """
    root = yaml.compose(text)
    if not isinstance(root, yaml.MappingNode):
        raise TypeError("values.yaml is no map")
    return list(_within(root, "", text.splitlines(), text))


def _within(node: yaml.MappingNode, path: str, lines: list[str], text: str) -> Iterator[ChartValue]:
    for key, value in node.value:
        name = f"{path}{key.value}"
        meaning = _comment_above(lines, key.start_mark.line)
        if isinstance(value, yaml.MappingNode) and not value.flow_style:
            if meaning:
                yield ChartValue(name, "", meaning)
            yield from _within(value, f"{name}.", lines, text)
        else:
            default = text[value.start_mark.index : value.end_mark.index]
            yield ChartValue(name, " ".join(default.split()), meaning)


def _comment_above(lines: list[str], line: int) -> str:
    """Return the lines of the comment that ends above a line, as one."""
    begin = line
    while begin and lines[begin - 1].lstrip().startswith("#"):
        begin -= 1
    return " ".join(each.strip().lstrip("#").strip() for each in lines[begin:line])


def _rows(found: Iterable[ChartValue]) -> Iterator[str]:
    for each in found:
        default = f"`{each.default}`" if each.default else ""
        yield f"| `{each.path}` | {_cell(default)} | {_cell(each.meaning)} |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")
