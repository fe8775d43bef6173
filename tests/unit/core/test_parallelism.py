"""Models that take several devices of one node, from the place to the pod."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ferryman.api.batching import Batching, BatchingSpec
from ferryman.api.conditions import Reason
from ferryman.api.inference_model import ResourceRequirements
from ferryman.api.inference_model_status import PlacementStatus
from ferryman.api.pods.parallelism import Parallelism
from ferryman.api.pods.scheduling import NodeRequirement
from ferryman.core.errors import RejectedError
from ferryman.core.pipelines import server
from ferryman.core.placement.choose import choose
from ferryman.core.placement.fit import requested
from ferryman.core.render.layout import layout_script
from ferryman.core.render.pod import resource_block
from ferryman.core.render.slots import ServedModel
from ferryman.core.service import serve
from ferryman.core.triton import parallel
from ferryman.core.triton.config import model_config
from tests import factories
from tests.unit.core.test_service import inputs

FOUR = Parallelism(devices=4)
ONE = Parallelism(devices=1)
NVLINK = NodeRequirement(key="nvidia.com/gpu.product", operator="In", values=("H200",))
BACKENDS = {"onnx": "onnxruntime", "python": "python", "vllm": "vllm"}
GPU = factories.runtime_processor("gpu", backends=BACKENDS)
CPU = factories.runtime_processor("cpu")
RUNTIME = factories.runtime(processors=[GPU])
PLACED = PlacementStatus(node_type="gpu-box", processor="gpu", reason="X", message="x")


def gpu_node(count=8, devices=("gpu H200 141312",), *, reserved=0, labels=None, **processor):
    profile = factories.profile_status(
        "gpu-box",
        processors=[factories.processor("gpu", count=count, **processor)],
        hardware=factories.hardware(devices=devices),
    )
    return factories.node(
        "n",
        profile=profile,
        allocatable={"cpu": "64", "memory": "512Gi", "nvidia.com/gpu": count},
        reserved={"reserved_devices": {"nvidia.com/gpu": reserved}},
        labels=labels or {},
    )


def python_model(parallelism=FOUR, model_format="python", config=None, **spec):
    source = factories.source(model_format=model_format, config=config or {})
    return factories.model(model=source, parallelism=parallelism, **spec)


def placed(node, subject):
    return choose(factories.snapshot(model=subject, runtime=RUNTIME, nodes=[node]), factories.NOW)


@pytest.mark.parametrize(
    ("node", "parallelism", "reason", "words"),
    [
        pytest.param(
            gpu_node(4, reserved=1),
            FOUR,
            Reason.INSUFFICIENT_RESOURCES,
            "n has 3 nvidia.com/gpu free, 4 needed",
            id="enough in all, one of them taken",
        ),
        pytest.param(
            gpu_node(2),
            FOUR,
            Reason.SEVERAL_NODES_NEEDED,
            "n has 2 nvidia.com/gpu in all, 4 are needed on one node: lower "
            "spec.parallelism.devices, or add nodes that have so many. A model over several nodes "
            "would need a LeaderWorkerSet, which this version does not make",
            id="more than any node has",
        ),
        pytest.param(
            gpu_node(devices=("gpu A100 40000", "gpu H200 141312")),
            FOUR,
            Reason.DEVICES_DIFFER,
            "n has devices of several types (gpu A100 40000, gpu H200 141312), and a pod that "
            "requests 4 may get any of them",
            id="of several types",
        ),
        pytest.param(
            gpu_node(sharing="time-slicing", replicas=4),
            FOUR,
            Reason.DEVICES_DIFFER,
            "test gpu on n is divided (time-slicing), so that 4 of what its device plugin offers "
            "may be parts of one device: use nodes with whole devices",
            id="shares of one device",
        ),
        pytest.param(
            gpu_node(labels={"nvidia.com/gpu.product": "L40S"}),
            ONE.with_(interconnect=(NVLINK,)),
            Reason.NODE_SELECTOR_NOT_MET,
            "the labels of n do not meet nvidia.com/gpu.product In (H200) of "
            "spec.parallelism.interconnect",
            id="not connected as asked for",
        ),
    ],
)
def test_a_candidate_says_why_a_node_cannot(node, parallelism, reason, words):
    (candidate,) = placed(node, python_model(parallelism)).candidates
    assert (candidate.reason, candidate.message) == (reason, words)


@pytest.mark.parametrize(
    ("node", "parallelism"),
    [
        pytest.param(gpu_node(4), FOUR, id="exactly so many"),
        pytest.param(
            gpu_node(labels={"nvidia.com/gpu.product": "H200"}),
            FOUR.with_(interconnect=(NVLINK,)),
            id="connected as asked for",
        ),
        pytest.param(
            gpu_node(1, devices=("gpu A 1", "gpu B 1"), sharing="mps", replicas=2),
            ONE,
            id="one device may be any, or a share",
        ),
    ],
)
def test_a_node_with_so_many_devices_is_taken(node, parallelism):
    assert placed(node, python_model(parallelism)).node_type == "gpu-box"


def test_that_no_node_is_large_enough_is_the_reason_for_nowhere():
    nowhere = placed(gpu_node(2), python_model())
    assert (nowhere.node_type, nowhere.reason) == (None, Reason.SEVERAL_NODES_NEEDED)
    full = factories.snapshot(
        model=python_model(),
        runtime=RUNTIME,
        nodes=[gpu_node(2), gpu_node(8, reserved=8).with_(name="other")],
    )
    assert choose(full, factories.NOW).reason == Reason.NO_CANDIDATE


@pytest.mark.parametrize(
    ("parallelism", "entry", "model_format", "words"),
    [
        pytest.param(None, CPU, "onnx", None, id="nothing asked for"),
        pytest.param(ONE, GPU, "onnx", None, id="one device"),
        pytest.param(FOUR, GPU, "python", None, id="a program chooses for itself"),
        pytest.param(FOUR, GPU, "openvino", None, id="no backend: said elsewhere"),
        pytest.param(FOUR, CPU, "onnx", "of the runtime has no devices", id="no devices"),
        pytest.param(FOUR, GPU, "onnx", "python, pytorch, vllm", id="an instance has one device"),
    ],
)
def test_which_backends_spread_a_model(parallelism, entry, model_format, words):
    found = parallel.why_not(parallelism, entry, factories.source(model_format=model_format))
    assert found is None if words is None else words in found


def test_a_class_that_cannot_spread_the_model_is_no_candidate():
    (candidate,) = placed(gpu_node(), python_model(model_format="onnx")).candidates
    assert candidate.reason == Reason.FORMAT_NOT_SUPPORTED
    assert "cut the model into steps" in candidate.message


def test_a_pod_requests_so_many_devices_whatever_the_runtime_says():
    stated = ResourceRequirements(
        requests={"cpu": "2", "nvidia.com/gpu": 1}, limits={"nvidia.com/gpu": 1}
    )
    entry = GPU.with_(resources=stated)
    assert requested(None, entry, 4) == {"cpu": "2", "nvidia.com/gpu": 4}
    assert resource_block(entry, None, 4) == {
        "requests": {"cpu": "2"},
        "limits": {"nvidia.com/gpu": 4},
    }


def test_the_deployment_has_the_devices_the_interconnect_and_one_instance():
    subject = python_model(
        FOUR.with_(interconnect=(NVLINK,)),
        config={"instance_group": [{"count": 3}]},
        batching=BatchingSpec(initial=Batching(max_batch_size=8, instances=3)),
    )
    found = serve(inputs(factories.snapshot(model=subject, runtime=RUNTIME, nodes=[]), PLACED))
    deployment = found.objects[-1]
    pod = deployment["spec"]["template"]["spec"]
    terms = pod["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    assert pod["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == 4
    assert "limits" not in pod["initContainers"][0]["resources"]
    assert NVLINK.as_dict() in terms["nodeSelectorTerms"][0]["matchExpressions"]
    assert "'instance_group': [{'count': 1, 'kind': 'KIND_MODEL'}]" in str(found.objects[1]["data"])
    assert found.batching.applied.instances == 1


@pytest.mark.parametrize(("parallelism", "most"), [(FOUR, 1), (ONE, 4), (None, 4)])
def test_how_many_instances_a_tuner_may_have(parallelism, most):
    asked = []

    def decide(model, *_, **__):
        asked.append(model.spec.batching.limits.instances.max)
        raise RejectedError(Reason.INVALID_SPEC, "asked")

    subject = factories.snapshot(model=python_model(parallelism), runtime=RUNTIME, nodes=[])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ferryman.core.batching.decide.decide", decide)
        serve(inputs(subject, PLACED))
    assert asked == [most]


@pytest.mark.parametrize(
    ("model_format", "overlay", "words"),
    [
        pytest.param(
            "python",
            {"instance_group": [{"gpus": [0]}]},
            "remove instance_group.gpus",
            id="devices by number",
        ),
        pytest.param("vllm", {}, "state max_batch_size: 0", id="vLLM batches itself"),
    ],
)
def test_a_configuration_that_contradicts_is_refused(model_format, overlay, words):
    source = factories.source(model_format=model_format, config=overlay)
    with pytest.raises(RejectedError, match=words):
        model_config("m", GPU, source, Batching(max_batch_size=1), parallelism=FOUR)


def test_the_devices_of_a_pipelines_steps_are_those_of_the_largest():
    first = factories.pipeline_step("detect", "image", parallelism=FOUR)
    second = factories.pipeline_step(
        "read", "detect.output", parallelism=Parallelism(devices=2, interconnect=(NVLINK,))
    )
    subject = factories.pipeline(steps=[first, second])
    assert server.parallelism_of(subject) == FOUR.with_(interconnect=(NVLINK,))
    assert server.parallelism_of(factories.pipeline()) is None
    assert subject.limits_of(first).instances.max == 1
    assert factories.pipeline().limits_of(first.with_(parallelism=ONE)).instances.max > 1


def test_a_step_that_a_class_cannot_spread_keeps_the_pipeline_off_it():
    step = factories.pipeline_step("detect", "image", model=factories.source(), parallelism=FOUR)
    subject = factories.pipeline(steps=[step])
    with pytest.raises(RejectedError, match=r"gpu: step detect: .*runs an instance on one"):
        server.processors_for(subject, server.sources_of(subject, {}), RUNTIME)


def spread(folder, files, devices=4):
    """Lay a vLLM model out over so many devices; return the exit status and what was said."""
    volume, config, repository = (folder / each for each in ("model", "config", "models"))
    for part in (volume, config, repository):
        part.mkdir()
    (config / "config.pbtxt").write_text("")
    for name, text in files.items():
        path = volume / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    script = layout_script([ServedModel("m", "oci://m", tensor_parallel=devices)])
    for place in ("models", "config", "model"):
        script = script.replace(f"/{place}/", f"{folder}/{place}/")
    environment = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "FERRYMAN_MODEL": "m",
    }
    ran = subprocess.run(
        ["/bin/sh", "-c", script],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=20,
    )
    return ran.returncode, ran.stderr, repository / "m"


@pytest.mark.parametrize("name", ["model.json", "1/model.json"])
def test_vllm_is_told_how_many_devices_there_are(tmp_path, name):
    files = {name: '{"model": "m", "pipeline_parallel_size": 2}', f"{name}.other": "kept"}
    status, said, laid = spread(tmp_path, files)
    assert (status, said) == (0, "")
    assert json.loads((laid / "1" / "model.json").read_text()) == {
        "model": "m",
        "pipeline_parallel_size": 2,
        "tensor_parallel_size": 2,
    }
    assert (laid / "1" / "model.json.other").read_text() == "kept"
    assert json.loads((tmp_path / "model" / name).read_text()) == json.loads(files[name])


def test_arguments_that_contradict_keep_the_pod_from_starting(tmp_path):
    status, said, _ = spread(tmp_path, {"1/model.json": '{"tensor_parallel_size": 2}'})
    assert status == 1
    assert "model.json asks for 2 devices" in said
    assert "spec.parallelism.devices is 4: change one of them" in said


def test_only_vllms_models_are_told():
    vllm = factories.source(model_format="vllm")
    assert parallel.tensor_parallel(FOUR, GPU, vllm) == 4
    assert parallel.tensor_parallel(FOUR, GPU, factories.source()) is None
    assert parallel.tensor_parallel(None, GPU, vllm) is None
