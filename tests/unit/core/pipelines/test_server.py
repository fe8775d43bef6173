"""A pipeline's server as placement, readiness and events see any."""

import pytest

from ferryman.api.conditions import Reason
from ferryman.api.inference_model import PlacementSpec
from ferryman.api.inference_model_status import ObservedStatus
from ferryman.api.model_source import Variant
from ferryman.api.pipelines.inference_pipeline_status import InferencePipelineStatus
from ferryman.api.pipelines.step import ModelRef, StepPlacement
from ferryman.core.errors import RejectedError
from ferryman.core.pipelines import server
from ferryman.core.pipelines.snapshot import PipelineSnapshot
from tests import factories

BOTH = factories.runtime(
    processors=[
        factories.runtime_processor("cpu", backends={"python": "python"}),
        factories.runtime_processor("gpu", backends={"onnx": "onnxruntime", "python": "python"}),
    ]
)


def classes(*steps, **spec):
    subject = factories.pipeline(steps=steps, **spec)
    return server.processors_for(subject, server.sources_of(subject, {}), BOTH)


STEP = factories.pipeline_step("detect", "image")
ONNX = factories.pipeline_step("read", "detect.output", model=factories.source())


@pytest.mark.parametrize(
    ("steps", "spec", "expected"),
    [
        pytest.param([STEP], {}, ("cpu", "gpu"), id="every class that serves its format"),
        pytest.param([STEP, ONNX], {}, ("gpu",), id="those alone that serve all formats"),
        pytest.param(
            [STEP], {"placement": PlacementSpec(processors=("gpu",))}, ("gpu",), id="as allowed"
        ),
        pytest.param(
            [STEP.with_(placement=StepPlacement(processors=("cpu",)))],
            {},
            ("cpu",),
            id="as a step allows",
        ),
        pytest.param(
            [
                ONNX.with_(
                    input_map={"input": "image"},
                    model=factories.source(
                        variants=(
                            Variant(
                                processor="cpu",
                                storage_uri="oci://registry.example/other:1",
                                model_format={"name": "python"},
                            ),
                        )
                    ),
                )
            ],
            {},
            ("cpu", "gpu"),
            id="a variant may fit where the model does not",
        ),
    ],
)
def test_the_classes_on_which_one_server_holds_all_steps(steps, spec, expected):
    assert classes(*steps, **spec) == expected


def test_without_any_it_is_said_which_step_is_in_the_way():
    only_cpu = STEP.with_(placement=StepPlacement(processors=("cpu",)))
    with pytest.raises(RejectedError) as caught:
        classes(only_cpu, ONNX)
    assert caught.value.reason == Reason.FORMAT_NOT_SUPPORTED
    assert "cpu: step read is onnx, served are python" in str(caught.value)
    assert "gpu: step detect allows cpu only" in str(caught.value)
    with pytest.raises(RejectedError, match=r"gpu: spec\.placement\.processors does not allow it"):
        classes(STEP, ONNX, placement=PlacementSpec(processors=("cpu",)))


def test_a_step_takes_its_files_from_the_model_that_it_names():
    referring = factories.pipeline_step("read", "detect.output", model_ref=ModelRef(name="m"))
    subject = factories.pipeline(steps=[STEP, referring.with_(model=None)])
    model = factories.model("m", model=factories.source("oci://registry.example/m:7"))
    found = server.sources_of(subject, {"m": model})
    assert found["read"].storage_uri == "oci://registry.example/m:7"
    assert set(server.sources_of(subject, {})) == {"detect"}


def test_its_server_has_its_key_and_not_a_models():
    found = server.as_server(factories.pipeline("digits"))
    assert found.key == factories.pipeline("digits").key
    assert found.key != factories.model("digits").key


def test_what_was_observed_is_the_same_in_both_forms():
    seen = ObservedStatus(
        latency_milliseconds=40.0, mean_latency_milliseconds=12.0, inferences_per_second=90.0
    )
    status = InferencePipelineStatus(observed=server.observed_of(seen))
    assert server.as_server(factories.pipeline(status=status)).status.observed == seen
    assert server.observed_of(None) is None
    assert server.as_server(factories.pipeline()).status.observed is None


def test_a_step_without_files_has_no_server():
    referring = factories.pipeline_step("read", "image", model=None, model_ref=ModelRef(name="m"))
    seen = PipelineSnapshot(pipeline=factories.pipeline(steps=[referring]))
    with pytest.raises(RejectedError, match="step read has no model"):
        server.server_of(seen, BOTH)
