"""Which weights a step runs with: the fastest variant that is accurate enough, as stated."""

import pytest

from ferryman.api.pipelines.inference_pipeline_status import InferencePipelineStatus
from ferryman.core.compression.variants import VariantReason
from tests import factories
from tests.unit.core.pipelines.scenes import pipeline, planned, snapshot


def variant(name, accuracy, speedup=None, on="cpu", **fields):
    speeds = [] if speedup is None else [{"processor": on, "speedup": speedup}]
    return {
        "name": name,
        "storageUri": f"pvc://models/{name}",
        "accuracy": accuracy,
        "speeds": speeds,
        **fields,
    }


def with_variants(*variants, floor="0.95"):
    step = factories.pipeline_step("detect", "image", variants=variants)
    steps = (step, factories.pipeline_step("read", "detect.output"))
    return pipeline(steps=steps, accuracy_floor=floor)


def decided(*variants, floor="0.95"):
    """Return what is said of the step's weights, and what its pods are made with."""
    plan = planned(snapshot(with_variants(*variants, floor=floor)))
    return plan.status.steps[0].variant, repr(plan.objects)


INT8 = variant("int8", "0.889", "2.2")
HALF = variant("half", "0.999", "1.3")


def test_what_is_below_the_floor_is_refused_and_another_serves():
    told, objects = decided(INT8, HALF)
    assert (told.name, told.reason) == ("half", VariantReason.FASTEST)
    assert "half serves: it is 1.3 times as fast" in told.message
    [refused] = told.refused
    assert (refused.name, refused.reason) == ("int8", VariantReason.BELOW_FLOOR)
    assert refused.message == "its accuracy, 0.889, is below the floor, 0.95"
    assert "'claimName': 'models'" in objects
    assert "half" in objects
    assert "int8" not in objects


@pytest.mark.parametrize(
    ("variants", "floor", "reason"),
    [
        pytest.param([INT8], "0.95", VariantReason.BELOW_FLOOR, id="below the floor"),
        pytest.param([HALF], None, VariantReason.NO_FLOOR, id="without a floor"),
        pytest.param(
            [variant("half", "1")], "0.95", VariantReason.UNKNOWN_SPEED, id="never measured"
        ),
        pytest.param(
            [variant("half", "1", "3", on="gpu")],
            "0.95",
            VariantReason.UNKNOWN_SPEED,
            id="measured on another class",
        ),
        pytest.param(
            [variant("half", "1", "0.9")], "0.95", VariantReason.NOT_FASTER, id="slower here"
        ),
        pytest.param(
            [variant("half", "1", "3", modelFormat={"name": "openvino"})],
            "0.95",
            VariantReason.NOT_SERVED,
            id="of a format that the runtime has no backend for",
        ),
    ],
)
def test_otherwise_the_steps_own_model_serves(variants, floor, reason):
    told, objects = decided(*variants, floor=floor)
    assert (told.name, told.reason) == (None, VariantReason.ORIGINAL)
    assert [each.reason for each in told.refused] == [reason]
    assert "pvc://" not in objects
    assert "claimName" not in objects


def test_of_a_step_without_variants_nothing_is_said():
    plan = planned(snapshot(with_variants(HALF)))
    assert plan.status.steps[1].variant is None


def test_another_floor_lets_another_one_serve_and_rolls_the_pods():
    strict, loose = (decided(INT8, HALF, floor=floor) for floor in ("0.95", "0.8"))
    assert (strict[0].name, loose[0].name) == ("half", "int8")
    assert strict[1] != loose[1]


def test_a_variant_has_its_own_format_and_the_configuration_of_the_steps_model():
    instances = {"parameters": {"depth": {"string_value": "7"}}}
    own = factories.source("oci://registry.example/x:1", "python", config=instances)
    faster = variant("half", "1", "2", modelFormat={"name": "onnx"})
    step = factories.pipeline_step("detect", "image", model=own, variants=[faster])
    steps = [step, factories.pipeline_step("read", "detect.output")]
    written = planned(snapshot(pipeline(steps=steps, accuracy_floor="0.9"))).objects
    [config] = [each["data"] for each in written if each["kind"] == "ConfigMap"]
    assert "onnxruntime" in config["detect.pbtxt"]
    assert "depth" in config["detect.pbtxt"]


def test_while_it_is_placed_nowhere_nothing_is_chosen():
    subject = with_variants(HALF).with_(status=InferencePipelineStatus())
    found = planned(snapshot(subject, nodes=()))
    assert found.status.steps[0].variant is None
