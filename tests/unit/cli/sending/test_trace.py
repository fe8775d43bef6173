"""``ferryman trace``: bars, JSON, and pipelines that do not serve."""

import pytest

from ferryman.api.base import Metadata
from ferryman.api.pipelines.inference_pipeline import InferencePipeline
from ferryman.api.statistics import Counted
from ferryman.cli.errors import Fault
from ferryman.cli.main import main
from ferryman.cli.sending import trace
from ferryman.core.pipelines.reporting.waterfall import StepSpan, waterfall
from hack.models.ocr import pipeline

MS = 1_000_000


def span(begins_ms, queue_ms, compute_ms):
    return StepSpan("s", begins_ms, queue_ms, 0, compute_ms, 0)


@pytest.mark.parametrize(
    ("shown", "bar"),
    [
        pytest.param(span(0, 16, 16), "░" * 16 + "█" * 16, id="half of it waits"),
        pytest.param(span(16, 0, 16), "·" * 16 + "█" * 16, id="it begins in the middle"),
        pytest.param(span(8, 0, 0.1), "·" * 8 + "█", id="what is too short to be seen is seen"),
    ],
)
def test_a_bar_stands_where_its_step_stands_in_the_request(shown, bar):
    assert trace.bar(shown, 32) == bar


def test_json_has_every_step_and_which_were_waited_for():
    counted = Counted(1, queue_ns=3 * MS, infer_ns=9 * MS, total_ns=30 * MS)
    steps = {"read": (), "join": ("read",)}
    found = trace.as_json("m", waterfall(steps, counted, dict.fromkeys(steps, counted)))

    assert (found["pipeline"], found["requests"]) == ("m", 1)
    assert (found["totalMilliseconds"], found["betweenStepsMilliseconds"]) == (30, 6)
    assert found["critical"] == ["read", "join"]
    assert [step["beginsMilliseconds"] for step in found["steps"]] == [0, 12]


def stated(conditions):
    stated = pipeline.spec(lambda name: f"oci://x/{name}:1", {"throughput": {"minPerSecond": 1}})
    body = {
        "metadata": Metadata(name="ocr", namespace="demo"),
        "spec": stated,
        "status": {"conditions": conditions},
    }
    return InferencePipeline.model_validate(body)


def ready(status, reason="Loading", message="the steps are being loaded"):
    return {
        "type": "Ready",
        "status": status,
        "reason": reason,
        "message": message,
        "lastTransitionTime": "2026-11-30T12:00:00Z",
    }


@pytest.mark.parametrize(
    ("conditions", "words"),
    [
        pytest.param([], "demo/ocr does not serve: the operator has said nothing", id="unseen"),
        pytest.param(
            [ready("False")],
            "demo/ocr does not serve: Loading: the steps are being loaded",
            id="its condition's words",
        ),
    ],
)
def test_a_pipeline_that_does_not_serve_is_refused_with_the_reason(conditions, words):
    with pytest.raises(Fault, match=words):
        trace.check_serves(stated(conditions))


def test_a_pipeline_that_serves_is_traced():
    trace.check_serves(stated([ready("True")]))


def test_traced_is_over_grpc_only(capsys):
    assert main(["trace", "m", "--url", "http://127.0.0.1:9"]) == 2
    assert "over gRPC" in capsys.readouterr().err


def test_a_server_that_does_not_answer_does_not_serve(capsys):
    assert main(["trace", "m", "--url", "grpc://127.0.0.1:9"]) == 1
    assert "m does not serve: " in capsys.readouterr().err
