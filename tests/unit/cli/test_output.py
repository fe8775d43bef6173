"""``-o table|wide|json|yaml`` means the same at every command that shows something."""

import json

import pytest
import yaml

from ferryman.cli import main, output
from tests.unit.cli import commands

SHOWING = ("explain", "doctor", "nodes", "place", "simulate", "benchmark")


@pytest.mark.parametrize("command", SHOWING)
def test_json_and_yaml_say_the_same(command, monkeypatch, capsys):
    commands.stand_in(monkeypatch)
    arguments = commands.printing("")[command]
    said = {}
    for form in ("json", "yaml"):
        main.main([*arguments, "-o", form])
        said[form] = capsys.readouterr().out

    assert json.loads(said["json"]) == yaml.safe_load(said["yaml"])
    assert json.loads(said["json"])
    assert "!!python" not in said["yaml"]


@pytest.mark.parametrize("form", ["table", "wide"])
def test_tables_are_for_people(form, capsys):
    assert not output.data(form, {"a": 1})
    assert capsys.readouterr().out == ""
