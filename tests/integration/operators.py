# ruff: noqa: D102  short helpers; their names say what they do
"""The operator as a process, and the objects of a small make-believe cluster."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).parents[2]
NAMESPACE = "ferryman-system"
IMAGE = "ferryman.dev/triton-cpu:test"
SERVING = ("deployment", "service", "configmap", "secret", "networkpolicy")


def wait_for(what, question, timeout_s=20.0, period_s=0.1):
    """Ask until the answer is true, and return it; fail with the last answer."""
    deadline, answer = time.monotonic() + timeout_s, None
    while time.monotonic() < deadline:
        try:
            answer = question()
        except (RuntimeError, OSError) as error:
            answer = None
            last = error
        else:
            last = answer
        if answer:
            return answer
        time.sleep(period_s)
    raise AssertionError(f"{what}: not within {timeout_s} s; last: {last}")


class Operator:
    """One ``ferryman operator`` process."""

    def __init__(self, kubeconfig, log, *arguments):
        self.log_path = log
        self._kubeconfig = kubeconfig
        self._arguments = arguments
        self._process = None
        self.port = None

    def start(self, *, wait_until_ready=True):
        before = len(self.lines())
        command = [sys.executable, "-m", "ferryman.cli.main", "operator"]
        command += [f"--kubeconfig={self._kubeconfig}", "--host=127.0.0.1", "--port=0"]
        command += [f"--namespace={NAMESPACE}", *self._arguments]
        environment = {**os.environ, "PYTHONPATH": str(ROOT / "operator")}
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(
                command, stdout=log, stderr=log, env=environment, cwd=ROOT
            )
        self.port = None
        started = wait_for(
            "the operator starts",
            lambda: [line for line in self.lines()[before:] if line.get("message") == "started"],
            30,
        )
        self.port = started[0]["port"]
        if wait_until_ready:
            wait_for("the operator is ready", lambda: self.get("/readyz")[0] == 200)
        return self

    @property
    def pid(self):
        return self._process.pid

    @property
    def alive(self):
        return self._process is not None and self._process.poll() is None

    def kill(self):
        self._process.kill()
        self._process.wait(10)

    def terminate(self):
        """Send SIGTERM; return the exit status and the seconds it took."""
        began = time.monotonic()
        self._process.send_signal(signal.SIGTERM)
        status = self._process.wait(30)
        return status, time.monotonic() - began

    def close(self):
        if self.alive:
            self.kill()

    def get(self, path):
        """Return status and text of one of the operator's own pages."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5) as page:
                return page.status, page.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def writes(self):
        """Return how many writes of each verb and kind the API server accepted."""
        lines = self.get("/metrics")[1].splitlines()
        prefix = "ferryman_api_writes_total{"
        return {
            line[len(prefix) :].partition("}")[0]: float(line.rpartition(" ")[2])
            for line in lines
            if line.startswith(prefix)
        }

    def lines(self):
        """Return the log so far, one dictionary a line; what is no JSON under ``raw``."""
        if not self.log_path.exists():
            return []
        text = self.log_path.read_text(errors="replace")
        return [_parsed(line) for line in text.splitlines() if line.strip()]


def _parsed(line):
    try:
        return json.loads(line)
    except ValueError:
        return {"raw": line}


def now():
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


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
        # No lifecycle controller runs that would take the taint of a new node away.
        self.plane.kubectl(
            "taint", "node", name, "node.kubernetes.io/not-ready-", "--overwrite=true"
        ) if self._is_tainted(name) else None

    def _is_tainted(self, name):
        return bool((self.get("node", name) or {}).get("spec", {}).get("taints"))

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

    def condition(self, name, kind, namespace="default"):
        """Return (status, reason) of a condition, or None."""
        for condition in self.status(name, namespace).get("conditions", ()):
            if condition["type"] == kind:
                return condition["status"], condition["reason"]
        return None

    def served(self, name, namespace="default"):
        """Return the model's Deployment, or None."""
        return self.get("deployment", f"{name}-triton", namespace)


def await_served(objects, name, namespace="default"):
    """Return the model's Deployment as soon as there is one."""
    return wait_for(f"{name} is served", lambda: objects.served(name, namespace))


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
