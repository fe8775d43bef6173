import json

import pytest

from ferryman.cli.main import main


def test_without_a_node_name_run_says_how_to_give_one(capsys, monkeypatch):
    monkeypatch.delenv("NODE_NAME", raising=False)
    assert main(["agent", "run"]) == 2
    assert "--node NAME, or NODE_NAME" in capsys.readouterr().err


def test_discover_prints_what_would_be_published(capsys, tmp_path):
    arguments = ["--cpu", "1500m", "--memory", "4Gi", "--cgroup-root", str(tmp_path)]
    assert main(["agent", "discover", *arguments]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["hardware"]["cpuMillicores"] == 1500
    assert shown["hardware"]["memoryBytes"] == 4 * 2**30
    assert f"{tmp_path} is not a cgroup file system" in shown["notes"][0]


def test_benchmark_writes_its_failure_and_ends_with_1(capsys, tmp_path):
    result = tmp_path / "result"
    arguments = [
        "--url=127.0.0.1:9",
        "--model=m",
        "--ready-timeout-seconds=0",
        f"--result={result}",
    ]
    assert main(["agent", "benchmark", *arguments]) == 1
    assert "model m is not ready" in json.loads(result.read_text())["error"]
    assert capsys.readouterr().out.splitlines()[0] == "waiting for model m at 127.0.0.1:9"


def test_the_command_needs_a_part(capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["agent"])
    assert "PART" in capsys.readouterr().err


def test_errors_to_ignore_reach_the_agent(monkeypatch):
    seen = []
    monkeypatch.setattr("ferryman.agent.run.run", lambda settings, _: seen.append(settings) or 0)
    assert main(["agent", "run", "--node", "n", "--ignore-xids", "94, 63"]) == 0
    assert main(["agent", "run", "--node", "n", "--ignore-xids="]) == 0
    assert [each.ignored_xids for each in seen] == [{94, 63}, frozenset()]


@pytest.mark.parametrize("text", ["ninety", "94;63", "-1", "²", "9" * 5_000])
def test_errors_to_ignore_that_are_no_numbers_are_refused_in_a_sentence(text, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["agent", "run", "--node", "n", f"--ignore-xids={text}"])
    assert "is no list of numbers: write for example 94,63" in capsys.readouterr().err
