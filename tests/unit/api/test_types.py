import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from ferryman.api.base import MAX_MESSAGE, printable
from ferryman.api.conditions import Condition
from ferryman.api.inference_model import InferenceModelSpec
from ferryman.api.inference_model_status import InferenceModelStatus
from ferryman.api.inference_runtime import InferenceRuntimeSpec
from ferryman.api.node_profile import BenchmarkPoint, NodeProfileStatus, Processor
from ferryman.api.pipelines.inference_pipeline import InferencePipelineSpec
from ferryman.api.pipelines.inference_pipeline_status import InferencePipelineStatus
from hack.generate.schema import structural_schema
from tests.unit.api.schemas import examples, validator

PARTS = (
    InferenceModelSpec,
    InferenceModelStatus,
    InferencePipelineSpec,
    InferencePipelineStatus,
    InferenceRuntimeSpec,
    NodeProfileStatus,
)
SCHEMAS = {part: structural_schema(part, defaults=False) for part in PARTS}
MANY = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))


@pytest.mark.parametrize("part", PARTS)
def test_what_the_schema_accepts_the_type_reads_and_writes_back_unchanged(part):
    @MANY
    @given(wire=examples(SCHEMAS[part]))
    def check(wire):
        validator(SCHEMAS[part]).validate(wire)
        value = part.model_validate(wire)
        written = value.as_dict()
        validator(SCHEMAS[part]).validate(written)
        assert part.model_validate(written) == value
        assert part.model_validate(written).as_dict() == written

    check()


@given(text=st.text(min_size=MAX_MESSAGE, max_size=MAX_MESSAGE + 50))
def test_a_long_message_is_cut_not_refused(text):
    cut, words = condition(message=text).message, printable(text)
    assert len(cut) == MAX_MESSAGE
    assert cut == words or (cut.endswith("…") and words.startswith(cut[:-1]))


def test_an_unknown_field_is_ignored_on_reading():
    assert Condition.model_validate(condition().as_dict() | {"later": 1}) == condition()


def test_what_is_absent_is_not_written_as_null():
    assert "utilisation" not in Processor(processor_class="cpu", product="x").as_dict()


@pytest.mark.parametrize(("stated", "read"), [(0, None), (101, None), (3, 3), (100, 100)])
def test_the_codes_of_earlier_versions_are_read_as_no_number_of_replicas(stated, read):
    status = InferenceModelStatus.model_validate({"batching": {"neededReplicas": stated}})
    assert status.batching.needed_replicas == read


@pytest.mark.parametrize("number", [0, -1, float("nan"), float("inf"), 1e308])
def test_a_point_of_the_performance_table_must_be_a_sane_number(number):
    sane = {"batch_size": 1, "latency_p50_milliseconds": 1, "latency_p99_milliseconds": 1}
    with pytest.raises(ValidationError, match="images_per_second"):
        BenchmarkPoint(images_per_second=number, **sane)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        pytest.param("\x1b[2Jgone", "\\u001b[2Jgone", id="a screen that is to be cleared"),
        pytest.param("a\rb", "a\\u000db", id="a line that is to be written over"),
        pytest.param("\u202etxt.exe", "\\u202etxt.exe", id="a direction that is to be turned"),
        pytest.param("two\nlines", "two\nlines", id="lines stay lines"),
    ],
)
def test_a_message_of_a_server_cannot_steer_the_terminal_of_who_reads_it(text, shown):
    assert condition(message=text).message == shown
    assert condition(message=shown).message == shown


def condition(**fields):
    base = {"type": "Ready", "status": "True", "reason": "Serving", "message": ""}
    return Condition(**base | {"last_transition_time": "2026-11-21T13:00:00Z"} | fields)
