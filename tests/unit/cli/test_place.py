import json
from pathlib import Path

import pytest
import yaml

from ferryman.cli import main
from ferryman.core.fleet.options import MOVE_FACTOR

EXAMPLE = Path("tests/data/fleet.yaml")
DOCUMENTATION = Path("docs/fleet-format.md")


def ferryman(*args):
    return main.main(["place", *map(str, args)])


def written(folder, **fields):
    content = {**yaml.safe_load(EXAMPLE.read_text(encoding="utf-8")), **fields}
    path = folder / "fleet.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return path


def answer(capsys, *args, status=0):
    assert ferryman("--snapshot", *args, "--output", "json") == status
    shown = capsys.readouterr()
    assert shown.err == ""
    return json.loads(shown.out)


def complaint(capsys, *args):
    assert ferryman("--snapshot", *args) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    return shown.err


@pytest.mark.parametrize("arguments", [(), ("--add", "l4=1", "--policy", "Cheapest")])
def test_the_example_comes_out_as_the_documentation_says(capsys, arguments):
    assert ferryman("--snapshot", EXAMPLE, *arguments) == (0 if arguments else 1)
    shown = capsys.readouterr().out
    documented = DOCUMENTATION.read_text(encoding="utf-8")
    for line in shown.strip().splitlines():
        assert line.strip() in documented


def test_one_node_more_places_what_was_left_out(capsys):
    before = answer(capsys, EXAMPLE, status=1)
    assert (before["outcome"], before["bound"], before["gap"]) == ("Infeasible", None, None)
    left_out = [model for model in before["models"] if not model["placed"]]
    assert [model["name"] for model in left_out] == ["detector"]
    assert left_out[0]["message"] == "l4 lacks gpu time"
    assert left_out[0]["refused"][0]["reason"] == "LatencyUnreachable"
    after = answer(capsys, EXAMPLE, "--add", "l4=2", "--add", "l4=-1")
    assert (after["outcome"], after["gap"]) == ("Optimal", 0.0)
    assert [kind["count"] for kind in after["nodeTypes"]] == [2, 3]


def test_json_adds_up(capsys):
    found = answer(capsys, EXAMPLE, "--add", "l4=1", "--policy", "Cheapest")
    assert found["cost"] == pytest.approx(sum(model["cost"] for model in found["models"]))
    l4 = found["nodeTypes"][0]
    there = [model for model in found["models"] if model["nodeType"] == "l4"]
    used = sum(model["replicas"] * model["processorShare"] for model in there)
    assert sum(node["gpu time"] for node in l4["free"]) == pytest.approx(2 - used, abs=1e-5)
    assert l4["nodesUsed"] == len({node for model in there for node in model["nodes"]})
    assert all(len(model["nodes"]) == model["replicas"] for model in there)
    assert all(model["devices"] == [0] * model["replicas"] for model in there)


def test_a_model_that_moves_is_marked(tmp_path, capsys):
    models = yaml.safe_load(EXAMPLE.read_text(encoding="utf-8"))["models"]
    moving = {**models[0], "present": {"nodeType": "c5", "class": "cpu"}}
    path = written(tmp_path, models=[moving])
    found = answer(capsys, path)
    assert found["models"][0]["moved"] is True
    assert found["cost"] == found["models"][0]["cost"]
    assert found["countedCost"] == pytest.approx(MOVE_FACTOR * found["cost"], abs=1e-5)
    assert ferryman("--snapshot", path) == 0
    shown = capsys.readouterr().out
    assert "│ moved │" in shown
    assert f"(with moves counted: {found['countedCost']:.3f})" in shown


def test_a_name_that_looks_like_markup_is_a_name(tmp_path, capsys):
    content = yaml.safe_load(EXAMPLE.read_text(encoding="utf-8"))
    for model, name in zip(content["models"], ("team[/x]", "[red]", "a[b]"), strict=False):
        model["name"] = name
    ferryman("--snapshot", written(tmp_path, **content))
    shown = capsys.readouterr().out
    assert all(name in shown for name in ("team[/x]", "[red]", "a[b]"))


@pytest.mark.parametrize(
    ("path", "value", "told"),
    [
        pytest.param(
            ("nodeTypes", 0, "processors", 0, "imagesPerSecond"), 1e-308,
            "nodeTypes[0].processors[0].imagesPerSecond", id="a speed of nothing",
        ),
        pytest.param(
            ("models", 0, "ratePerSecond"), 1e300, "models[0].ratePerSecond", id="an endless rate"
        ),
        pytest.param(
            ("models", 0, "serviceTimes", 0, "knots"), [{"batchSize": 1, "milliseconds": 1e-310}],
            "a batch takes at least 0.000001 ms", id="no time at all",
        ),
    ],
)  # fmt: skip
def test_numbers_out_of_range_are_refused(tmp_path, capsys, path, value, told):
    content = yaml.safe_load(EXAMPLE.read_text(encoding="utf-8"))
    *above, last = path
    at = content
    for key in above:
        at = at[key]
    at[last] = value
    assert told in complaint(capsys, written(tmp_path, **content))


def test_a_fleet_without_models_costs_nothing(tmp_path, capsys):
    found = answer(capsys, written(tmp_path, models=[]))
    assert (found["outcome"], found["cost"], found["gap"]) == ("Optimal", 0.0, None)


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        pytest.param({"nodes": 3}, "nodes: there is no such field", id="an unknown field"),
        pytest.param(
            {"models": [{"name": "m"}]},
            "models[0].ratePerSecond: is required",
            id="a field that is missing",
        ),
        pytest.param({"nodeTypes": []}, "nodeTypes: must have 1 or more entries", id="none"),
    ],
)
def test_a_malformed_file_is_refused_with_the_path_of_the_error(tmp_path, capsys, fields, told):
    path = written(tmp_path, **fields)
    assert f"ferryman place: {path}: {told}" in complaint(capsys, path)


@pytest.mark.parametrize("where", ["objectives", "serviceTimes", "processors"])
def test_a_misspelling_deep_inside_is_refused_too(tmp_path, capsys, where):
    content = yaml.safe_load(EXAMPLE.read_text(encoding="utf-8"))
    paths = {
        "objectives": (
            content["models"][3]["objectives"]["throughput"],
            "models[3].objectives.throughput.x",
        ),
        "serviceTimes": (
            content["models"][0]["serviceTimes"][0]["knots"][1],
            "models[0].serviceTimes[0].knots[1].x",
        ),
        "processors": (content["nodeTypes"][0]["processors"][0], "nodeTypes[0].processors[0].x"),
    }
    at, path = paths[where]
    at["x"] = 1
    assert f"{path}: there is no such field" in complaint(capsys, written(tmp_path, **content))


def test_what_is_no_yaml_is_refused(tmp_path, capsys):
    path = tmp_path / "fleet.yaml"
    path.write_text("{", encoding="utf-8")
    assert "is neither JSON nor YAML" in complaint(capsys, path)
    path.write_text("[1]", encoding="utf-8")
    assert "the whole file: must be fields" in complaint(capsys, path)
    assert "cannot be read" in complaint(capsys, tmp_path / "nowhere")


def test_a_list_of_models_that_stands_twice_is_refused(tmp_path, capsys):
    path = tmp_path / "fleet.yaml"
    path.write_text(EXAMPLE.read_text(encoding="utf-8") + "models: []\n", encoding="utf-8")
    assert "the field 'models' is there twice" in complaint(capsys, path)


def test_a_price_that_is_missing_is_told(tmp_path, capsys):
    kinds = yaml.safe_load(EXAMPLE.read_text(encoding="utf-8"))["nodeTypes"]
    del kinds[1]["pricePerHour"]
    path = written(tmp_path, nodeTypes=kinds)
    assert "nodeTypes: c5 has no pricePerHour" in complaint(capsys, path, "--policy", "Cheapest")


@pytest.mark.parametrize(
    ("added", "told"),
    [
        ("t4=1", "--add t4: no such node type, there are l4, c5"),
        ("l4=-2", "--add l4=-2: there are 1 only"),
        ("l4=100000", "--add: nodeTypes[0].count: must be 100000 or less"),
    ],
)
def test_nodes_that_cannot_be_added_are_told(capsys, added, told):
    assert told in complaint(capsys, EXAMPLE, "--add", added)


@pytest.mark.parametrize(
    "arguments",
    [("--add", "l4"), ("--add", "l4=many"), ("--add", "=3"), ("--time-limit", "0")],
    ids=" ".join,
)
def test_an_option_that_makes_no_sense_is_a_usage_error(capsys, arguments):
    with pytest.raises(SystemExit) as ended:
        ferryman("--snapshot", EXAMPLE, *arguments)
    assert ended.value.code == 2
    assert "error: argument" in capsys.readouterr().err


def test_the_same_file_has_the_same_answer(capsys):
    first = answer(capsys, EXAMPLE, status=1)
    assert answer(capsys, EXAMPLE, "--time-limit", "60", status=1) == first
