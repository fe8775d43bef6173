import re
from typing import Any

import pytest
import yaml
from pydantic import BaseModel

from ferryman.api.crd import RULES
from hack.generate import __main__ as command
from hack.generate.crds import KINDS, crd, crd_documents, root_schema, to_yaml
from hack.generate.messages import expand
from hack.generate.reference import api_reference, walk
from hack.generate.schema import structural_schema
from tests.integration import crd_cases
from tests.unit.api.schemas import nodes, validator

ALLOWED = {
    "type", "format", "enum", "pattern", "description", "default", "nullable", "required",
    "properties", "additionalProperties", "items", "anyOf", "minLength", "maxLength", "minimum",
    "maximum", "exclusiveMinimum", "exclusiveMaximum", "minItems", "maxItems", "minProperties",
    "maxProperties", "x-kubernetes-list-type", "x-kubernetes-list-map-keys",
    "x-kubernetes-int-or-string", RULES,
}  # fmt: skip
ROOT_STRINGS = {".apiVersion", ".kind"}  # the API server itself says what these may be
SAMPLES = sorted((command.ROOT / "manifests" / "samples").glob("*.yaml"))

SCHEMAS = {kind.__name__: expand(root_schema(kind)) for kind in KINDS}


@pytest.mark.parametrize("kind", SCHEMAS)
def test_every_node_is_structural_and_bounded(kind):
    found = list(nodes(SCHEMAS[kind]))
    assert len(found) > 30
    assert [f"{path}: {fault}" for path, node in found for fault in _faults(path, node)] == []


def _faults(path, node):
    yield from (f"{key} is not allowed" for key in set(node) - ALLOWED)
    if node.get("x-kubernetes-int-or-string"):
        if node["anyOf"] != [{"type": "integer"}, {"type": "string"}] or "type" in node:
            yield "not the one form that int-or-string may have"
        kind = "string"
    else:
        kind = node["type"]
    bound = {"array": "maxItems", "string": "maxLength"}.get(kind)
    if kind == "object" and "properties" not in node:
        bound = "maxProperties"
    if bound and bound not in node and "enum" not in node and path not in ROOT_STRINGS:
        yield f"no {bound}"
    if kind == "array" and node["x-kubernetes-list-type"] not in {"atomic", "map", "set"}:
        yield "no list type"
    if set(node.get("x-kubernetes-list-map-keys", ())) - set(
        node.get("items", {}).get("required", ())
    ):
        yield "a list key that may be absent"
    if not isinstance(node.get("exclusiveMinimum", True), bool):
        yield "exclusiveMinimum is a number"


@pytest.mark.parametrize("kind", SCHEMAS)
def test_every_default_is_valid_by_itself_and_status_has_none_but_that_nobody_has_looked(kind):
    in_status = {}
    for path, node in nodes(SCHEMAS[kind]):
        if "default" in node:
            validator(node).validate(node["default"])
            if path.startswith(".status"):
                in_status[path] = node["default"]

    unseen = {".status": {"observedGeneration": -1}, ".status.observedGeneration": -1}
    seen_by_the_operator = {"InferenceModel", "InferencePipeline"}
    assert in_status == (unseen if kind in seen_by_the_operator else {})


@pytest.mark.parametrize("kind", KINDS)
def test_every_field_has_a_description(kind):
    schema = root_schema(kind)
    parts = [part for part in ("spec", "status") if part in schema["properties"]]
    fields = [found for part in parts for found in walk(schema["properties"][part], part)]
    assert fields
    assert [path for path, node, _ in fields if not node.get("description")] == []


@pytest.mark.parametrize("kind", SCHEMAS)
def test_every_rule_says_something_and_points_to_a_field(kind):
    for _, node in nodes(SCHEMAS[kind]):
        for rule in node.get(RULES, ()):
            assert len(rule["message"]) > 20
            assert not rule["message"].endswith(".")
            assert _find(node, rule.get("fieldPath", ""))


def test_every_rule_is_tried_on_a_real_server():
    """For every message there is an invalid object that expects some of its words."""
    cases = (*crd_cases.MODELS, *crd_cases.PIPELINES, *crd_cases.RUNTIMES, *crd_cases.PROFILES)
    messages = {
        rule["message"]
        for schema in SCHEMAS.values()
        for _, node in nodes(schema)
        for rule in node.get(RULES, ())
    }
    assert len(messages) > 25
    assert [text for text in messages if not any(case.words in text for case in cases)] == []


@pytest.mark.parametrize(
    ("kind", "path"),
    [
        pytest.param(kind, column.json_path, id=f"{kind.__name__} {column.name}")
        for kind in KINDS
        for column in kind.resource.columns
        if not column.json_path.startswith(".metadata")
    ],
)
def test_every_column_shows_a_field(kind, path):
    assert _find(SCHEMAS[kind.__name__], path)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind.resource.has_scale])
def test_the_scale_subresource_shows_fields(kind):
    (version,) = crd(kind)["spec"]["versions"]
    paths = version["subresources"]["scale"]
    assert len(paths) == 3
    for path in paths.values():
        assert _find(SCHEMAS[kind.__name__], path)


def _find(schema, path):
    """Return the schema at a JSON path, or None."""
    for step in re.sub(r"\[[^]]*\]", ".[]", path).split(".")[1:]:
        schema = schema.get("items") if step == "[]" else schema.get("properties", {}).get(step)
        if schema is None:
            return None
    return schema


def test_there_are_samples():
    assert SAMPLES


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.name)
def test_a_sample_is_valid(path):
    for document in yaml.safe_load_all(path.read_text()):
        validator(SCHEMAS[document["kind"]]).validate(document)


def test_what_is_committed_is_what_the_types_say():
    assert command.problems(command.ROOT, command.from_types()) == ""


def test_check_shows_the_difference_and_what_to_do(tmp_path):
    files = command.from_types()
    command.write(tmp_path, files)
    path = tmp_path / "crds" / "serving.ferryman.dev_nodeprofiles.yaml"
    path.write_text(path.read_text().replace("maximum: 65536", "maximum: 70000"))
    (tmp_path / "crds" / "old.yaml").write_text("")
    shown = command.problems(tmp_path, files)
    assert re.search(r"^-\s+maximum: 70000$", shown, re.MULTILINE)
    assert re.search(r"^\+\s+maximum: 65536$", shown, re.MULTILINE)
    assert "crds/old.yaml: no longer generated" in shown
    assert "run `python -m hack.generate`" in shown


def test_generating_mends_edited_missing_and_outdated_files(tmp_path):
    files = command.from_types()
    (tmp_path / "crds").mkdir()
    (tmp_path / "crds" / "old.yaml").write_text("")
    assert command.problems(tmp_path, files)
    command.write(tmp_path, files)
    assert command.problems(tmp_path, files) == ""
    assert not (tmp_path / "crds" / "old.yaml").exists()


def test_the_yaml_reads_back_as_the_document():
    for document in crd_documents().values():
        assert yaml.load(to_yaml(document), Loader=yaml.CSafeLoader) == document


def test_the_reference_names_every_field_with_bounds_default_and_rules():
    text = api_reference()
    row = next(line for line in text.splitlines() if "limits.maxBatchSize.max`" in line)
    assert "| integer | `64` | 1 to 65,536 |" in row
    assert "| `spec.runtimeRef.name`* | string |" in text
    assert "- `spec.batching.limits.instances.min`: limits.instances.min must not exceed" in text


class _Anything(BaseModel):
    value: Any


class _Mixed(BaseModel):
    value: str | bool


@pytest.mark.parametrize(
    ("model", "words"),
    [
        pytest.param(_Anything, "no structural form", id="a field of any type"),
        pytest.param(_Mixed, "only string or integer may be united", id="another union"),
    ],
)
def test_a_type_without_a_structural_form_is_refused(model, words):
    with pytest.raises(ValueError, match=words):
        structural_schema(model, defaults=True)
