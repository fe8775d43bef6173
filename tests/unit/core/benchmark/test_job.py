import json
from dataclasses import replace

import pytest

from ferryman.api import names
from ferryman.api.inference_model import ResourceRequirements
from ferryman.api.inference_runtime import ReferenceBenchmark
from ferryman.api.model_source import ModelFormat, Variant
from ferryman.api.pods.pod_settings import PodSecurity, PodSettings
from ferryman.api.pods.scheduling import Toleration
from ferryman.core.benchmark.job import describe, job, job_name
from ferryman.core.benchmark.schedule import Measurement
from tests.factories import CPU_IMAGE, GPU_IMAGE, runtime, runtime_processor, source

CPU = Measurement("cpu-small", "cpu", "triton", CPU_IMAGE, "node-7")
GPU = Measurement("gpu-big", "gpu", "triton", GPU_IMAGE, "node-8")
REFERENCE = ReferenceBenchmark(
    model=source(
        "oci://ferryman/resnet50:test",
        config={"parameters": {"threads": {"string_value": "2"}}},
        variants=(
            Variant(
                processor="gpu",
                storage_uri="pvc://models/resnet50",
                model_format=ModelFormat(name="tensorrt"),
                config={},
            ),
        ),
    ),
    max_batch_size=16,
    time_limit_seconds=120,
)
RUNTIME = runtime(
    processors=[
        runtime_processor(
            "cpu",
            resources=ResourceRequirements(requests={"cpu": "500m"}, limits={"memory": "1Gi"}),
        ),
        runtime_processor("gpu", backends={"tensorrt": "tensorrt"}),
    ],
    benchmark=REFERENCE,
)


def render(measurement=CPU, served=RUNTIME):
    return job(measurement, served, namespace="ferryman", image="ferryman:1", encode=json.dumps)


def pod(measurement=CPU):
    return render(measurement)["spec"]["template"]["spec"]


def container(name, measurement=CPU):
    found = pod(measurement)
    return next(c for c in [*found["initContainers"], *found["containers"]] if c["name"] == name)


def config(measurement=CPU):
    env = {variable["name"]: variable for variable in container("layout", measurement)["env"]}
    return json.loads(env["FERRYMAN_CONFIG"]["value"])


def test_the_job_tries_once_has_a_deadline_and_goes_away():
    spec = render()["spec"]
    assert spec["backoffLimit"] == 0
    assert spec["activeDeadlineSeconds"] == 120 + 900
    assert spec["ttlSecondsAfterFinished"] == 3600
    assert pod()["restartPolicy"] == "Never"


@pytest.mark.parametrize(
    "stated",
    [
        PodSettings(),
        PodSettings(
            labels={"sidecar.istio.io/inject": "true", "team": "a"},
            annotations={"sidecar.istio.io/inject": "true", "linkerd.io/inject": "enabled"},
        ),
    ],
    ids=["nothing is stated", "serving pods are to have one"],
)
def test_no_mesh_puts_a_sidecar_beside_a_measurement_whatever_the_runtime_states(stated):
    """Beside one the Job would not end."""
    served = RUNTIME.with_(spec=RUNTIME.spec.with_(pod=stated))
    metadata = render(served=served)["spec"]["template"]["metadata"]
    assert metadata["labels"]["sidecar.istio.io/inject"] == "false"
    assert metadata["annotations"]["sidecar.istio.io/inject"] == "false"
    assert metadata["annotations"]["linkerd.io/inject"] == "disabled"
    assert stated.labels.get("team") == metadata["labels"].get("team")


def test_the_job_and_its_pod_are_labelled():
    manifest = render()
    labels = manifest["metadata"]["labels"]
    assert labels.items() <= manifest["spec"]["template"]["metadata"]["labels"].items()
    assert labels[names.LABEL_COMPONENT] == "benchmark"
    assert labels[names.LABEL_BENCHMARK] == "triton"
    assert labels[names.LABEL_NODE_TYPE] == "cpu-small"
    assert names.LABEL_MODEL not in labels


def test_a_job_says_what_it_measures():
    assert describe(render()) == CPU
    assert describe(render(GPU)) == GPU


WHOLE = {"node_type": "a", "processor": "cpu", "runtime": "triton", "image": "i", "node": "n"}


def annotated(value):
    annotations = {"serving.ferryman.dev/measurement": json.dumps(value)}
    return {"metadata": {"name": "x", "annotations": annotations}}


@pytest.mark.parametrize(
    "manifest",
    [
        pytest.param({}, id="nothing"),
        pytest.param({"metadata": {"name": "x", "annotations": {}}}, id="no annotation"),
        pytest.param(
            {"metadata": {"annotations": {"serving.ferryman.dev/measurement": '{"node": 1}'}}},
            id="something else in the annotation",
        ),
        pytest.param(annotated(WHOLE | {"image": []}), id="a field of another kind"),
        pytest.param(annotated([[]] * 3), id="no fields"),
        pytest.param(
            {"metadata": {"annotations": {"serving.ferryman.dev/measurement": "[" * 5000}}},
            id="deeper than can be read",
        ),
    ],
)
def test_another_job_measures_nothing(manifest):
    with pytest.raises(ValueError, match="no readable serving"):
        describe(manifest)


@pytest.mark.parametrize(
    ("other", "same"),
    [
        pytest.param(Measurement("cpu-small", "cpu", "triton", CPU_IMAGE, "n"), True, id="node"),
        pytest.param(Measurement("cpu-large", "cpu", "triton", CPU_IMAGE, "n"), False, id="type"),
        pytest.param(Measurement("cpu-small", "npu", "triton", CPU_IMAGE, "n"), False, id="class"),
        pytest.param(Measurement("cpu-small", "cpu", "other", CPU_IMAGE, "n"), False, id="runtime"),
        pytest.param(Measurement("cpu-small", "cpu", "triton", "new", "n"), False, id="image"),
    ],
)
def test_the_name_depends_on_all_but_the_node(other, same):
    assert (job_name(other) == job_name(CPU)) is same
    assert len(job_name(other)) <= 63


def test_the_pod_runs_on_the_chosen_node_alone():
    terms = pod()["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    [term] = terms["nodeSelectorTerms"]
    assert term == {
        "matchFields": [{"key": "metadata.name", "operator": "In", "values": ["node-7"]}]
    }
    assert pod()["nodeSelector"] == {"kubernetes.io/os": "linux"}


def test_the_pod_is_labelled_and_annotated_as_the_runtime_asks_and_runs_as_its_user():
    asked = PodSettings(
        labels={"team": "platform"},
        annotations={"team.example/on-call": "anna"},
        service_account_name="serving",
        priority_class_name="high",
        security_context=PodSecurity(user="Namespace"),
    )
    served = RUNTIME.with_(spec=RUNTIME.spec.with_(pod=asked))
    template = render(served=served)["spec"]["template"]

    assert template["metadata"]["labels"]["team"] == "platform"
    assert template["metadata"]["labels"][names.LABEL_COMPONENT] == "benchmark"
    assert template["metadata"]["annotations"]["team.example/on-call"] == "anna"
    assert "runAsUser" not in template["spec"]["securityContext"]
    assert template["spec"]["serviceAccountName"] == "ferryman-benchmark", "it lives elsewhere"
    assert "priorityClassName" not in template["spec"], "a benchmark gives way to what serves"


def test_the_pod_tolerates_what_the_runtime_does():
    gpu = Toleration(key="nvidia.com/gpu", operator="Exists")
    served = runtime(processors=[runtime_processor("cpu", tolerations=(gpu,))], benchmark=REFERENCE)
    [tolerated] = render(served=served)["spec"]["template"]["spec"]["tolerations"]
    assert (tolerated["key"], tolerated["operator"]) == ("nvidia.com/gpu", "Exists")
    assert "tolerations" not in pod()


def test_no_container_has_privileges_or_a_token():
    spec = pod()
    assert spec["serviceAccountName"] == "ferryman-benchmark"
    assert spec["automountServiceAccountToken"] is False
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert "tolerations" not in spec
    for each in [*spec["initContainers"], *spec["containers"]]:
        assert each["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
        }


def test_triton_is_a_sidecar_that_only_the_pod_itself_can_reach():
    triton = container("triton")
    assert triton["restartPolicy"] == "Always"
    assert triton["image"] == CPU_IMAGE
    loopback = {f"--{api}-address=127.0.0.1" for api in ("http", "grpc", "metrics")}
    assert loopback <= set(triton["args"])
    assert not {"ports", "startupProbe", "livenessProbe", "readinessProbe"} & triton.keys()


def test_the_layout_comes_before_triton():
    assert [c["name"] for c in pod()["initContainers"]] == ["layout", "triton"]


def test_triton_has_the_resources_that_serving_has():
    assert container("triton")["resources"] == {
        "requests": {"cpu": "500m"},
        "limits": {"memory": "1Gi"},
    }
    assert container("triton", GPU)["resources"]["limits"] == {"nvidia.com/gpu": 1}


@pytest.mark.parametrize(
    ("limit", "triton", "client"),
    [
        pytest.param(0, None, None, id="nobody else has reserved CPU: no limit"),
        pytest.param(3000, "2700m", "300m", id="a tenth for the client"),
        pytest.param(30_000, "29000m", "1000m", id="one core for the client at most"),
        pytest.param(600, "500m", "100m", id="what it requests at least"),
        pytest.param(550, "500m", "100m", id="never below what is requested"),
    ],
)
def test_the_measurement_has_the_cpu_that_serving_models_leave(limit, triton, client):
    measured = replace(CPU, cpu_limit_millicores=limit)
    assert container("triton", measured)["resources"]["limits"].get("cpu") == triton
    assert container("benchmark", measured)["resources"]["limits"].get("cpu") == client
    assert container("triton", measured)["resources"]["limits"]["memory"] == "1Gi"
    assert describe(render(measured)) == measured


@pytest.mark.parametrize(
    ("own", "expected"),
    [
        pytest.param("2", "2000m", id="stricter: it stays"),
        pytest.param("8", "2700m", id="wider: what is left counts"),
    ],
)
def test_a_limit_of_the_runtimes_own_counts_where_it_is_stricter(own, expected):
    limited = runtime_processor("cpu", resources=ResourceRequirements(limits={"cpu": own}))
    served = runtime(processors=[limited], benchmark=REFERENCE)
    manifest = render(replace(CPU, cpu_limit_millicores=3000), served)
    [triton] = [
        each
        for each in manifest["spec"]["template"]["spec"]["initContainers"]
        if each["name"] == "triton"
    ]
    assert triton["resources"] == {"limits": {"cpu": expected}}


def test_the_client_measures_within_the_limits():
    client = container("benchmark")
    assert client["image"] == "ferryman:1"
    assert client["args"] == [
        "agent",
        "benchmark",
        "--url=127.0.0.1:8000",
        "--model=reference",
        "--max-batch-size=16",
        "--time-limit-seconds=120",
    ]
    assert client["terminationMessagePolicy"] == "FallbackToLogsOnError"


def test_the_reference_model_is_configured_as_for_serving():
    assert config() == {
        "parameters": {"threads": {"string_value": "2"}},
        "name": "reference",
        "backend": "onnxruntime",
        "max_batch_size": 16,
        "dynamic_batching": {"max_queue_delay_microseconds": 0},
        "instance_group": [{"count": 1, "kind": "KIND_CPU"}],
    }


def test_each_class_measures_its_own_variant():
    assert config(GPU)["backend"] == "tensorrt"
    assert "parameters" not in config(GPU)
    claims = [volume.get("persistentVolumeClaim") for volume in pod(GPU)["volumes"]]
    assert {"claimName": "models", "readOnly": True} in claims


@pytest.mark.parametrize(
    ("measurement", "served"),
    [
        pytest.param(CPU, runtime(measured=False), id="a runtime without benchmark"),
        pytest.param(
            Measurement("n", "npu", "triton", "i", "x"), RUNTIME, id="a class it does not serve"
        ),
    ],
)
def test_what_cannot_be_measured_is_an_error(measurement, served):
    with pytest.raises(ValueError, match="runtime triton measures nothing on"):
        render(measurement, served)


def test_a_reference_model_that_would_have_to_be_fetched_is_an_error():
    """An object that was stored before the API refused it must not make a Job that cannot run."""
    stored = RUNTIME.spec.benchmark
    source = stored.model.with_(storage_uri="s3://bucket/resnet50")
    served = RUNTIME.with_(spec=RUNTIME.spec.with_(benchmark=stored.with_(model=source)))
    with pytest.raises(ValueError, match="would be fetched, not mounted"):
        render(CPU, served)


def test_a_reference_model_in_a_format_without_backend_is_an_error():
    served = runtime(processors=[runtime_processor("cpu", backends={"openvino": "openvino"})])
    with pytest.raises(ValueError, match="has no backend for onnx"):
        render(CPU, served)
