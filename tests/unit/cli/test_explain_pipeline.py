"""What ``ferryman explain --pipeline`` shows: where it is, what steps do, which one limits."""

import pytest
from rich.console import Console

from ferryman.api.inference_model_status import FewerReplicas
from ferryman.api.pipelines.step import ModelRef
from ferryman.cli import main
from ferryman.cli.explaining import explain_pipeline
from tests import factories
from tests.unit.core.pipelines.cutting.test_decision import fast, subject
from tests.unit.core.pipelines.scenes import (
    pipeline,
    planned,
    serving_snapshot,
    snapshot,
    window,
)
from tests.unit.core.pipelines.test_distribution import seen


def explained(found):
    explanation, subject = explain_pipeline.explain(found, factories.NOW)
    console = Console(width=160, no_color=True)
    with console.capture() as capture:
        explain_pipeline.show(explanation, subject, console)
    return capture.get(), explain_pipeline.as_json(explanation, subject)


def line(text, *words):
    """Return the first line that has all the words."""
    found = next(each for each in text.splitlines() if all(word in each for word in words))
    return " ".join(found.replace("│", " ").split())


def balanced():
    """Return a pipeline as its status tells of it after a window."""
    seen = planned(serving_snapshot(), window=window(1000, detect=9.0)).status
    return pipeline(status=seen)


def test_each_step_is_shown_and_which_one_limits():
    shown, told = explained(snapshot(balanced()))
    assert line(shown, "Placed on") == "Placed on cpu-small (cpu)"
    assert line(shown, "→", "detect") == "→ detect 1 64 9 2 90% 1"
    assert line(shown, "Workers") == "Workers prepare=1 detect=1 read=1"
    assert line(shown, "Execution").startswith("Execution Ensemble, OneServerFits: one server")
    assert line(shown, "One more").startswith("One more detect, ")
    assert line(shown, "Replicas needed") == "Replicas needed 1"
    assert line(shown, "Observed").startswith("Observed latency 40 ms, 100 requests/s, 0 failed")
    assert told["limitingStep"] == "detect"
    assert [each["name"] for each in told["steps"]] == ["prepare", "detect", "read"]


def test_which_weights_serve_is_said_and_why_not_the_others():
    variants = [
        {"name": "int8", "storageUri": "pvc://m/int8", "accuracy": "0.889"},
        {
            "name": "half",
            "storageUri": "pvc://m/half",
            "accuracy": "0.999",
            "speeds": [{"processor": "cpu", "speedup": "1.3"}],
        },
    ]
    steps = [
        factories.pipeline_step("detect", "image", variants=variants),
        factories.pipeline_step("read", "detect.output"),
    ]
    subject = factories.pipeline(steps=steps, accuracy_floor="0.95")
    seen = planned(snapshot(subject)).status
    shown, told = explained(snapshot(subject.with_(status=seen)))
    assert "→ half FastestVariant" in line(shown, "detect", "half")
    assert "int8 BelowAccuracyFloor" in line(shown, "detect", "int8")
    assert told["steps"][0]["variant"]["name"] == "half"


def test_ways_to_put_the_steps_on_servers_are_shown_with_their_times():
    shown, told = explained(seen(subject(), fast()))
    assert line(shown, "A call") == "A call 2 ms, and 100 MiB/s"
    assert line(shown, "Execution").startswith("Execution Ensemble, OneServerFits: one server")
    table = shown[shown.index("Servers") :]
    assert line(table, "→", "cpu").startswith("→ cpu-small (cpu) - 100 0 OneServerFits")
    assert line(table, "CutGains").startswith("cpu-small (cpu) detect 30 2 CutGains")
    assert told["execution"]["cut"]["state"] == "Wanted"
    shown, _ = explained(snapshot(balanced()))
    assert "Servers" not in shown, "there is nothing to compare"
    assert "A call" not in shown


def test_a_change_is_shown_step_by_step():
    seen = balanced()
    change = {
        "time": factories.at(-5),
        "before": [{"step": "detect", "instances": 1}],
        "after": [{"step": "detect", "instances": 3}],
        "reason": "LimitingStep",
        "message": "detect limits",
        "outcome": "Applied",
    }
    balancing = seen.status.balancing.as_dict() | {"changes": [change]}
    status = type(seen.status).model_validate(seen.status.as_dict() | {"balancing": balancing})
    shown, _ = explained(snapshot(seen.with_(status=status)))
    assert "detect=1 detect=3 Applied LimitingStep" in line(shown, "detect=3")


def test_a_pipeline_that_nobody_looked_at_is_decided_about():
    shown, told = explained(snapshot(factories.pipeline()))
    assert line(shown, "Placed on") == "Placed on cpu-small (cpu, test cpu)"
    assert line(shown, "Observed") == "Observed nothing yet"
    assert told["steps"] == []


@pytest.mark.parametrize(
    ("steps", "fields", "words"),
    [
        pytest.param(
            [factories.pipeline_step("read", "imag")],
            {},
            "read input UnknownInput",
            id="a wire that nobody makes",
        ),
        pytest.param(
            [factories.pipeline_step("read", "image", model=None, model_ref=ModelRef(name="gone"))],
            {},
            "read - ModelNotFound",
            id="a model that is not there",
        ),
    ],
)
def test_faults_are_shown_with_what_to_do(steps, fields, words):
    shown, told = explained(snapshot(factories.pipeline(steps=steps), **fields))
    assert line(shown, "Placed on") == "Placed on nothing"
    table = shown[shown.index("Faults") :]
    assert words in line(table, *words.split())
    assert len(told["faults"]) == 1


def test_without_a_runtime_it_is_nowhere():
    shown, _ = explained(snapshot(factories.pipeline(), runtime=None))
    assert "RuntimeNotFound" in line(shown, "Why")


def test_a_snapshot_file_is_no_pipelines(capsys):
    assert main.main(["explain", "--snapshot", "file", "--pipeline"]) == 2
    assert "snapshot files are of models" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        pytest.param(
            {"unattainable": "none would do"}, "no number would do: none would do", id="1"
        ),
        pytest.param(
            {"fewer_replicas": FewerReplicas(replicas=2, since=factories.at(-60))},
            f"3, 2 would do since {factories.at(-60)}",
            id="2",
        ),
    ],
)
def test_what_is_told_of_replicas(fields, words):
    status = balanced().status
    said = status.balancing.with_(desired_replicas=3, **fields)
    subject = pipeline(status=status.with_(balancing=said))
    shown, _ = explained(snapshot(subject))
    assert line(shown, "Replicas needed") == f"Replicas needed {words}"
