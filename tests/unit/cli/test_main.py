import subprocess
import sys
from pathlib import Path

import pytest

from ferryman.cli.main import COMMANDS, main

SNAPSHOT = Path(__file__).parents[2] / "data" / "snapshot.yaml"


@pytest.mark.parametrize("command", COMMANDS, ids=str)
def test_every_command_explains_itself(command, capsys):
    with pytest.raises(SystemExit) as ended:
        main([command, "--help"])

    assert ended.value.code == 0
    assert f"{command} " in capsys.readouterr().out


def test_the_commands_are_listed_with_what_they_do(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    told = capsys.readouterr().out

    for name, command in COMMANDS.items():
        assert name in told
        assert command.summary in told


@pytest.mark.parametrize("arguments", [[], ["unknown"]], ids=["none", "an unknown one"])
def test_without_a_command_there_is_a_usage_error(arguments, capsys):
    with pytest.raises(SystemExit) as ended:
        main(arguments)

    assert ended.value.code == 2
    assert "usage: ferryman" in capsys.readouterr().err


def test_where_there_is_not_enough_memory_it_is_said(monkeypatch, capsys):
    def run(_):
        raise MemoryError

    monkeypatch.setattr("ferryman.cli.place.run", run)
    assert main(["place", "--snapshot", "FILE"]) == 1
    assert capsys.readouterr().err == (
        "ferryman place: there is not enough memory for it: ask for less at once\n"
    )


def test_a_reader_that_has_seen_enough_is_not_worth_a_word():
    explain = [sys.executable, "-m", "ferryman.cli.main", "explain"]
    writer = subprocess.Popen(
        [*explain, "--snapshot", SNAPSHOT, "--output", "json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    writer.stdout.close()
    _, said = writer.communicate(timeout=30)

    assert (writer.returncode, said) == (141, b"")
