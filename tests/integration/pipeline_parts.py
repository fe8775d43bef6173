"""A pipeline's pod without a kubelet, and clients of its ensemble.

The test lays the models out by the rendered script, from the rendered ConfigMap, and starts Triton
with the rendered arguments.
"""

import base64
import re
import shutil
import subprocess
import threading
from pathlib import Path

import numpy as np
import tritonclient.grpc as triton

from ferryman.api.names import CONTROL_KEY_NAME, RESTRICTED_APIS
from tests.integration.operators import wait_for
from tests.integration.tritonserver import TritonServer

#: An address of loopback's own, with the ports at which the operator looks for Triton.
ADDRESS = "127.0.71.43"
NAME = "chain-pipeline"
SLEEPS_MS = {"prepare": 5, "detect": 30, "read": 5}
READS = {"prepare": "image", "detect": "prepare.output", "read": "detect.output"}
CLIENTS = 8
SCRIPT = Path(__file__).with_name("sleeping_step.py")


def specification(sleeps_ms=None, most_instances=6, least_per_s=80):
    """Return a chain of steps of which the middle one is slow; none states its tensors."""
    return {
        "inputs": [{"name": "image", "datatype": "FP32", "shape": [-1, 1]}],
        "steps": [
            {
                "name": name,
                "model": {
                    "storageUri": f"pvc://steps/{name}",
                    "modelFormat": {"name": "python"},
                    "config": {"parameters": {"sleep_ms": {"string_value": str(sleep_ms)}}},
                },
                "inputMap": {"input": READS[name]},
            }
            for name, sleep_ms in (sleeps_ms or SLEEPS_MS).items()
        ],
        "outputs": [{"name": "text", "from": "read.output"}],
        "runtimeRef": {"name": "stepwise"},
        "objectives": {"throughput": {"minPerSecond": least_per_s}},
        "balancing": {
            "limits": {"maxBatchSize": {"min": 1, "max": 1}, "instances": {"max": most_instances}},
            "window": {"minSeconds": 3, "maxSeconds": 5, "maxRequests": 100_000},
        },
    }


class Kubelet:
    """Does what a kubelet does with the pod of the Deployment, but for containers."""

    def __init__(self, objects, folder):
        self.objects = objects
        self.folder = folder

    def lay_out(self, template):
        """Run the layout container's script on folders of the test's own."""
        [layout] = template["spec"]["initContainers"]
        for name in SLEEPS_MS:
            files = self.folder / "model" / name
            files.mkdir(parents=True)
            shutil.copyfile(SCRIPT, files / "model.py")
        (self.folder / "models").mkdir()
        self.project()
        script = re.sub(
            r"(?<=[\s\"=])/(?=(models|model|config)/)", f"{self.folder}/", layout["command"][2]
        )
        environment = {each["name"]: each["value"] for each in layout["env"]}
        subprocess.run(
            ["/bin/sh", "-c", script],
            env={"PATH": "/usr/bin:/bin", **environment},
            check=True,
            timeout=20,
        )

    def project(self):
        """Show the ConfigMap as files, as the kubelet does within a minute."""
        data = self.objects.get("configmap", NAME, "default")["data"]
        (self.folder / "config").mkdir(exist_ok=True)
        for file, text in data.items():
            (self.folder / "config" / file).write_text(text)
        return data

    def run(self, template):
        """Return a server with the models and the key of the pod, at the pod's ports."""
        triton_arguments = template["spec"]["containers"][0]["args"]
        loads = [each for each in triton_arguments if each.startswith("--load-model=")]
        secret = self.objects.get("secret", NAME, "default")["data"]["key"]
        lock = f"{RESTRICTED_APIS}:{CONTROL_KEY_NAME}={base64.b64decode(secret).decode()}"
        return TritonServer(
            self.folder / "models",
            args=(
                *loads,
                "--exit-on-error=false",
                *(f"--http-restricted-api={lock}", f"--grpc-restricted-protocol={lock}"),
                *(f"--grpc-address={ADDRESS}", "--grpc-port=8001"),
                *(f"--metrics-address={ADDRESS}", "--metrics-port=8002"),
            ),
        )

    def pod(self, template, *, ready):
        """Create the pod, or say that it is ready."""
        header = {"apiVersion": "v1", "kind": "Pod"}
        identity = {"name": "chain-1", "namespace": "default"}
        account = {"apiVersion": "v1", "kind": "ServiceAccount"}
        self.objects.apply({**account, "metadata": {"name": "default", "namespace": "default"}})
        container = {"name": "triton", "image": "ferryman.dev/triton-cpu:test"}
        owner = self.objects.replica_set(self.objects.get("deployment", NAME, "default"))
        metadata = {**identity, **template["metadata"], "ownerReferences": [owner]}
        spec = {"nodeName": "node-2", "containers": [container]}
        self.objects.apply({**header, "metadata": metadata, "spec": spec})
        condition = {"type": "Ready", "status": "True" if ready else "False"}
        addresses = {"podIP": ADDRESS, "podIPs": [{"ip": ADDRESS}]}
        status = {"phase": "Running", "conditions": [condition], **addresses}
        self.objects.apply(
            {**header, "metadata": identity, "status": status}, "--subresource=status"
        )
        count = int(ready)
        deployment = self.objects.get("deployment", NAME, "default")
        self.objects.apply(
            {
                "apiVersion": "apps/v1",
                "kind": "Deployment",
                "metadata": {"name": NAME, "namespace": "default"},
                "status": {
                    "observedGeneration": deployment["metadata"]["generation"],
                    "replicas": 1,
                    "readyReplicas": count,
                    "availableReplicas": count,
                    "updatedReplicas": 1,
                },
            },
            "--subresource=status",
        )


class Load:
    """Closed-loop clients of the ensemble, which count answers and failures."""

    def __init__(self):
        self.over = threading.Event()
        self.answered = self.failed = 0
        self.words = ""
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._ask) for _ in range(CLIENTS)]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        for thread in self._threads:
            thread.join(20)

    def _ask(self):
        with triton.InferenceServerClient(f"{ADDRESS}:8001") as client:
            while not self.over.is_set():
                wanted = triton.InferInput("image", [1, 1], "FP32")
                number = np.full((1, 1), 7, np.float32)
                wanted.set_data_from_numpy(number)
                try:
                    answer = client.infer("chain", [wanted]).as_numpy("text")
                    good = bool((answer == number).all())
                    words = ""
                except triton.InferenceServerException as error:
                    good, words = False, str(error)
                with self._lock:
                    self.answered += good
                    self.failed += not good
                    self.words = self.words or words


def status(objects):
    return objects.get("inferencepipeline", "chain", "default").get("status", {})


def condition(objects, kind):
    found = {each["type"]: each for each in status(objects).get("conditions", ())}
    return (found[kind]["status"], found[kind]["reason"]) if kind in found else None


def create(objects, spec):
    """Apply the pipeline and a runtime that serves Python models; return its pods' template."""
    runtime = objects.get("inferenceruntime", "triton")
    entry = {**runtime["spec"]["processors"][0], "backends": {"python": "python"}}
    header = {"apiVersion": runtime["apiVersion"], "kind": runtime["kind"]}
    named = {**header, "metadata": {"name": "stepwise"}}
    objects.apply({**named, "spec": {**runtime["spec"], "processors": [entry]}})
    objects.profile("node-2", "cpu-large", runtime="stepwise")
    head = {"apiVersion": runtime["apiVersion"], "kind": "InferencePipeline"}
    identity = {"name": "chain", "namespace": "default"}
    objects.apply({**head, "metadata": identity, "spec": spec})
    wait_for("it is deployed", lambda: objects.get("deployment", NAME, "default"))
    return objects.get("deployment", NAME, "default")["spec"]["template"]


def delete(objects):
    """Remove the pipeline, its pod, and what a garbage collector would remove."""
    objects.delete("inferencepipeline", "chain", "default")
    for kind, name in (("pod", "chain-1"), ("deployment", NAME), ("configmap", NAME)):
        objects.plane.kubectl(
            "delete",
            kind,
            name,
            "-n",
            "default",
            "--ignore-not-found",
            "--grace-period=0",
            "--force",
        )
