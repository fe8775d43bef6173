"""What pages have readers apply and type is what the API and the command line take."""

import json
from pathlib import Path

import pytest
import yaml
from jsonschema import Draft7Validator

from ferryman.cli import main
from hack.docs import examples
from hack.docs.blocks import blocks
from tests.unit.api import schemas

ROOT = Path(__file__).parents[3]
CHART = ROOT / "charts/ferryman"
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
OBJECTS = [
    pytest.param(found, id=f"{page.name}:{line}")
    for page in PAGES
    for line, found in examples.objects(page)
]
COMMANDS = [
    pytest.param(typed, id=f"{page.name}:{line}: {' '.join(typed)[:60]}")
    for page in PAGES
    for line, typed in examples.commands(page)
]


VALIDATORS = schemas.strict_validators()


@pytest.mark.parametrize("found", OBJECTS)
def test_an_object_of_a_page_is_as_the_schema_has_it(found):
    problems = VALIDATORS[found["kind"]].iter_errors(found)

    assert [f"{'.'.join(map(str, each.path))}: {each.message}" for each in problems] == []


@pytest.mark.parametrize("typed", COMMANDS)
def test_a_command_of_a_page_is_one_that_the_command_line_takes(typed):
    chosen, *_ = typed

    assert chosen in main.COMMANDS
    assert main.parser_of(chosen).parse_args(typed)


def test_the_schema_that_pages_are_held_against_knows_no_other_field():
    wrong = {"spec": {"batching": {"mode": "Observe", "size": 8}}}
    words = "".join(each.message for each in VALIDATORS["InferenceModel"].iter_errors(wrong))

    assert "'size' was unexpected" in words
    assert "'Observe' is not one of" in words


@pytest.mark.parametrize(
    ("text", "commands"),
    [
        ("```sh\nferryman load --rate 5  # why\nls\n```\n", [["load", "--rate", "5"]]),
        ("```console\n$ kubectl ferryman nodes\nferryman printed this\n```\n", [["nodes"]]),
        ("```sh\nferryman tune \\\n  --p99 5ms\n```\n", [["tune", "--p99", "5ms"]]),
        ("```\nferryman no shell\n```\n", []),
    ],
)
def test_commands_are_what_is_typed(tmp_path, text, commands):
    page = tmp_path / "page.md"
    page.write_text(text, encoding="utf-8")

    assert [typed for _, typed in examples.commands(page)] == commands


def merged(defaults, values):
    """Return the chart's values with those of a user: as Helm does it, null takes a key out."""
    found = {**defaults, **values}
    for key in defaults.keys() & values.keys():
        if isinstance(defaults[key], dict) and isinstance(values[key], dict):
            found[key] = merged(defaults[key], values[key])
    return {key: value for key, value in found.items() if not (key in values and value is None)}


@pytest.mark.parametrize(
    "values",
    [
        pytest.param(block.text, id=f"{page.name}:{block.line}")
        for page in PAGES
        for block in blocks(page)
        if block.text.startswith("# values.yaml\n")
    ],
)
def test_values_of_a_page_are_as_the_chart_has_them(values):
    schema = json.loads((CHART / "values.schema.json").read_text("utf-8"))
    defaults = yaml.safe_load((CHART / "values.yaml").read_text("utf-8"))
    found = merged(defaults, yaml.safe_load(values.replace("sha256:…", f"sha256:{'0' * 64}")))

    assert [each.message for each in Draft7Validator(schema).iter_errors(found)] == []
