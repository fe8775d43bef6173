"""``ferryman nodes`` and ``ferryman benchmark`` against a real API server, as people run them.

The person has the roles that the installation has for this, and no other.
"""

import contextlib
import io
import json
import threading

import pytest

from ferryman.api import names
from ferryman.cli import main
from ferryman.core.benchmark import job as benchmark_job
from ferryman.core.benchmark.schedule import Measurement
from tests.factories import benchmark, profile, runtime, runtime_processor
from tests.integration.controlplane import ControlPlane
from tests.integration.operator_process import NAMESPACE, install, wait_for

pytestmark = pytest.mark.integration

HEADER = {"apiVersion": names.API_VERSION, "kind": "NodeProfile", "metadata": {"name": "fast-1"}}
NODE = {
    "apiVersion": "v1",
    "kind": "Node",
    "metadata": {"name": "fast-1"},
    "status": {
        "allocatable": {"cpu": "4", "memory": "8Gi"},
        "conditions": [{"type": "Ready", "status": "True"}],
    },
}
CPU_RUNTIME = runtime(processors=[runtime_processor("cpu")])
LOG_MISSED = "its log cannot be read: "


@pytest.fixture(scope="module")
def plane():
    with ControlPlane.start() as running:
        install(running)
        apply(running, NODE)
        running.kubectl("patch", "node", "fast-1", "-p", '{"spec": {"taints": null}}')
        apply(running, custom("InferenceRuntime", CPU_RUNTIME))
        apply(running, custom("NodeProfile", measured(400.0)))
        yield running


@pytest.fixture(scope="module")
def kubeconfig(plane):
    """Return the kubeconfig of one who looks after nodes."""
    plane.kubectl("create", "serviceaccount", "person", "-n", "default")
    grant = ("--serviceaccount=default:person",)
    clusterwide = "--clusterrole=ferryman-nodes"
    plane.kubectl("create", "clusterrolebinding", "person", clusterwide, *grant)
    rows = "--role=ferryman-benchmarks"
    plane.kubectl("create", "rolebinding", "person", "-n", NAMESPACE, rows, *grant)
    token = plane.kubectl("create", "token", "person", "-n", "default").strip()
    return plane.kubeconfig_for(token, "person")


@pytest.fixture(autouse=True)
def person(plane, kubeconfig, monkeypatch):
    plane.make_default(monkeypatch, kubeconfig)


def measured(rate, **fields):
    return profile("fast-1", "fast", benchmarks=[benchmark(rate, node_type="fast", **fields)])


def custom(kind, value):
    content = value.as_dict()
    metadata = {"name": content["metadata"]["name"]}
    return {**content, "apiVersion": names.API_VERSION, "kind": kind, "metadata": metadata}


def apply(plane, document):
    """Write an object, and its status if it has one."""
    text = json.dumps(document)
    arguments = ("apply", "--server-side", "--force-conflicts", "-f", "-")
    plane.kubectl(*arguments, stdin=text)
    if "status" in document:
        plane.kubectl(*arguments, "--subresource=status", stdin=text)


def test_node_types_are_read_from_the_cluster(capsys, tmp_path):
    path = tmp_path / "plot.svg"
    assert main.main(["nodes", "-o", "json", "--plot", str(path)]) == 0
    [kind] = json.loads(capsys.readouterr().out)["nodeTypes"]
    assert (kind["name"], kind["nodes"]) == ("fast", ["fast-1"])
    assert kind["free"]["cpu"] == 4000
    assert kind["processors"][0]["benchmarks"][0]["points"][1]["imagesPerSecond"] == 400
    assert "fast cpu under triton" in path.read_text()


def begin_pod(plane, job):
    """Make the Job's pod as its controller and a kubelet would, without a log behind it."""
    labels = job["metadata"]["labels"] | {"batch.kubernetes.io/job-name": job["metadata"]["name"]}
    metadata = {"name": "measuring", "namespace": NAMESPACE, "labels": labels}
    container = {"name": "benchmark", "image": "x"}
    spec = {"nodeName": "fast-1", "automountServiceAccountToken": False, "containers": [container]}
    state = {"state": {"running": {}}, "name": "benchmark", "ready": True}
    ran = {**state, "restartCount": 0, "image": "x", "imageID": "x"}
    status = {"phase": "Running", "containerStatuses": [ran]}
    header = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata}
    apply(plane, {**header, "spec": spec, "status": status})


def operator(plane, requested, told):
    """Do the operator's work once the annotation is there: a Job, then another table.

    The person is told of the Job first: once the table is there, nobody looks any more.
    """
    where = f"jsonpath={{.metadata.annotations['{names.ANNOTATION_BENCHMARK_REQUESTED}']}}"
    where = where.replace("serving.ferryman.dev", r"serving\.ferryman\.dev")
    found = wait_for(
        "a request", lambda: plane.kubectl("get", "nodeprofile", "fast-1", "-o", where), 30
    )
    requested.append(found)
    measurement = Measurement("fast", "cpu", "triton", "ferryman/triton-cpu:test", "fast-1")
    job = benchmark_job.job(
        measurement, CPU_RUNTIME, namespace=NAMESPACE, image="x", encode=json.dumps
    )
    plane.kubectl("create", "-f", "-", stdin=json.dumps(job))
    begin_pod(plane, job)
    wait_for("the log is missed", lambda: LOG_MISSED in told.getvalue(), 30)
    apply(plane, custom("NodeProfile", measured(500.0, measured_at="2099-01-01T00:00:00Z")))


def test_a_benchmark_is_asked_for_followed_and_shown(plane, capsys):
    requested, told = [], io.StringIO()
    working = threading.Thread(target=operator, args=(plane, requested, told))
    working.start()
    with contextlib.redirect_stderr(told):
        status = main.main(["benchmark", "fast-1", "--wait", "--timeout", "90"])
    working.join(90)
    shown, said = capsys.readouterr().out, told.getvalue()
    assert status == 0, (shown, said)
    assert requested[0] in said
    assert "cpu under triton on fast-1: Running" in said
    # No kubelet is there to ask: the API server says so, and does not say that it is forbidden.
    assert f"cpu under triton on fast-1: {LOG_MISSED}" in said
    assert "forbidden" not in said
    assert "500" in shown


def test_a_node_that_is_not_there_is_said(capsys):
    assert main.main(["benchmark", "nowhere"]) == 1
    assert '"nowhere" not found' in capsys.readouterr().err
