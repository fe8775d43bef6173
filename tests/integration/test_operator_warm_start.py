"""A model is measured before its clients come.

With a real API server, the shipped permissions, and a real tritonserver. Only the controllers and
the kubelet are missing.
"""

import base64
import threading
from contextlib import contextmanager

import pytest

from ferryman.api.names import CONTROL_KEY_NAME, RESTRICTED_APIS
from ferryman.clients.triton_http import TritonConnection, random_request
from hack.models import digits
from tests.integration.operators import await_served, wait_for
from tests.integration.tritonserver import TritonServer

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]

#: An address of loopback's own, with the ports at which the operator looks for Triton.
ADDRESS = "127.0.71.43"
LIMITS = {"maxBatchSize": {"max": 16}}
READY = ("True", "Serving")


@pytest.fixture
def pod(objects, fresh):
    """Make a ready pod as a Deployment's controller and a kubelet would."""

    def make(model):
        deployment = objects.served(model)
        labels = {"serving.ferryman.dev/model": model, "app.kubernetes.io/managed-by": "ferryman"}
        header = {"apiVersion": "v1", "kind": "Pod"}
        identity = {"name": f"{model}-1", "namespace": "default"}
        account = {"apiVersion": "v1", "kind": "ServiceAccount"}
        objects.apply({**account, "metadata": {"name": "default", "namespace": "default"}})
        owners = {"ownerReferences": [objects.replica_set(deployment)], "labels": labels}
        container = {"name": "triton", "image": "ferryman.dev/triton-cpu:test"}
        spec = {"nodeName": "node-2", "containers": [container]}
        objects.apply({**header, "metadata": {**identity, **owners}, "spec": spec})
        addresses = {"podIP": ADDRESS, "podIPs": [{"ip": ADDRESS}]}
        ready = {"conditions": [{"type": "Ready", "status": "True"}]}
        status = {"phase": "Running", **ready, **addresses}
        objects.apply({**header, "metadata": identity, "status": status}, "--subresource=status")
        counts = dict.fromkeys(("replicas", "readyReplicas", "updatedReplicas"), 1)
        seen = {"observedGeneration": deployment["metadata"]["generation"], **counts}
        objects.apply(
            {
                "apiVersion": "apps/v1",
                "kind": "Deployment",
                "metadata": {"name": f"{model}-triton", "namespace": "default"},
                "status": seen,
            },
            "--subresource=status",
        )

    return make


@pytest.fixture
def triton(objects, operator, tmp_path):
    """Run the Triton of a model that asks to be measured, from its ConfigMap."""

    @contextmanager
    def run(model):
        objects.model(model, batching={"warmStart": "Benchmark", "limits": LIMITS})
        await_served(objects, model)
        assert warm_start(objects, model) == {}, "nothing serves yet"
        folder = tmp_path / model
        digits.write(folder)
        config = objects.get("configmap", f"{model}-triton", "default")["data"]["config.pbtxt"]
        (folder / "config.pbtxt").write_text(config)
        secret = objects.get("secret", f"{model}-triton", "default")["data"]["key"]
        lock = f"{RESTRICTED_APIS}:{CONTROL_KEY_NAME}={base64.b64decode(secret).decode()}"
        arguments = (
            *(f"--http-restricted-api={lock}", f"--grpc-restricted-protocol={lock}"),
            *(f"--grpc-address={ADDRESS}", "--grpc-port=8001"),
            *(f"--metrics-address={ADDRESS}", "--metrics-port=8002"),
        )
        with TritonServer(tmp_path, args=arguments, models=[model]) as server:
            yield server
        objects.delete("inferencemodel", model, "default")
        objects.plane.kubectl("delete", "pod", f"{model}-1", "--grace-period=0", "--force")

    return run


def warm_start(objects, model):
    return objects.status(model).get("batching", {}).get("warmStart") or {}


@contextmanager
def asking(server, model):
    """Have a client ask one request after the other."""
    over = threading.Event()

    def ask():
        with TritonConnection(server.http_url, 10.0) as connection:
            request = random_request(connection.signature(model), 1, seed=1)
            while not over.wait(0.02):
                connection.infer(model, request)

    client = threading.Thread(target=ask)
    client.start()
    try:
        yield
    finally:
        over.set()
        client.join()


def test_a_new_model_is_measured_and_then_ready(objects, pod, triton):
    with triton("measured"):
        pod("measured")
        wait_for("it is ready", lambda: objects.condition("measured", "Ready") == READY, 90)
        found = warm_start(objects, "measured")
        assert (found["outcome"], found["reason"]) == ("Measured", "Measured"), found
        status = objects.status("measured")
        (times,) = status["serviceTimes"]
        assert times["nodeType"] == "cpu-large"
        shown = {point["batchSize"]: point["milliseconds"] for point in times["points"]}
        assert shown.keys() == {1, 2, 4, 8, 16}
        assert all(ms > 0 for ms in shown.values())
        assert "observed" not in status, "no client asked"


def test_a_model_that_clients_ask_is_left_to_them(objects, pod, triton):
    with triton("asked") as server, asking(server, "asked"):
        pod("asked")
        wait_for("it is ready", lambda: objects.condition("asked", "Ready") == READY, 90)
        found = warm_start(objects, "asked")
        assert (found["outcome"], found["reason"]) == ("NotMeasured", "ClientsAsk"), found
