import json
from pathlib import Path

import pytest

from ferryman.cli.errors import OutputError
from ferryman.cli.files.snapshot_file import SnapshotError, read, write
from ferryman.core.placement.choose import choose
from tests.factories import NOW, at, node, snapshot

EXAMPLE = Path("tests/data/snapshot.yaml")


@pytest.fixture
def file(tmp_path):
    """Return a function that writes a file's text."""

    def create(text):
        path = tmp_path / "snapshot.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return create


def as_json(**changes):
    return json.dumps({"takenAt": at(0), **snapshot().as_dict(), **changes})


def test_what_is_written_is_read_back_and_decides_alike(tmp_path):
    nodes = [node("a"), node("b", "bigger", utilisation=None), node("c", has_profile=False)]
    before = snapshot(nodes=nodes)
    write(tmp_path / "s.yaml", before, NOW)
    found, warnings = read(tmp_path / "s.yaml")
    assert warnings == ()
    assert found.now == NOW
    assert found.as_dict() == {"takenAt": at(0), **before.as_dict()}
    assert choose(found, found.now) == choose(before, NOW)


def test_json_is_read_too(file):
    found, warnings = read(file(as_json()))
    assert (found.model.metadata.name, warnings) == ("resnet50", ())


def test_json_may_be_indented_with_tabs(file):
    found, warnings = read(file(json.dumps(json.loads(as_json()), indent="\t")))
    assert (found.model.metadata.name, warnings) == ("resnet50", ())


def test_times_may_stand_without_quotes(file):
    text = EXAMPLE.read_text(encoding="utf-8")
    assert "takenAt: 2026-11-21T13:00:00Z" in text
    assert read(file(text))[0].now == NOW


def test_without_a_moment_the_newest_heartbeat_counts(file):
    found, _ = read(file(as_json(takenAt=None)))
    assert found.now == read(file(as_json(takenAt=at(-10))))[0].now


def test_without_any_time_there_is_no_moment(file):
    assert read(file(as_json(takenAt=None, nodes=[{"name": "n"}])))[0].now is None


def node_with(**profile):
    return {"name": "n", "profile": profile}


def model_with(**parts):
    return {**snapshot().as_dict()["model"], **parts}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        pytest.param({"model": {}}, "model.metadata: is required", id="a missing field"),
        pytest.param(
            {"nodes": [{"name": "a"}, node_with(processors=[{"class": "cpu", "utilisation": 7}])]},
            "nodes[1].profile.processors[0].product: is required",
            id="a field in a list in a list",
        ),
        pytest.param(
            {"nodes": [node_with(processors=[{"class": "cpu", "product": "", "utilisation": 7}])]},
            "nodes[0].profile.processors[0].utilisation: must be 1 or less, not 7",
            id="a value out of range",
        ),
        pytest.param({"nodes": "many"}, "nodes: must be a list", id="a wrong kind"),
        pytest.param(
            {"takenAt": "noon"},
            "takenAt: must be a time like 2026-11-21T13:00:00Z",
            id="a moment that is none",
        ),
        pytest.param(
            {"takenAt": "0001-01-01T00:00:00Z"},
            "takenAt: must be a time like 2026-11-21T13:00:00Z",
            id="a moment with nothing before it",
        ),
        pytest.param(
            {"takenAt": "9999-12-31T23:59:59Z"},
            "takenAt: must be a time like 2026-11-21T13:00:00Z",
            id="a moment with nothing after it",
        ),
        pytest.param(
            {"takenAt": None, "nodes": [node_with(heartbeatTime="noon")]},
            "must be a time like 2026-11-21T13:00:00Z",
            id="a heartbeat that is none",
        ),
        pytest.param(
            {"nodes": [{"name": "n" * 254}]},
            "nodes[0].name: must have 253 characters or fewer",
            id="a node that Kubernetes could not have",
        ),
        pytest.param(
            {"model": model_with(metadata={"name": "m" * 254})},
            "model.metadata.name: must have 253 characters or fewer",
            id="a model that Kubernetes could not have",
        ),
        pytest.param(
            {"model": model_with(metadata={"name": "m", "generation": -1})},
            "model.metadata.generation: must be 0 or more",
            id="a generation that is none",
        ),
        pytest.param(
            {"model": model_with(status={"placement": {"reason": "", "message": ""}})},
            "model.status.placement.reason: must have 1 or more characters",
            id="a placement without a reason",
        ),
        pytest.param(
            {"serving": {"unscheduledSince": "noon"}},
            "serving.unscheduledSince: must be a time like 2026-11-21T13:00:00Z",
            id="a wait since nobody knows when",
        ),
        pytest.param(
            {"nodes": [{} for _ in range(9)]},
            "4 more fields are malformed",
            id="many wrong fields are counted",
        ),
    ],
)
def test_a_malformed_field_is_named(file, changes, words):
    path = file(as_json(**changes))
    with pytest.raises(SnapshotError) as error:
        read(path)
    assert str(error.value).startswith(f"{path}: ")
    assert words in str(error.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        pytest.param("", "is empty", id="nothing"),
        pytest.param("- a\n- b\n", "the whole file: must be fields", id="a list"),
        pytest.param("a: [1", "is neither JSON nor YAML", id="no YAML"),
        pytest.param("nodes: []\nnodes: []\n", "'nodes' is there twice", id="a field twice"),
        pytest.param("model: !!bool maybe\n", "'maybe' cannot be read as bool", id="no bool"),
        pytest.param("a: " + "[" * 1000, "it is nested too deeply", id="1,000 brackets"),
    ],
)
def test_what_is_no_snapshot_is_an_error(file, text, words):
    with pytest.raises(SnapshotError, match=words):
        read(file(text))


def test_a_file_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(SnapshotError, match=r"cannot be read: .*No such file"):
        read(tmp_path / "none.yaml")


def test_a_file_that_is_no_text_is_an_error(tmp_path):
    (tmp_path / "s.yaml").write_bytes(b"\xff\xfe\xfa")
    with pytest.raises(SnapshotError, match="cannot be read"):
        read(tmp_path / "s.yaml")


def test_a_folder_that_is_not_there_cannot_be_written_to(tmp_path):
    with pytest.raises(OutputError, match=r"cannot be written: .*No such file"):
        write(tmp_path / "none" / "s.yaml", snapshot(), NOW)


def test_unknown_fields_are_reported(file):
    content = json.loads(as_json())
    content["nodez"] = []
    content["model"]["spec"]["placement"]["weigths"] = {}
    content["nodes"][0]["profile"]["processors"][0]["utilization"] = 0.5
    content["model"] |= {"apiVersion": "v1", "kind": "InferenceModel"}
    content["model"]["metadata"]["managedFields"] = []
    content["model"]["spec"]["model"]["config"] = {"anything": {"goes": 1}}
    path = file(json.dumps(content))
    assert set(read(path)[1]) == {
        f"{path}: nodez is unknown",
        f"{path}: model.spec.placement.weigths is unknown",
        f"{path}: nodes[0].profile.processors[0].utilization is unknown",
    }


def test_of_a_field_that_stands_twice_the_objects_spelling_counts(file):
    twice = {"name": "n", "reservedMemoryBytes": 1, "reserved_memory_bytes": 2}
    found, _ = read(file(as_json(nodes=[twice])))
    assert found.nodes[0].reserved_memory_bytes == 1


def test_fields_may_have_their_names_in_code(file):
    content = json.loads(as_json())
    content["taken_at"] = content.pop("takenAt")
    content["nodes"] = [{"name": "n", "reserved_memory_bytes": 2}]
    found, warnings = read(file(json.dumps(content)))
    assert (found.nodes[0].reserved_memory_bytes, warnings) == (2, ())
