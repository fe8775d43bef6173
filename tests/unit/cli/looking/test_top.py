"""What serves, the worst first."""

import json

import pytest
from rich.console import Console

from ferryman.api.conditions import Condition
from ferryman.api.inference_model_status import (
    InferenceModelStatus,
    ObservedStatus,
    PlacementStatus,
)
from ferryman.cli import main, terminal
from ferryman.cli.looking import top, top_view
from tests import factories


def condition(kind, status):
    return Condition(
        type=kind,
        status=status,
        reason="Serving",
        message="",
        last_transition_time="2026-01-01T00:00:00Z",
    )


def model(name, *, ready="True", met="True", latency_ms=10.0):
    status = InferenceModelStatus(
        conditions=(condition("Ready", ready), condition("ObjectivesMet", met)),
        observed=ObservedStatus(latency_milliseconds=latency_ms, inferences_per_second=12_345),
    )
    return factories.model(name, status=status)


MODELS = [
    model("fine"),
    model("close", latency_ms=49.0),
    model("missed", met="False", latency_ms=60.0),
    model("down", ready="False", met="Unknown"),
]


def test_the_worst_come_first_and_what_is_unknown_last():
    found = top_view.rows(MODELS, [factories.pipeline()])

    assert [row.name for row in found] == ["down", "missed", "close", "fine", "chain"]


@pytest.fixture
def cluster(monkeypatch):
    """Let the cluster have four models and a pipeline."""
    served = MODELS, [factories.pipeline()]
    monkeypatch.setattr("ferryman.cli.gather.gather_served", lambda *_: served)


def test_into_a_pipe_it_is_shown_once(cluster, capsys):
    assert main.main(["top", "-o", "wide"]) == 0
    said = capsys.readouterr().out

    assert "12,345" in said
    assert "Serving" in said


def test_programs_get_rows_with_names_as_the_api_has_them(cluster, capsys):
    assert main.main(["top", "-o", "json"]) == 0
    [first, *_] = json.loads(capsys.readouterr().out)

    assert (first["name"], first["objectivesMet"], first["perSecond"]) == (
        "down",
        "Unknown",
        12_345,
    )


def test_on_a_terminal_it_is_shown_anew_until_ctrl_c(cluster, monkeypatch, capsys):
    pauses = []

    def pause(seconds):
        pauses.append(seconds)
        if len(pauses) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(top.time, "sleep", pause)
    monkeypatch.setattr(top, "console", lambda: Console(force_terminal=True, width=120))

    assert main.main(["top", "--interval", "5"]) == 0
    assert pauses == [5, 5, 5]
    assert "missed" in capsys.readouterr().out


HOSTILE = "\x1b]0;owned\x07\x9b31m\u202egnp\x08"


def test_no_control_character_of_a_status_reaches_a_live_screen(monkeypatch, capsys):
    placed = PlacementStatus(
        node_type=HOSTILE, processor="cpu", reason="LeastWorkload", message=HOSTILE
    )
    found = model("fine")
    found = found.with_(status=found.status.with_(placement=placed))
    screen = terminal._PrintableConsole(force_terminal=True, width=200, highlight=False)

    with top_view.live(screen, top_view.rows([found], []), wide=True) as show:
        show(top_view.rows([found, model("close")], []))

    said = capsys.readouterr().out
    assert "owned" in said
    assert not [each for each in ("\x1b]", "\x07", "\x9b", "\u202e", "\x08") if each in said]
