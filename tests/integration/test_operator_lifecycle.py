"""The operator starts, ends, dies and loses its API server; what it serves does not notice."""

import os
import random
import signal
import time
from pathlib import Path

import pytest
from kubernetes import client, config

from tests.integration.operators import (
    NAMESPACE,
    ROOT,
    await_served,
    versions,
    wait_for,
    wait_until_still,
)

pytestmark = pytest.mark.integration


@pytest.fixture(autouse=True)
def _cluster(fresh):
    """Every test finds two node types and a runtime."""


@pytest.fixture
def new_operator(new_operator):
    """Make operators that end with the test: what one leaves undone, no other is there to do."""
    made = []

    def make(*arguments):
        made.append(new_operator(*arguments))
        return made[-1]

    yield make
    for operator in made:
        operator.close()


@pytest.fixture
def operator(new_operator):
    """Yield an operator of this test's own."""
    operator = new_operator().start()
    yield operator
    operator.close()


def test_a_restart_changes_no_object(objects, operator):
    objects.model("steady")
    await_served(objects, "steady")
    before = wait_until_still(lambda: versions(objects, "steady"))
    assert operator.terminate()[0] == 0
    operator.start()
    wait_for("objects are applied anew", lambda: "Deployment" in str(operator.writes()))
    time.sleep(2)
    assert versions(objects, "steady") == before


def test_the_operator_ends_within_5_seconds_of_sigterm(objects, operator):
    status, seconds = operator.terminate()
    assert status == 0
    if seconds >= 5:  # once more: it may have waited for a busy machine
        status, seconds = operator.start().terminate()
    assert status == 0
    assert seconds < 5


def test_an_operator_for_one_namespace_leaves_the_others_alone(objects, new_operator):
    for namespace in ("team-a", "team-b"):
        objects.namespace(namespace)
    new_operator("--namespaced=team-a").start()
    objects.model("mine", "team-a")
    objects.model("theirs", "team-b")
    await_served(objects, "mine", "team-a")
    time.sleep(1)
    assert objects.served("theirs", "team-b") is None


def test_shipped_runtimes_are_applied_and_edits_stay(objects, new_operator, tmp_path):
    folder = tmp_path / "runtimes"
    folder.mkdir()
    shipped = """\
apiVersion: serving.ferryman.dev/v1alpha1
kind: InferenceRuntime
metadata: {name: triton-cpu}
spec:
  processors:
    - class: cpu
      image: ferryman.dev/triton-cpu:1
      backends: {onnx: onnxruntime}
"""
    (folder / "shipped.yaml").write_text(shipped)
    operator = new_operator(f"--runtimes={folder}").start()
    wait_for("it is applied", lambda: objects.get("inferenceruntime", "triton-cpu"))
    assert operator.terminate()[0] == 0

    patch = '[{"op":"replace","path":"/spec/processors/0/image","value":"mine:2"}]'
    objects.plane.kubectl("patch", "inferenceruntime", "triton-cpu", "--type=json", f"-p={patch}")
    operator.start()
    image = objects.get("inferenceruntime", "triton-cpu")["spec"]["processors"][0]["image"]
    assert image == "mine:2"


def test_another_master_key_reaches_secrets_and_rolls_pods(objects, new_operator):
    """The rotation that docs/security.md describes."""
    operator = new_operator().start()
    objects.heartbeat("node-1", "node-2")
    objects.model("rotated")

    def keys():
        template = await_served(objects, "rotated")["spec"]["template"]
        secret = objects.get("secret", "rotated-triton", "default")
        annotation = template["metadata"]["annotations"]["serving.ferryman.dev/control-key"]
        return secret["data"]["key"], annotation

    before = keys()
    objects.delete("secret", "ferryman-master-key", NAMESPACE)
    assert operator.terminate()[0] == 0
    operator.start()
    wait_for(
        "both are others",
        lambda: all(new != old for new, old in zip(keys(), before, strict=True)),
    )
    objects.delete("inferencemodel", "rotated", "default")


def test_a_benchmark_job_is_started_where_a_node_type_was_not_measured(objects, new_operator):
    objects.runtime("measuring", benchmark=True)
    objects.profile("node-1", "cpu-small", images_per_second=0)
    new_operator("--image=ferryman.dev/ferryman:test").start()
    jobs = wait_for("a Job", lambda: objects.list("jobs", NAMESPACE))
    assert {job["metadata"]["labels"]["serving.ferryman.dev/benchmark"] for job in jobs} == {
        "measuring"
    }
    objects.delete("inferenceruntime", "measuring")


def test_an_operator_killed_at_any_moment_leaves_what_the_next_one_completes(objects, new_operator):
    """Ten models, each created under an operator that is killed a moment later."""
    moments = random.Random(20261121)
    operator = new_operator().start()
    api = connect(objects.plane)
    create(api, "undisturbed")
    await_settled(objects, "undisturbed")
    for n in range(10):
        create(api, f"victim-{n}")
        time.sleep(moments.uniform(0.0, 0.25))
        operator.kill()
        operator.start(wait_until_ready=False)
    objects.heartbeat("node-1", "node-2")
    for n in range(10):
        await_settled(objects, f"victim-{n}")
    operator.close()
    expected = normalised(objects, "undisturbed")
    for n in range(10):
        assert normalised(objects, f"victim-{n}") == expected, n


def connect(plane):
    configuration = client.Configuration()
    config.load_kube_config(str(plane.kubeconfig), client_configuration=configuration)
    return client.CustomObjectsApi(client.ApiClient(configuration))


def create(api, name):
    model = {
        "apiVersion": "serving.ferryman.dev/v1alpha1",
        "kind": "InferenceModel",
        "metadata": {"name": name},
        "spec": {
            "model": {
                "storageUri": "oci://ferryman.dev/models/digits:1",
                "modelFormat": {"name": "onnx"},
            },
            "runtimeRef": {"name": "triton"},
            "objectives": {"latency": {"targetMilliseconds": 50}},
            "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}},
        },
    }
    where = ("serving.ferryman.dev", "v1alpha1", "default", "inferencemodels")
    api.create_namespaced_custom_object(*where, model)


def await_settled(objects, name):
    """Wait until the status describes the Deployment."""
    await_served(objects, name, timeout_s=60)
    wait_for("the status is settled", lambda: "updated" in str(objects.status(name)), 60)


def normalised(objects, name):
    """Return a model's status and objects without names, versions, times and loads."""
    dropped = {
        "resourceVersion", "uid", "creationTimestamp", "generation", "managedFields", "since",
        "lastTransitionTime", "clusterIP", "clusterIPs", "preferredNode",
        "serving.ferryman.dev/config-hash",  # the configuration holds the name
        "serving.ferryman.dev/control-key",  # and so does the key depend on it
    }  # fmt: skip

    def strip(value):
        if isinstance(value, dict):
            return {k: strip(v) for k, v in value.items() if k not in dropped}
        if isinstance(value, list):
            return [strip(entry) for entry in value]
        return value.replace(name, "NAME") if isinstance(value, str) else value

    status = strip(objects.status(name))
    # Scores follow what was placed on the nodes a moment before.
    placement = {k: status["placement"][k] for k in ("nodeType", "processor", "reason")}
    conditions = {(c["type"], c["status"], c["reason"]) for c in status["conditions"]}
    found = {
        kind: strip(objects.get(kind, f"{name}-triton", "default"))
        for kind in ("deployment", "service", "configmap", "networkpolicy")
    }
    return placement, conditions, status["batching"], found


def test_an_operator_survives_an_api_server_that_is_gone_for_a_minute(objects, operator):
    plane = objects.plane
    objects.model("before")
    await_served(objects, "before")
    os.kill(process_of(plane, "kube-apiserver"), signal.SIGKILL)
    time.sleep(60)
    assert operator.alive
    server = plane._spawn("kube-apiserver", plane._apiserver_options())
    plane._wait(server, f"{plane.url}/readyz")
    objects.heartbeat("node-1", "node-2")
    objects.model("after")
    wait_for("a model is served again", lambda: objects.served("after"), 90)
    assert operator.alive
    wait_for("it is healthy", lambda: operator.get("/healthz")[0] == 200, 30)


def process_of(plane, program):
    """Return the id of a process of this very control plane."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command = (folder / "cmdline").read_bytes().decode()
        except OSError:
            continue  # it has ended meanwhile
        if str(plane.folder) in command and Path(command.split("\0")[0]).name == program:
            return int(folder.name)
    raise AssertionError(f"no {program} runs")


def test_deleted_definitions_are_waited_for_and_what_serves_keeps_serving(objects, operator):
    objects.model("survivor")
    await_served(objects, "survivor")
    objects.plane.kubectl("delete", "-f", ROOT / "crds", "--wait=true")

    def told():
        return [line for line in operator.lines() if "not installed" in line.get("message", "")]

    wait_for("it says so", told, 30)
    time.sleep(5)
    assert len(told()) == 1, "in one line"
    assert operator.alive
    assert operator.get("/healthz") == (200, "ok")
    assert objects.served("survivor") is not None, "the garbage collector's business, not ours"

    objects.plane.kubectl("apply", "--server-side", "-f", ROOT / "crds")
    wait_for("kinds are served", lambda: _try(objects.runtime), 30)
    wait_for("profiles, too", lambda: _try(objects.profile, "node-1", "cpu-small"), 30)
    wait_for("and models", lambda: _try(objects.model, "reborn"), 30)
    wait_for("it resumes", lambda: objects.served("reborn"), 90)


def _try(call, *arguments):
    call(*arguments)
    return True
