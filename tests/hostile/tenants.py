"""What a hostile tenant writes, and the other tenant's model beside it."""

import json
import ssl
import threading
import urllib.error
import urllib.request
from contextlib import contextmanager
from itertools import count
from pathlib import Path

from tests.integration.controlplane import TOKEN

GROUP = "serving.ferryman.dev/v1alpha1"
_numbers = count(1)


def nested(levels):
    """Return an overlay that is so deep, as a text: Python could not write it."""
    return '{"a":' * levels + "1" + "}" * levels


def model(name, namespace, config="{}"):
    """Return an InferenceModel as a text, around an overlay that is one."""
    head = {
        "apiVersion": GROUP,
        "kind": "InferenceModel",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "model": {
                "storageUri": "oci://ferryman.dev/models/digits:1",
                "modelFormat": {"name": "onnx"},
                "config": "HERE",
            },
            "runtimeRef": {"name": "triton"},
            "objectives": {"latency": {"targetMilliseconds": 50}},
        },
    }
    return json.dumps(head).replace('"HERE"', config)


def _controlled_by(kind, owner):
    metadata = owner["metadata"]
    identity = {"kind": kind, "name": metadata["name"], "uid": metadata["uid"]}
    return {"apiVersion": "apps/v1", **identity, "controller": True}


class Tenants:
    """A hostile tenant's namespace, and another's."""

    def __init__(self, plane, objects):
        self.plane, self.objects = plane, objects
        number = next(_numbers)
        self.hostile, self.other = f"hostile-{number}", f"other-{number}"
        for namespace in (self.hostile, self.other):
            objects.namespace(namespace)

    def others_model(self, name):
        """Have the other tenant write a model."""
        self.objects.model(name, self.other)

    def create(self, text, plural="inferencemodels"):
        """Send the hostile tenant's object as it is; kubectl would parse it."""
        self._send("POST", f"/apis/{GROUP}/namespaces/{self.hostile}/{plural}", text)

    def delete(self, name, plural="inferencemodels"):
        """Delete one of the hostile tenant's objects."""
        self._send("DELETE", f"/apis/{GROUP}/namespaces/{self.hostile}/{plural}/{name}")

    def status(self, name):
        """Return the status of a hostile model."""
        path = f"/apis/{GROUP}/namespaces/{self.hostile}/inferencemodels/{name}/status"
        text = self._send("GET", path)
        # What is before it may be too deep to be read.
        return json.loads(text[text.rindex('"status":{') + len('"status":') :].rstrip()[:-1])

    def post(self, namespace, path, document):
        """Create a namespaced object of Kubernetes' own kinds; return it."""
        group, plural = path.rsplit("/", 1)
        return json.loads(
            self._send("POST", f"{group}/namespaces/{namespace}/{plural}", json.dumps(document))
        )

    def replica_set(self, model, namespace, name="", *, foreign=False):
        """Create a ReplicaSet of a model's Deployment, as its controller would, or of nobody."""
        name = name or f"{model}-triton-1"
        deployment = self.objects.get("deployment", f"{model}-triton", namespace)
        body = {
            "metadata": {
                "name": name,
                "labels": deployment["spec"]["template"]["metadata"]["labels"],
                "ownerReferences": [] if foreign else [_controlled_by("Deployment", deployment)],
            },
            "spec": {
                "replicas": 0,
                "selector": deployment["spec"]["selector"],
                "template": deployment["spec"]["template"],
            },
        }
        return self.post(namespace, "/apis/apps/v1/replicasets", body)

    def pod(self, name, namespace, model, address, owner=None):
        """Create a pod that is ready at an address, of a ReplicaSet or of nobody."""
        references = [] if owner is None else [_controlled_by("ReplicaSet", owner)]
        labels = {
            "serving.ferryman.dev/model": model,
            "app.kubernetes.io/managed-by": "ferryman",
        }
        container = {"name": "triton", "image": "ferryman.dev/triton-cpu:test"}
        metadata = {"name": name, "labels": labels, "ownerReferences": references}
        spec = {"nodeName": "node-2", "containers": [container]}
        self.post(namespace, "/api/v1/pods", {"metadata": metadata, "spec": spec})
        status = {
            "phase": "Running",
            "podIP": address,
            "podIPs": [{"ip": address}],
            "conditions": [{"type": "Ready", "status": "True"}],
        }
        path = f"/api/v1/namespaces/{namespace}/pods/{name}/status"
        self._send("PATCH", path, json.dumps({"status": status}), "application/merge-patch+json")

    @contextmanager
    def poking(self, names):
        """Change these hostile pods all the time: each event has their model looked at again."""
        over = threading.Event()

        def poke():
            number = 0
            while not over.wait(0.2):
                number += 1
                body = json.dumps({"metadata": {"annotations": {"poked": str(number)}}})
                for name in names:
                    path = f"/api/v1/namespaces/{self.hostile}/pods/{name}"
                    self._send("PATCH", path, body, "application/merge-patch+json")

        thread = threading.Thread(target=poke)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join(60)

    def leave(self):
        """Delete all models, whatever is in them."""
        for namespace in (self.hostile, self.other):
            self._send("DELETE", f"/apis/{GROUP}/namespaces/{namespace}/inferencemodels")
            self._send("DELETE", f"/apis/apps/v1/namespaces/{namespace}/deployments")
            self._send("DELETE", f"/api/v1/namespaces/{namespace}/pods?gracePeriodSeconds=0")

    def _send(self, method, path, text=None, content_type="application/json"):
        request = urllib.request.Request(  # noqa: S310
            f"{self.plane.url}{path}",
            data=text.encode() if text else None,
            method=method,
            headers={"Authorization": f"Bearer {TOKEN}", "Content-Type": content_type},
        )
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        try:
            with urllib.request.urlopen(request, timeout=120, context=context) as answer:  # noqa: S310
                return answer.read().decode()
        except urllib.error.HTTPError as error:
            words = error.read(500).decode(errors="replace")
            raise RuntimeError(f"{method} {path}: {error.code} {words}") from error


def peak_mib(operator):
    """Return the most memory that the operator ever had, in MiB."""
    lines = Path(f"/proc/{operator.pid}/status").read_text().splitlines()
    [line] = [line for line in lines if line.startswith("VmHWM:")]
    return int(line.split()[1]) / 1024


def unread(operator):
    """Return how many models the operator says that it does not read."""
    lines = operator.get("/metrics")[1].splitlines()
    found = [line for line in lines if line.startswith("ferryman_unread_objects{")]
    return sum(float(line.rpartition(" ")[2]) for line in found)
