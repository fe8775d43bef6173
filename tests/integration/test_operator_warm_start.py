"""A model is measured before its clients come.

With a real API server, the shipped permissions, and a real tritonserver. Only the controllers and
the kubelet are missing.
"""

import base64

import pytest

from ferryman.api.names import CONTROL_KEY_NAME, RESTRICTED_APIS
from hack.models import digits
from tests.integration.operators import await_served, wait_for
from tests.integration.tritonserver import TritonServer

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]

#: An address of loopback's own, with the ports at which the operator looks for Triton.
ADDRESS = "127.0.71.43"
NAME = "measured"


@pytest.fixture
def pod(objects, fresh):
    """Make a ready pod as a Deployment's controller and a kubelet would."""

    def make():
        deployment = objects.served(NAME)
        labels = {"serving.ferryman.dev/model": NAME, "app.kubernetes.io/managed-by": "ferryman"}
        header = {"apiVersion": "v1", "kind": "Pod"}
        identity = {"name": f"{NAME}-1", "namespace": "default"}
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
                "metadata": {"name": f"{NAME}-triton", "namespace": "default"},
                "status": seen,
            },
            "--subresource=status",
        )

    return make


def warm_start(objects):
    return objects.status(NAME).get("batching", {}).get("warmStart") or {}


@pytest.mark.usefixtures("operator")
def test_a_new_model_is_measured_and_then_ready(objects, pod, tmp_path):
    limits = {"maxBatchSize": {"max": 16}}
    objects.model(NAME, batching={"warmStart": "Benchmark", "limits": limits})
    await_served(objects, NAME)
    assert warm_start(objects) == {}, "nothing serves yet"

    folder = tmp_path / NAME
    digits.write(folder)
    config = objects.get("configmap", f"{NAME}-triton", "default")["data"]["config.pbtxt"]
    (folder / "config.pbtxt").write_text(config)
    secret = objects.get("secret", f"{NAME}-triton", "default")["data"]["key"]
    lock = f"{RESTRICTED_APIS}:{CONTROL_KEY_NAME}={base64.b64decode(secret).decode()}"
    arguments = (
        *(f"--http-restricted-api={lock}", f"--grpc-restricted-protocol={lock}"),
        *(f"--grpc-address={ADDRESS}", "--grpc-port=8001"),
        *(f"--metrics-address={ADDRESS}", "--metrics-port=8002"),
    )
    with TritonServer(tmp_path, args=arguments, models=[NAME]):
        pod()
        wait_for("it is ready", lambda: objects.condition(NAME, "Ready") == ("True", "Serving"), 90)
        found = warm_start(objects)
        assert (found["outcome"], found["reason"]) == ("Measured", "Measured"), found
        (times,) = objects.status(NAME)["serviceTimes"]
        assert times["nodeType"] == "cpu-large"
        shown = {point["batchSize"]: point["milliseconds"] for point in times["points"]}
        assert shown.keys() == {1, 2, 4, 8, 16}
        assert all(ms > 0 for ms in shown.values())
        assert "observed" not in objects.status(NAME), "no client asked"
