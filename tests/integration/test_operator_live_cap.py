"""The live cap with a real API server, the shipped permissions, and a real tritonserver.

Only the kubelet is missing: nothing projects the annotation, so the bound that serves is not
looked at here (tests/integration/test_triton_live_cap.py does), but what the operator makes of it.
"""

import base64
import json
import shutil
import time

import pytest

from ferryman.api.names import CONTROL_KEY_NAME, RESTRICTED_APIS
from ferryman.clients.kubernetes import KubernetesApi
from ferryman.clients.kubernetes_errors import NotFoundError
from ferryman.clients.kubernetes_transport import Transport, load_configuration
from hack import livecap
from hack.models import digits
from tests.integration.operators import NAMESPACE, await_served, wait_for
from tests.integration.tritonserver import TritonServer

pytestmark = [
    pytest.mark.integration,
    pytest.mark.timeout(240),
    pytest.mark.skipif(livecap.compiler() is None, reason="there is no C compiler here"),
]

#: An address of loopback's own, with the ports at which the operator looks for Triton.
ADDRESS = "127.0.71.42"
ANNOTATION = "serving.ferryman.dev/max-batch-size"
LIBRARY = "/usr/local/lib/ferryman/batchstrategy.so"
#: No window ends by itself: the tuner is never asked.
WINDOW = {"minSeconds": 3600, "maxSeconds": 3600}
LOADED = ("True", "ModelLoaded")


def batching(largest):
    return {"mode": "Auto", "window": WINDOW, "limits": {"maxBatchSize": {"max": largest}}}


@pytest.fixture
def pod(objects, fresh):
    """Make a pod as a Deployment's controller would, without a container that runs."""

    def owner(model):
        """Return the reference to a ReplicaSet of the model's Deployment; none without one."""
        deployment = objects.served(model)
        return [] if deployment is None else [objects.replica_set(deployment)]

    def make(name, model, **metadata):
        labels = {
            "serving.ferryman.dev/model": model,
            "app.kubernetes.io/managed-by": "ferryman",
        }
        container = {"name": "triton", "image": "ferryman.dev/triton-cpu:test"}
        annotation = "metadata.annotations['serving.ferryman.dev/max-batch-size']"
        bound = {"path": "max-batch-size", "fieldRef": {"fieldPath": annotation}}
        volume = {"name": "live-cap", "downwardAPI": {"items": [bound]}}
        header = {"apiVersion": "v1", "kind": "Pod"}
        identity = {"name": name, "namespace": "default"}
        metadata = {"ownerReferences": owner(model), **metadata}
        account = {"apiVersion": "v1", "kind": "ServiceAccount"}
        objects.apply({**account, "metadata": {"name": "default", "namespace": "default"}})
        spec = {"nodeName": "node-2", "containers": [container], "volumes": [volume]}
        objects.apply(
            {**header, "metadata": {**identity, "labels": labels, **metadata}, "spec": spec}
        )
        ready = {"type": "Ready", "status": "True"}
        addresses = {"podIP": ADDRESS, "podIPs": [{"ip": ADDRESS}]}
        status = {"phase": "Running", "conditions": [ready], **addresses}
        objects.apply({**header, "metadata": identity, "status": status}, "--subresource=status")

    return make


def annotation(objects, name):
    return (objects.get("pod", name, "default")["metadata"].get("annotations") or {}).get(
        ANNOTATION
    )


def latest_change(objects, model):
    """Return the last change that the status tells of; empty while there is none."""
    found = objects.status(model).get("batching", {}).get("changes")
    return found[0] if found else {}


@pytest.fixture
def served(objects, pod, operator, tmp_path):
    """Yield a model whose one pod is a tritonserver that started from its ConfigMap."""
    runtime = objects.get("inferenceruntime", "triton")
    entry = {**runtime["spec"]["processors"][0], "liveCap": {"library": LIBRARY}}
    header = {"apiVersion": runtime["apiVersion"], "kind": runtime["kind"]}
    named = {**header, "metadata": {"name": "capped"}}
    objects.apply({**named, "spec": {**runtime["spec"], "processors": [entry]}})
    objects.profile("node-2", "cpu-large", runtime="capped")
    objects.model("capped", runtime="capped", batching=batching(16))
    await_served(objects, "capped")
    folder = tmp_path / "capped"
    digits.write(folder)
    config = objects.get("configmap", "capped-triton", "default")["data"]["config.pbtxt"]
    (folder / "config.pbtxt").write_text(config)
    shutil.copyfile(livecap.build(tmp_path / "library"), folder / livecap.LIBRARY)
    secret = objects.get("secret", "capped-triton", "default")["data"]["key"]
    lock = f"{RESTRICTED_APIS}:{CONTROL_KEY_NAME}={base64.b64decode(secret).decode()}"
    arguments = (
        *(f"--http-restricted-api={lock}", f"--grpc-restricted-protocol={lock}"),
        *(f"--grpc-address={ADDRESS}", "--grpc-port=8001"),
        *(f"--metrics-address={ADDRESS}", "--metrics-port=8002"),
    )
    with TritonServer(tmp_path, args=arguments, models=["capped"]):
        pod("capped-1", "capped")
        wait_for("Triton answers", lambda: objects.condition("capped", "ModelLoaded") == LOADED, 60)
        yield "capped"
        objects.delete("inferencemodel", "capped", "default")
        objects.plane.kubectl("delete", "pod", "capped-1", "--grace-period=0", "--force")


def test_the_bound_changes_by_the_annotation_alone(objects, operator, served):
    config = objects.get("configmap", "capped-triton", "default")["data"]["config.pbtxt"]
    assert "max_batch_size: 16" in config
    assert annotation(objects, "capped-1") is None
    before = objects.served(served)["metadata"]["generation"]
    objects.model(served, runtime="capped", batching=batching(6))
    wait_for("the annotation is written", lambda: annotation(objects, "capped-1") == "6")
    wait_for("its outcome, too", lambda: latest_change(objects, served).get("outcome") == "Applied")
    latest = latest_change(objects, served)
    assert (latest["actuator"], latest["reason"]) == ("LiveCap", "SpecChanged")
    assert objects.status(served)["batching"]["applied"]["maxBatchSize"] == 6
    assert not objects.status(served)["batching"].get("recentReloads")

    def starts_with_six():
        text = objects.get("configmap", "capped-triton", "default")["data"]["config.pbtxt"]
        return 'string_value: "6"' in text and "max_batch_size: 6" in text

    wait_for("pods to come start with it", starts_with_six)
    assert objects.served(served)["metadata"]["generation"] == before, "no pod rolls"

    # Somebody edits it by hand, and somebody else's annotation stays.
    objects.plane.kubectl(
        "annotate", "pod", "capped-1", f"{ANNOTATION}=1", "theirs=stays", "--overwrite"
    )
    wait_for("it is brought back", lambda: annotation(objects, "capped-1") == "6")
    wait_for("and that is told", lambda: latest_change(objects, served)["reason"] == "Drifted")
    annotations = objects.get("pod", "capped-1", "default")["metadata"]["annotations"]
    assert annotations["theirs"] == "stays"
    time.sleep(3)
    patched = [count for what, count in operator.writes().items() if '"Pod"' in what]
    assert patched == [2], "and nothing is written any more"


async def test_with_the_shipped_permissions_pods_can_be_annotated(objects, plane, pod, tmp_path):
    pod("bare-1", "nobody", annotations={"theirs": "stays"})
    token = plane.kubectl("create", "token", "ferryman-operator", "-n", NAMESPACE).strip()
    kubeconfig = plane.kubeconfig_for(token, "annotating")
    configuration = await load_configuration(str(kubeconfig))
    async with Transport(configuration) as transport:
        api = KubernetesApi(transport)
        first = await api.annotate_pod("default", "bare-1", {ANNOTATION: "8"})
        assert first["metadata"]["annotations"] == {ANNOTATION: "8", "theirs": "stays"}
        again = await api.annotate_pod("default", "bare-1", {ANNOTATION: "8"})
        assert again["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]
        with pytest.raises(NotFoundError):
            await api.annotate_pod("default", "gone-1", {ANNOTATION: "8"})
    assert "gone-1" not in json.dumps(objects.list("pods", "default"))
    objects.plane.kubectl("delete", "pod", "bare-1", "--grace-period=0", "--force")
