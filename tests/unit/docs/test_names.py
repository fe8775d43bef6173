"""Fields, values of the chart and commands that pages name are there."""

import re
from pathlib import Path

import pytest
import yaml

from ferryman.cli.main import COMMANDS
from hack.docs import links
from hack.generate.crds import crd_documents
from tests.unit.api import schemas

ROOT = Path(__file__).parents[3]
#: Records of decisions speak of what was there when they were made, the changelog of what went.
PAGES = [
    page
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))
    if "decisions" not in page.parts
]
PATH = re.compile(r"[a-z][A-Za-z]*(\.[a-z-][A-Za-z0-9-]*)+")


def fields():
    """Yield path and schema of every field of every kind, without the marks of lists."""
    for crd in crd_documents().values():
        (version,) = crd["spec"]["versions"]
        for path, node in schemas.nodes(version["schema"]["openAPIV3Schema"]):
            yield path.replace("[]", "").lstrip("."), node


def values(found, path=""):
    """Yield the path of every value of the chart."""
    for key, value in found.items():
        yield f"{path}{key}"
        if isinstance(value, dict):
            yield from values(value, f"{path}{key}.")


VALUES = yaml.safe_load((ROOT / "charts/ferryman/values.yaml").read_text(encoding="utf-8"))
PATHS = {path for path, _ in fields()} | set(values(VALUES))
#: Maps, whose keys are the user's.
MAPS = {path for path, node in fields() if "additionalProperties" in node}
FIRST = {"spec", "status", *VALUES}


def code(page):
    """Yield the inline code of a page."""
    for token in links.tokens(page):
        for child in token.children or ():
            if child.type == "code_inline":
                yield child.content


def unknown(text):
    """Return a path that begins as those of the API or of the chart do, and is none of them."""
    path = text.replace("[]", "").split(":")[0].split("=")[0]
    ours = path.partition(".")[0] in FIRST and PATH.fullmatch(path)
    there = path in PATHS or path.rpartition(".")[0] in MAPS
    return path if ours and not there else None


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_fields_and_values_of_a_page_exist(page):
    assert sorted({text for text in code(page) if unknown(text)}) == []


@pytest.mark.parametrize(
    ("text", "is_unknown"),
    [
        ("spec.batching.mode", False),
        ("status.batching.changes[].outcome", False),
        ("spec.batching.mode: Observe", False),
        ("spec.batching.modus", True),
        ("operator.metrics.from", False),
        ("operator.metric", True),
        ("model.onnx", False),
    ],
)
def test_what_is_unknown_is_told_by_its_beginning(text, is_unknown):
    assert bool(unknown(text)) is is_unknown


@pytest.mark.parametrize("command", COMMANDS)
def test_a_page_tells_of_every_command(command):
    words = re.compile(rf"\bferryman {command}\b|`{command}\b")

    assert [page.name for page in PAGES if words.search(page.read_text(encoding="utf-8"))]
