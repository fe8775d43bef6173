# ruff: noqa: D102  short helpers; their names say what they do
"""The objects of a small make-believe cluster."""

import json
import time

from tests.integration.operator_process import (
    NAMESPACE,
    ROOT,
    Operator,
    now,
    wait_for,
)

__all__ = [
    "NAMESPACE",
    "ROOT",
    "SERVING",
    "Objects",
    "Operator",
    "await_served",
    "now",
    "versions",
    "wait_for",
    "wait_until_still",
]

IMAGE = "ferryman.dev/triton-cpu:test"
SERVING = ("deployment", "service", "configmap", "secret", "networkpolicy")


def _table(node, node_type, runtime, images_per_second):
    point = {
        "batchSize": 1,
        "imagesPerSecond": images_per_second,
        "latencyP50Milliseconds": 1000 / images_per_second,
        "latencyP99Milliseconds": 1200 / images_per_second,
    }
    return {
        "class": "cpu",
        "runtime": runtime,
        "image": IMAGE,
        "nodeType": node_type,
        "measuredOn": node,
        "measuredAt": "2026-01-01T00:00:00Z",
        "points": [point],
        "maxInstances": 2,
    }


class Objects:
    """Creates nodes, profiles, runtimes and models, and reads what came of them."""

    def __init__(self, plane):
        self.plane = plane

    def apply(self, document, *more):
        self.plane.kubectl(
            "apply",
            "--server-side",
            "--force-conflicts",
            *more,
            "-f",
            "-",
            stdin=json.dumps(document),
        )

    def get(self, kind, name, namespace=None):
        """Return an object, or None."""
        where = ["-n", namespace] if namespace else []
        text = self.plane.kubectl("get", kind, name, *where, "-o", "json", "--ignore-not-found")
        return json.loads(text) if text.strip() else None

    def list(self, kind, namespace=None):
        where = ["-n", namespace] if namespace else ["-A"]
        return json.loads(self.plane.kubectl("get", kind, *where, "-o", "json"))["items"]

    def delete(self, kind, name, namespace=None):
        where = ["-n", namespace] if namespace else []
        self.plane.kubectl("delete", kind, name, *where, "--wait=false", "--ignore-not-found")

    def namespace(self, name):
        self.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})

    def node(self, name, *, cpu="64", memory="128Gi"):
        """Create a Ready Node."""
        header = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}}
        labels = {"kubernetes.io/hostname": name}
        self.apply({**header, "metadata": {"name": name, "labels": labels}})
        amounts = {"cpu": cpu, "memory": memory, "pods": "110"}
        ready = {"type": "Ready", "status": "True", "reason": "KubeletReady"}
        status = {"allocatable": amounts, "capacity": amounts, "conditions": [ready]}
        self.apply({**header, "status": status}, "--subresource=status")
        # The API server taints every new node; no lifecycle controller takes that away.
        self.plane.kubectl(
            "patch", "node", name, "--type=merge", '--patch={"spec":{"taints":null}}'
        )

    def profile(
        self, name, node_type, *, images_per_second=100.0, utilisation=0.1, runtime="triton", **more
    ):
        """Write what agent and, unless the speed is 0, benchmark would have said of a node."""
        header = {
            "apiVersion": "serving.ferryman.dev/v1alpha1",
            "kind": "NodeProfile",
            "metadata": {"name": name},
        }
        self.apply(header)
        processor = {
            "class": "cpu",
            "product": "Test CPU",
            "memoryBytes": 2**33,
            "utilisation": utilisation,
            "memoryUtilisation": 0.2,
        }
        status = {
            "nodeType": node_type,
            "heartbeatTime": now(),
            "hardware": {
                "architecture": "amd64",
                "cpuModel": "Test CPU",
                "cpuMillicores": 4000,
                "memoryBytes": 2**33,
            },
            "processors": [processor],
            **more,
        }
        self.apply({**header, "status": status}, "--subresource=status", "--field-manager=agent")
        if images_per_second:
            table = _table(name, node_type, runtime, images_per_second)
            self.apply(
                {**header, "status": {"benchmarks": [table]}},
                "--subresource=status",
                "--field-manager=ferryman-benchmark",
            )

    def heartbeat(self, *names):
        """Report as agents do, so that no profile is stale."""
        patch = json.dumps({"status": {"heartbeatTime": now()}})
        where = ["--subresource=status", "--type=merge", f"-p={patch}"]
        self.plane.kubectl("patch", "nodeprofile", *names, *where)

    def runtime(self, name="triton", *, benchmark=False):
        spec = {
            "processors": [
                {
                    "class": "cpu",
                    "image": IMAGE,
                    "backends": {"onnx": "onnxruntime"},
                    "instanceKind": "KIND_CPU",
                    "resources": {"requests": {"cpu": "500m", "memory": "512Mi"}},
                }
            ]
        }
        if benchmark:
            spec["benchmark"] = {
                "model": {
                    "storageUri": "oci://ferryman.dev/models/resnet50:1",
                    "modelFormat": {"name": "onnx"},
                }
            }
        self.apply(
            {
                "apiVersion": "serving.ferryman.dev/v1alpha1",
                "kind": "InferenceRuntime",
                "metadata": {"name": name},
                "spec": spec,
            }
        )

    def model(self, name, namespace="default", *, runtime="triton", **spec):
        self.apply(
            {
                "apiVersion": "serving.ferryman.dev/v1alpha1",
                "kind": "InferenceModel",
                "metadata": {"name": name, "namespace": namespace},
                "spec": {
                    "model": {
                        "storageUri": "oci://ferryman.dev/models/digits:1",
                        "modelFormat": {"name": "onnx"},
                    },
                    "runtimeRef": {"name": runtime},
                    "objectives": {"latency": {"targetMilliseconds": 50}},
                    **spec,
                },
            }
        )

    def status(self, name, namespace="default"):
        found = self.get("inferencemodel", name, namespace)
        return (found or {}).get("status", {})

    def patch_status(self, kind, name, status, namespace="default"):
        """Write fields of a status as if an earlier operator had."""
        where = ["-n", namespace] if namespace else []
        patch = f"--patch={json.dumps({'status': status})}"
        how = ["--subresource=status", "--type=merge", patch]
        self.plane.kubectl("patch", kind, name, *where, *how)

    def condition(self, name, kind, namespace="default"):
        """Return (status, reason) of a condition, or None."""
        for condition in self.status(name, namespace).get("conditions", ()):
            if condition["type"] == kind:
                return condition["status"], condition["reason"]
        return None

    def replica_set(self, deployment):
        """Make a ReplicaSet of a Deployment, without pods; return the reference of its pods."""
        name, namespace = (deployment["metadata"][field] for field in ("name", "namespace"))
        identity = {"name": f"{name}-1", "namespace": namespace}
        self.apply(
            {
                "apiVersion": "apps/v1",
                "kind": "ReplicaSet",
                "metadata": {
                    **identity,
                    "ownerReferences": [controlled_by("Deployment", deployment)],
                },
                "spec": {
                    "replicas": 0,
                    "selector": deployment["spec"]["selector"],
                    "template": deployment["spec"]["template"],
                },
            }
        )
        return controlled_by("ReplicaSet", self.get("replicaset", f"{name}-1", namespace))

    def served(self, name, namespace="default"):
        """Return the model's Deployment, or None."""
        return self.get("deployment", f"{name}-triton", namespace)


def controlled_by(kind, owner):
    """Return the reference to an object that controls another."""
    metadata = owner["metadata"]
    identity = {"kind": kind, "name": metadata["name"], "uid": metadata["uid"]}
    return {"apiVersion": "apps/v1", **identity, "controller": True}


def await_served(objects, name, namespace="default", timeout_s=20.0):
    """Return the model's Deployment as soon as there is one."""
    return wait_for(f"{name} is served", lambda: objects.served(name, namespace), timeout_s)


def versions(objects, name, namespace="default"):
    """Return the resource versions of a model and its objects."""
    kinds = ("inferencemodel", *SERVING)
    names = {"inferencemodel": name}
    return {
        kind: objects.get(kind, names.get(kind, f"{name}-triton"), namespace)["metadata"][
            "resourceVersion"
        ]
        for kind in kinds
    }


def wait_until_still(look, still_s=3.0, timeout_s=60.0):
    """Look until nothing has changed for so long, and return what there is."""
    deadline = time.monotonic() + timeout_s
    seen, since = look(), time.monotonic()
    while time.monotonic() - since < still_s:
        assert time.monotonic() < deadline, f"it still changes after {timeout_s} s: {seen}"
        time.sleep(0.5)
        before, seen = seen, look()
        if seen != before:
            since = time.monotonic()
    return seen
