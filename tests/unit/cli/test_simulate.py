import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from ferryman.api.conditions import Reason
from ferryman.cli import main, simulate
from ferryman.core.tuners.needs import Replicas, Unattainable
from ferryman.core.tuners.select import TuneDecision

EXAMPLE = Path("tests/data/scenario.yaml")
DOCUMENTATION = Path("docs/scenario-format.md")


@pytest.fixture(autouse=True)
def _no_progress(monkeypatch):
    """On a busy machine the search may take long enough to tell how far it is."""
    monkeypatch.setattr(simulate, "PROGRESS_EVERY_S", 600.0)


def ferryman(*args):
    return main.main(["simulate", *map(str, args)])


def written(folder, **fields):
    """Write the example with other fields; None leaves a field out."""
    content = {**yaml.safe_load(EXAMPLE.read_text(encoding="utf-8")), **fields}
    path = folder / "scenario.yaml"
    path.write_text(yaml.safe_dump({key: v for key, v in content.items() if v is not None}))
    return path


def answer(capsys, *args):
    assert ferryman(*args, "--output", "json") == 0
    shown = capsys.readouterr()
    assert shown.err == ""
    return json.loads(shown.out)


def test_the_example_comes_out_as_the_documentation_says(capsys):
    assert ferryman("--scenario", EXAMPLE) == 0
    shown = capsys.readouterr().out
    documented = DOCUMENTATION.read_text(encoding="utf-8")
    for line in shown.strip().splitlines():
        assert line.strip() in documented


def test_json_has_the_algorithm_and_every_contender(capsys):
    found = answer(capsys, "--scenario", EXAMPLE)
    tuned = found["algorithm"]
    assert (tuned["name"], tuned["windowsToConverge"]) == ("Trend", None)
    assert (tuned["windowsObserved"], tuned["needsCapacity"], tuned["rejected"]) == (13, None, 0)
    assert tuned["changesByActuator"] == {"Reload": 2}
    assert [change["after"]["maxBatchSize"] for change in tuned["changes"]] == [2, 1]
    assert tuned["changes"][0]["reason"] == "TrendDecrease"
    assert found["initial"]["batching"]["maxBatchSize"] == 4
    assert found["largest"]["batching"]["maxBatchSize"] == 16
    assert found["oracle"]["goodputPerSecond"] >= found["largest"]["goodputPerSecond"] * 0.999
    assert list(found["oracle"]["latencyMilliseconds"]) == ["p50", "p90", "p95", "p99"]
    assert len(tuned["goodputByWindow"]) == 15


def test_fixed_stays_where_it_began(capsys):
    found = answer(capsys, "--scenario", EXAMPLE, "--algorithm", "Fixed")
    assert found["algorithm"]["changes"] == []
    assert found["algorithm"]["goodputPerSecond"] == found["initial"]["goodputPerSecond"]


def test_mode_fixed_stays_unless_an_algorithm_is_named(tmp_path, capsys):
    batching = yaml.safe_load(EXAMPLE.read_text(encoding="utf-8"))["batching"]
    path = written(tmp_path, batching={**batching, "mode": "Fixed"})
    assert answer(capsys, "--scenario", path)["algorithm"]["name"] == "Fixed"
    found = answer(capsys, "--scenario", path, "--algorithm", "Trend")["algorithm"]
    assert (found["name"], found["changesByActuator"]) == ("Trend", {"Reload": 2})


def test_the_live_cap_changes_the_bound(tmp_path, capsys):
    path = written(tmp_path, liveCap=True)
    assert answer(capsys, "--scenario", path)["algorithm"]["changesByActuator"] == {"LiveCap": 2}


@pytest.mark.parametrize(
    ("needs", "words", "fields"),
    [
        pytest.param(
            Replicas(3),
            "3 replicas would meet them",
            {"replicas": 3, "unattainable": None},
            id="a number",
        ),
        pytest.param(
            Unattainable("it is too slow"),
            "it is too slow",
            {"replicas": None, "unattainable": "it is too slow"},
            id="or why there is none",
        ),
    ],
)
def test_a_lack_of_capacity_is_told(tmp_path, capsys, monkeypatch, needs, words, fields):
    def lacking(_spec, _objectives, applied, _window, state, **_):
        return TuneDecision(applied, Reason.NEEDS_CAPACITY, "too much", state, needs=needs)

    monkeypatch.setattr(simulate, "tune", lacking)
    path = written(tmp_path, windows=3)
    assert ferryman("--scenario", path) == 0
    assert f"; NeedsCapacity: objectives missed, {words}" in capsys.readouterr().out
    found = answer(capsys, "--scenario", path)["algorithm"]["needsCapacity"]
    assert found == {"window": 1, "atSeconds": 5.0, **fields}


@pytest.mark.parametrize("algorithm", [name for name in simulate.ALGORITHMS if name != "Fixed"])
def test_every_algorithm_of_the_api_can_be_simulated(capsys, algorithm):
    found = answer(capsys, "--scenario", EXAMPLE, "--algorithm", algorithm)
    assert found["algorithm"]["name"] == algorithm


def test_seed_and_replicas_can_be_chosen(capsys):
    first = answer(capsys, "--scenario", EXAMPLE, "--seed", "1")
    other = answer(capsys, "--scenario", EXAMPLE, "--seed", "2", "--replicas", "2")
    assert (first["seed"], first["replicas"]) == (1, 1)
    assert (other["seed"], other["replicas"]) == (2, 2)
    assert first["initial"]["attainment"] < 0.05
    assert other["initial"]["attainment"] > 0.99, "two pods have enough capacity together"
    assert first["initial"]["offered"] != other["initial"]["offered"]


def test_what_converged_is_told(tmp_path, capsys):
    path = written(tmp_path, arrivals={"poisson": {"ratePerSecond": 100}}, windows=3)
    assert ferryman("--scenario", path) == 0
    told = capsys.readouterr().out
    assert "Trend: within 5 % of the oracle after 0 of 3 windows; device time in the" in told


def test_without_requests_there_are_no_latencies(tmp_path, capsys):
    silence = {"steps": [{"seconds": 1, "ratePerSecond": 0}]}
    assert ferryman("--scenario", written(tmp_path, arrivals=silence, windows=1)) == 0
    told = capsys.readouterr().out
    assert "0 requests in 5 s" in told
    assert told.count(" - ") == 16


def test_a_trace_is_read_beside_the_scenario(tmp_path, capsys):
    (tmp_path / "gaps.txt").write_text("# seconds\n0.5\n\n0.25\n")
    path = written(tmp_path, arrivals={"trace": {"file": "gaps.txt"}})
    assert answer(capsys, "--scenario", path)["initial"]["offered"] == 199


@pytest.mark.parametrize(
    ("gaps", "words"),
    [
        pytest.param("0.5\nsoon\n", "gaps.txt: line 2: 'soon' is no number of", id="a word"),
        pytest.param("0.5\nnan\n", "gaps.txt: line 2: 'nan' is no number of", id="not a number"),
        pytest.param("inf\n", "gaps.txt: line 1: 'inf' is no number of", id="for ever"),
        pytest.param("-1\n", "gaps.txt: line 1: '-1' is no number of", id="backwards"),
        pytest.param("1e308\n1e308\n", "seconds from 0 to 1_000_000_000", id="30 years and more"),
        pytest.param("0\n0\n", "gaps.txt: no line has a gap of more than 0", id="zeros"),
        pytest.param("# none\n", "gaps.txt: no line has a gap of more than 0", id="no gap"),
        pytest.param(None, "gaps.txt cannot be read", id="no file"),
    ],
)
def test_an_unusable_trace_is_named(tmp_path, capsys, gaps, words):
    if gaps is not None:
        (tmp_path / "gaps.txt").write_text(gaps)
    path = written(tmp_path, arrivals={"trace": {"file": "gaps.txt"}})
    assert ferryman("--scenario", path) == 2
    assert words in capsys.readouterr().err


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        pytest.param(
            {"arrivals": {"steps": [{"seconds": 5, "ratePerSecond": "fast"}]}},
            "scenario.yaml: arrivals.steps[0].ratePerSecond: must be a number",
            id="in a list",
        ),
        pytest.param({"serviceTime": None}, "scenario.yaml: serviceTime: is required", id="none"),
        pytest.param(
            {"config": {"max_batch": 5}},
            "scenario.yaml: config: max_batch is no field of Triton's ModelConfig",
            id="of Triton's, misspelt",
        ),
        pytest.param({"seeds": 1}, "scenario.yaml: seeds: there is no such field", id="misspelt"),
        pytest.param(
            {"batching": {"initial": {"maxBatchSize": 99}}},
            "batching.initial.maxBatchSize must lie within batching.limits.maxBatchSize",
            id="together",
        ),
        pytest.param(
            {"windows": 0, "seed": -1}, "scenario.yaml: seed: must be 0 or more", id="two at once"
        ),
    ],
)
def test_a_malformed_field_is_named(tmp_path, capsys, fields, words):
    assert ferryman("--scenario", written(tmp_path, **fields)) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert words in told.err
    assert all(line.startswith("ferryman simulate: ") for line in told.err.splitlines())


@pytest.mark.parametrize(
    ("content", "words"),
    [
        pytest.param(b"a: [", "is neither JSON nor YAML", id="no YAML"),
        pytest.param(b"\xff\xfe\x00", "cannot be read", id="no text"),
        pytest.param(b"just words", "the whole file: must be fields", id="no mapping"),
        pytest.param(None, "cannot be read", id="no file"),
    ],
)
def test_what_is_no_scenario_is_refused(tmp_path, capsys, content, words):
    path = tmp_path / "scenario.yaml"
    if content is not None:
        path.write_bytes(content)
    assert ferryman("--scenario", path) == 2
    assert words in capsys.readouterr().err


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        pytest.param("--seed", "-1", "must be 0 or more", id="seed"),
        pytest.param("--replicas", "0", "must be from 1 to 100", id="replicas"),
        pytest.param("--algorithm", "Magic", "invalid choice", id="algorithm"),
    ],
)
def test_a_wrong_option_is_a_usage_error(capsys, option, value, words):
    with pytest.raises(SystemExit) as ended:
        ferryman("--scenario", EXAMPLE, option, value)
    assert ended.value.code == 2
    assert words in capsys.readouterr().err


def test_long_work_tells_how_far_it_is(monkeypatch, capsys):
    monkeypatch.setattr(simulate, "PROGRESS_EVERY_S", 0.0)
    assert ferryman("--scenario", EXAMPLE) == 0
    assert "ferryman simulate: 3 of at most 32 static configurations" in capsys.readouterr().err


def test_long_work_says_about_how_long_the_rest_takes(monkeypatch, capsys):
    monkeypatch.setattr(simulate, "PROGRESS_EVERY_S", 0.0)
    assert ferryman("--scenario", EXAMPLE) == 0
    assert re.search(r"static configurations, at most \d+ s left", capsys.readouterr().err)


def test_a_terminal_shows_a_bar_with_what_is_left(monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    assert ferryman("--scenario", EXAMPLE) == 0
    told = capsys.readouterr().err
    assert "static configurations" in told
    assert "at most" in told


def test_the_oracle_can_be_left_out(capsys):
    found = answer(capsys, "--scenario", EXAMPLE, "--no-oracle")
    assert (found["oracle"], found["algorithm"]["windowsToConverge"]) == (None, None)
    assert ferryman("--scenario", EXAMPLE, "--no-oracle") == 0
    told = capsys.readouterr().out
    assert "oracle" not in told
    assert "Trend: changes: 2 Reload" in told


def test_the_oracle_can_be_found_among_fewer_and_that_is_said(capsys):
    found = answer(capsys, "--scenario", EXAMPLE, "--oracle", "9")["oracle"]
    # Where tuning starts is tried as well.
    assert (found["tried"], found["configurations"]) == (10, 32)
    assert ferryman("--scenario", EXAMPLE, "--oracle", "9") == 0
    assert "the oracle is the best of 10 configurations out of 32" in capsys.readouterr().out


def test_all_configurations_are_tried_where_that_is_asked_for(capsys):
    sought = answer(capsys, "--scenario", EXAMPLE)["oracle"]
    assert sought["tried"] < sought["configurations"]
    every = answer(capsys, "--scenario", EXAMPLE, "--oracle", "ALL")["oracle"]
    assert every["tried"] == every["configurations"] == 32
    assert every["batching"] == sought["batching"]


def test_an_optimum_between_coarse_steps_is_found(tmp_path, capsys):
    """On this plateau batches of 16 serve all that is asked for; of 12 or 24 they do not."""
    path = written(
        tmp_path,
        serviceTime={
            "knots": [
                {"batchSize": 1, "milliseconds": 12.5},
                {"batchSize": 16, "milliseconds": 13},
                {"batchSize": 128, "milliseconds": 325},
            ]
        },
        arrivals={"poisson": {"ratePerSecond": 960}},
        objectives={"latency": {"percentile": 99, "targetMilliseconds": 65}},
        batching={"limits": {"maxBatchSize": {"min": 1, "max": 128}}},
        windows=4,
    )
    found = answer(capsys, "--scenario", path)
    assert found["oracle"]["batching"]["maxBatchSize"] == 16
    assert found["oracle"]["attainment"] > 0.99
    assert ferryman("--scenario", path) == 0
    assert "device time in the second half" in capsys.readouterr().out


@pytest.mark.parametrize("number", ["0", "some", "-1"])
def test_the_oracle_needs_a_number_of_configurations(capsys, number):
    with pytest.raises(SystemExit) as ended:
        ferryman("--scenario", EXAMPLE, f"--oracle={number}")
    assert ended.value.code == 2
    assert "argument --oracle" in capsys.readouterr().err


def test_the_first_example_of_the_help_works_as_it_stands():
    lines = simulate.EPILOG.splitlines()
    first = lines[lines.index("examples:") + 1 : lines.index("  END") + 1]
    script = "\n".join(line.strip() for line in first)
    called = script.replace("ferryman", f"{sys.executable} -m ferryman.cli.main", 1)
    ended = subprocess.run(
        ["bash", "-c", called], capture_output=True, text=True, timeout=120, check=False
    )
    assert (ended.returncode, "oracle" in ended.stdout) == (0, True), ended.stderr


def test_what_own_scaling_does_is_told(tmp_path, capsys):
    """A request takes 300 ms, whatever batch it is in: one pod cannot serve five in a second."""
    path = written(
        tmp_path,
        serviceTime={"coefficients": {"t0": 300, "a": 0.001}},
        arrivals={"poisson": {"ratePerSecond": 5}},
        objectives={"latency": {"targetMilliseconds": 3000}},
        batching={"limits": {"maxBatchSize": {"max": 1}, "instances": {"max": 1}}},
        scaling={"maxReplicas": 4},
        windows=6,
    )
    told = answer(capsys, "--scenario", path, "--no-oracle")["algorithm"]["scaling"]
    assert told["changes"][0]["reason"] == "MoreNeeded"
    assert (told["changes"][0]["before"], told["podSeconds"] > 0) == (1, True)
    assert ferryman("--scenario", path, "--no-oracle") == 0
    shown = capsys.readouterr().out
    assert "replicas: changed" in shown
    assert "MoreNeeded" in shown
    assert "no batching of 1 replica meets" in " ".join(shown.split()), "the table says why"


def test_a_model_with_a_large_warm_up_is_simulated_as_it_would_be_served(tmp_path, capsys):
    warm_up = {"model_warmup": [{"name": "w", "batch_size": 100}]}
    found = answer(capsys, "--scenario", written(tmp_path, config=warm_up, windows=2))
    assert found["initial"]["batching"]["maxBatchSize"] == 100


def test_what_the_owner_stated_holds_for_every_contender(tmp_path, capsys):
    stated = {"dynamic_batching": {"default_queue_policy": {"max_queue_size": 10}}}
    found = answer(capsys, "--scenario", written(tmp_path, config=stated, windows=2))
    contenders = ("initial", "largest", "oracle")
    assert [found[each]["batching"]["maxQueueSize"] for each in contenders] == [10, 10, 10]
