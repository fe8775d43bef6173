"""Steps that other servers have: which they are, and what is served and said then."""

import pytest

from ferryman.api.conditions import Condition, Reason, find
from ferryman.api.inference_model_status import InferenceModelStatus, PlacementStatus
from ferryman.api.model_source import Variant
from ferryman.api.objectives import Objectives
from ferryman.api.pipelines.inference_pipeline import ExecutionSpec
from ferryman.api.pipelines.inference_pipeline_status import InferencePipelineStatus
from ferryman.api.pipelines.step import ModelRef, StepPlacement
from ferryman.core.errors import RejectedError
from ferryman.core.pipelines import distribution
from tests import factories
from tests.unit.core.pipelines.scenes import PLACED, RUNTIME, TENSORS, planned, served, snapshot

CPU_ALONE = factories.runtime(
    processors=[factories.runtime_processor(backends={"python": "python"})]
)
ELSEWHERE = PlacementStatus(node_type="gpu-box", processor="gpu", reason="X", message="x")


def said(status, ready="True"):
    return Condition(
        type="Ready", status=ready, reason="Serving", message="x", last_transition_time=status
    )


def detector(config=None, *, ready="True", model_format="onnx", **fields):
    source = factories.source(
        model_format=model_format, config=TENSORS if config is None else config
    )
    status = InferenceModelStatus(conditions=(said(factories.at(), ready),), placement=ELSEWHERE)
    return factories.model("detector", model=source, status=status, **fields)


def pipeline(mode="Distributed", *, referring=True, **spec):
    """Return prepare → detect → read, of which detect refers to an InferenceModel."""
    steps = list(factories.pipeline().spec.steps) if "steps" not in spec else spec.pop("steps")
    if referring:
        steps[1] = steps[1].with_(model=None, model_ref=ModelRef(name="detector"))
    found = InferencePipelineStatus(placement=PLACED)
    return factories.pipeline(steps=steps, execution=ExecutionSpec(mode=mode), status=found, **spec)


def seen(subject=None, model=None, **fields):
    models = {"detector": model or detector()}
    return snapshot(subject or pipeline(), models=models, **fields)


def objects(plan):
    return {(each["kind"], each["metadata"]["name"]): each for each in plan.objects}


def cut(subject, runtime=RUNTIME, model=None):
    return distribution.remote_steps(subject, {"detector": model or detector()}, runtime)


@pytest.mark.parametrize(
    ("subject", "runtime", "expected"),
    [
        pytest.param(pipeline(), RUNTIME, ["detect"], id="asked for"),
        pytest.param(pipeline("Auto"), RUNTIME, [], id="one server holds all"),
        pytest.param(pipeline("Auto"), CPU_ALONE, ["detect"], id="none holds this one"),
        pytest.param(pipeline("Ensemble"), CPU_ALONE, [], id="one server asked for"),
        pytest.param(
            pipeline("Auto", referring=False), CPU_ALONE, [], id="nobody else serves a step"
        ),
    ],
)
def test_which_steps_are_cut_off(subject, runtime, expected):
    assert list(cut(subject, runtime)) == expected


@pytest.mark.parametrize(
    ("subject", "runtime", "expected"),
    [
        pytest.param(
            pipeline("Auto"), RUNTIME, {"detect": "a request is faster that way"}, id="for speed"
        ),
        pytest.param(
            pipeline("Auto"), CPU_ALONE, {"detect": "step detect is onnx, served are python"},
            id="it must leave anyhow",
        ),
        pytest.param(pipeline("Ensemble"), RUNTIME, {}, id="one server asked for"),
    ],
)  # fmt: skip
def test_steps_that_are_faster_elsewhere_are_cut_off_where_that_is_free(subject, runtime, expected):
    found = distribution.remote_steps(subject, {"detector": detector()}, runtime, ["detect"])
    assert {name: each.why for name, each in found.items()} == expected


def test_a_step_that_nobody_else_serves_cannot_leave():
    steps = list(factories.pipeline().spec.steps)
    steps[2] = steps[2].with_(placement=StepPlacement(processors=("gpu",)))
    assert cut(pipeline("Auto", steps=steps), CPU_ALONE) == {}


def test_several_servers_without_a_model_that_has_some_are_refused():
    with pytest.raises(RejectedError, match="state modelRef instead of model of a step"):
        cut(pipeline(referring=False))
    plan = planned(seen(pipeline(referring=False)))
    ready = find(plan.status.conditions, "Ready")
    assert (plan.objects, ready.reason) == ((), Reason.INVALID_SPEC)


def test_the_pipelines_own_server_has_a_proxy_in_the_steps_place():
    plan = planned(seen(), program="print('proxy')")
    data = objects(plan)["ConfigMap", "chain-pipeline"]["data"]
    assert data["detect.py"] == "print('proxy')"
    config = data["detect.pbtxt"]
    assert "'backend': 'python'" in config
    assert "'decoupled': False" in config
    assert "chain-detect-pipeline.default.svc" in config
    assert "'FERRYMAN_STEP_MODEL': {'string_value': 'detector'}" in config
    assert "'max_batch_size': 64" in config
    pod = objects(plan)["Deployment", "chain-pipeline"]["spec"]["template"]["spec"]
    assert [each["name"] for each in pod["volumes"] if each["name"].startswith("model-")] == [
        "model-prepare",
        "model-read",
    ], "the step's files are not here"
    script = pod["initContainers"][0]["command"][-1]
    assert 'ln -s "/config/detect.py"' in script


def test_pods_roll_with_the_proxys_program():
    def made(program):
        deployment = objects(planned(seen(), program=program))["Deployment", "chain-pipeline"]
        return deployment["spec"]["template"]["metadata"]["annotations"]

    assert made("one") != made("another")
    assert made("one") == made("one")


def test_its_pods_may_ask_the_steps_servers_and_nobody_else():
    found = objects(planned(seen()))
    service = found["Service", "chain-detect-pipeline"]["spec"]
    assert (service["clusterIP"], service["selector"]) == (
        "None",
        {"serving.ferryman.dev/model": "detector"},
    )
    egress = found["NetworkPolicy", "chain-pipeline"]["spec"]["egress"]
    assert egress[0] == {
        "to": [{"podSelector": {"matchLabels": {"serving.ferryman.dev/model": "detector"}}}],
        "ports": [{"protocol": "TCP", "port": 8000}],
    }
    assert [port["port"] for port in egress[1]["ports"]] == [53, 53]
    whole = objects(planned(seen(pipeline("Ensemble"))))
    assert "egress" not in whole["NetworkPolicy", "chain-pipeline"]["spec"]
    assert ("Service", "chain-detect-pipeline") not in whole


def test_the_status_says_who_has_a_step_and_why():
    status = planned(seen()).status
    execution = status.execution
    assert (execution.mode, execution.reason) == ("Distributed", Reason.CUT_NEEDED)
    assert execution.message == (
        "with cpu-small (cpu) as home, detect to InferenceModel detector cut off; "
        "execution.mode asks for several servers"
    )
    assert execution.candidates[0].servers == (("prepare", "read"), ("detect",))
    step = next(each for each in status.steps if each.name == "detect")
    assert (step.server, step.node_type, step.processor) == (1, "gpu-box", "gpu")
    needed = planned(seen(pipeline("Auto"), runtime=CPU_ALONE)).status.execution
    assert needed.message.endswith("no one server holds all steps")


def test_a_pipeline_whose_steps_servers_do_not_answer_is_not_ready():
    subject = seen(model=detector(ready="False"), serving=served())
    loaded = find(planned(subject).status.conditions, "ModelLoaded")
    assert loaded.status == "False"
    assert "step detect: InferenceModel detector, which serves it, is not ready" in loaded.message
    steps = {each.name: each.ready for each in planned(subject).status.steps}
    assert steps["detect"] is False


def test_what_a_proxy_must_be_told_is_a_fault_where_nobody_said_it():
    plan = planned(seen(model=detector({})))
    ready = find(plan.status.conditions, "Ready")
    assert (plan.objects, ready.reason) == ((), Reason.TYPE_UNKNOWN)
    assert "state input and output in spec.model.config of detector" in ready.message
    assert plan.status.faults[0].step == "detect"


def test_a_proxy_needs_the_python_backend():
    onnx = factories.runtime(processors=[factories.runtime_processor()])
    steps = [each.with_(model=factories.source()) for each in factories.pipeline().spec.steps]
    plan = planned(seen(pipeline(steps=steps), runtime=onnx))
    ready = find(plan.status.conditions, "Ready")
    assert ready.reason == Reason.FORMAT_NOT_SUPPORTED
    assert "step detect is python, served are onnx" in ready.message


@pytest.mark.parametrize(
    ("model", "bound"),
    [
        pytest.param(detector(), 64, id="what its limits allow"),
        pytest.param(detector({**TENSORS, "max_batch_size": 0}), 0, id="no batches"),
        pytest.param(
            factories.model(
                "detector",
                model=factories.source(
                    variants=(Variant(processor="gpu", config={**TENSORS, "max_batch_size": 0}),)
                ),
                status=InferenceModelStatus(placement=ELSEWHERE),
            ),
            0,
            id="as the variant says of where it is",
        ),
    ],
)
def test_a_proxy_takes_as_many_rows_as_the_step(model, bound):
    subject = pipeline()
    found, faults = distribution.with_proxies(subject, cut(subject, model=model))
    assert faults == ()
    assert found.step("detect").model.config["max_batch_size"] == bound


def test_how_long_an_answer_may_take():
    assert cut(pipeline(objectives=factories.objectives(250)))["detect"].server.deadline_ms == 250
    longest = pipeline(objectives=Objectives(throughput={"minPerSecond": 5}))
    assert cut(longest)["detect"].server.deadline_ms == 2000


def test_names_of_services_fit():
    long = pipeline()
    long = long.with_(metadata=long.metadata.with_(name="p" * 50))
    name = distribution.service_name(long, "s" * 40)
    assert len(name) == 63
    assert name.startswith("p" * 50 + "-")
    assert name.endswith("-pipeline")
    assert name != distribution.service_name(long, "t" * 40)
