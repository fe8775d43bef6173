"""The decision journal as a table, as a plot in the terminal and as a picture."""

import json
from xml.etree import ElementTree as ET

import pytest

from ferryman.api.batching import Batching
from ferryman.api.inference_model_status import (
    BatchingChange,
    BatchingStatus,
    InferenceModelStatus,
)
from ferryman.api.pipelines.inference_pipeline_status import (
    BalancingChange,
    BalancingStatus,
    InferencePipelineStatus,
    StepAssignment,
)
from ferryman.cli import main
from ferryman.cli.looking import history_view
from tests import factories


def change(minute, before, after, outcome="Applied"):
    return BatchingChange(
        time=f"2026-01-01T00:{minute:02}:00Z",
        before=Batching(max_batch_size=before),
        after=Batching(max_batch_size=after),
        actuator="LiveCap",
        reason="Saturated",
        message="batches are full",
        outcome=outcome,
    )


#: As the status has them: the newest first.
CHANGES = (change(20, 32, 64, "Refused"), change(10, 8, 32), change(0, 4, 8))
STATUS = InferenceModelStatus(batching=BatchingStatus(changes=CHANGES))
STEP = StepAssignment(step="detect", instances=2, max_batch_size=4)
BALANCED = InferencePipelineStatus(
    balancing=BalancingStatus(
        changes=(
            BalancingChange(
                time="2026-01-01T00:00:00Z",
                before=(STEP.with_(instances=1),),
                after=(STEP,),
                reason="LimitingStep",
                message="it limits",
                outcome="Applied",
            ),
        )
    )
)


@pytest.fixture
def model(monkeypatch):
    """Let the cluster have a model whose batching was changed three times."""
    found = factories.model(status=STATUS)
    monkeypatch.setattr("ferryman.cli.gather.gather_object", lambda *_: found)


def test_changes_are_listed_the_oldest_first_with_what_came_of_them(model, capsys):
    assert main.main(["history", "resnet50", "-o", "wide"]) == 0
    said = capsys.readouterr().out

    assert said.index("00:00:00Z") < said.index("00:10:00Z") < said.index("00:20:00Z")
    assert "Refused" in said
    assert "batches are full" in said


def test_the_bound_in_force_follows_what_was_applied_alone():
    entries = history_view.of_model(STATUS)

    assert history_view.steps(entries) == [(0, 4), (0, 8), (600, 32), (1200, 32)]


def test_the_terminal_shows_the_bound_over_time(model, capsys):
    main.main(["history", "resnet50"])
    [line] = [x for x in capsys.readouterr().out.splitlines() if x.startswith("max_batch_size")]

    assert line.endswith("4 to 32, over 1200 s")
    assert line.split()[1][0] == "▁"
    assert line.split()[1][-1] == "█"


def test_programs_get_every_change(model, capsys):
    main.main(["history", "resnet50", "-o", "json"])

    assert [each["outcome"] for each in json.loads(capsys.readouterr().out)] == [
        "Applied",
        "Applied",
        "Refused",
    ]


def test_the_picture_has_each_change_with_its_reason(model, tmp_path):
    path = tmp_path / "bound.svg"
    assert main.main(["history", "resnet50", "--plot", str(path)]) == 0
    picture = ET.fromstring(path.read_text(encoding="utf-8"))  # noqa: S314  our own
    titles = [each.text for each in picture.iter("{http://www.w3.org/2000/svg}title")]

    assert len(titles) == 3
    assert all("Saturated" in title for title in titles)


def test_a_pipelines_journal_has_its_steps(monkeypatch, capsys):
    found = factories.pipeline(status=BALANCED)
    monkeypatch.setattr("ferryman.cli.gather.gather_object", lambda *_: found)

    assert main.main(["history", "chain", "--pipeline"]) == 0
    said = capsys.readouterr().out
    assert "detect 2 x 4" in said
    assert "max_batch_size" not in said


def test_of_a_model_that_was_never_changed_that_is_said(monkeypatch, capsys):
    monkeypatch.setattr("ferryman.cli.gather.gather_object", lambda *_: factories.model())

    assert main.main(["history", "resnet50"]) == 0
    assert "Nothing was changed yet." in capsys.readouterr().out
    assert main.main(["history", "resnet50", "--plot", "x.svg"]) == 1


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param([], id="no model"),
        pytest.param(["m", "--snapshot", "f"], id="both"),
        pytest.param(["m", "--pipeline", "--plot", "x.svg"], id="a plot of a pipeline"),
    ],
)
def test_what_does_not_go_together_is_refused(arguments):
    assert main.main(["history", *arguments]) == 2
