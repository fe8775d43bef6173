"""Open-loop load from inside the cluster: a Job that runs `ferryman load` and prints JSON lines."""

import base64
import json
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hack import installation
from hack.cluster import Cluster, binaries
from hack.manifests import NAMESPACE

INPUT = "input.npz"
PORTS = {"http": 8000, "grpc": 8001}
#: `ferryman load` is the container's first process, and ends well when it is interrupted.
INTERRUPT = "import os, signal; os.kill(1, signal.SIGINT)"
CONTROL_PLANE = "node-role.kubernetes.io/control-plane"
START_TIMEOUT_S = 120


@dataclass(frozen=True)
class LoadSpec:
    """What to send: a constant or Poisson stream of requests, its inputs and expected answers."""

    model: str
    namespace: str
    rate_per_s: float
    duration_s: int
    inputs: Path
    deadline_ms: int = 5_000
    arrivals: str = "poisson"
    seed: int = 1
    scheme: str = "http"
    """How it travels: http, or grpc."""
    clients: int = 1
    new_connections: bool = False
    keepalive_s: float | None = None
    service: str = ""
    """Where it is sent to; empty: to the Service of the model."""
    compare: str = "labels"
    """What counts as right: a whole label, or of a text the share of its characters."""

    def arguments(self) -> list[str]:
        """Return the command line of `ferryman load`."""
        return [
            "load",
            f"--url={self.scheme}://{self._host()}:{PORTS[self.scheme]}",
            f"--model={self.model}",
            f"--rate={self.rate_per_s}",
            f"--duration={self.duration_s}",
            f"--deadline-ms={self.deadline_ms}",
            f"--arrivals={self.arrivals}",
            f"--seed={self.seed}",
            f"--clients={self.clients}",
            f"--input=/data/{INPUT}",
            f"--compare={self.compare}",
            *(["--new-connections"] if self.new_connections else []),
            *([f"--keepalive={self.keepalive_s}"] if self.keepalive_s else []),
            "--json",
        ]

    def _host(self) -> str:
        return f"{self.service or f'{self.model}-triton'}.{self.namespace}.svc"


@dataclass
class LoadJob:
    """A running load Job: its lines as they come, and its summary at the end."""

    cluster: Cluster
    spec: LoadSpec
    name: str
    seconds: list[dict[str, Any]] = field(default_factory=list)
    """One entry per second, as `ferryman load` printed it, with the Unix `time` of arrival."""
    summary: dict[str, Any] | None = None
    _follower: threading.Thread | None = None

    def start(self) -> None:
        """Create the Job, follow its output in the background, and wait until it sends."""
        installation.apply(self.cluster, *self._objects())
        installation.wait_for(
            f"load Job {self.name} to start",
            self._started,
            timeout_s=START_TIMEOUT_S,
            explain=self._describe,
        )
        self._follower = threading.Thread(target=self._follow, daemon=True)
        self._follower.start()
        installation.wait_for(
            f"load Job {self.name} to send",
            lambda: bool(self.seconds) or self.finished,
            timeout_s=START_TIMEOUT_S,
            period_s=0.1,
            explain=self._describe,
        )

    def wait(self) -> dict[str, Any]:
        """Return the summary at the end of the load; RuntimeError when it did not end well."""
        if self._follower is None:
            raise RuntimeError("start() comes first")
        self._follower.join(timeout=self.spec.duration_s + START_TIMEOUT_S)
        if self.summary is None:
            raise RuntimeError(f"load Job {self.name} ended without a summary:\n{self._describe()}")
        return self.summary

    def end(self) -> dict[str, Any]:
        """Have the load end now, and return its summary; RuntimeError if it had ended before."""
        if self.finished:
            raise RuntimeError(f"load Job {self.name} ended before it was to:\n{self._describe()}")
        self.interrupt()
        return self.wait()

    def interrupt(self) -> None:
        """Have no more be sent; what is under way is still answered, and counted."""
        where = f"--namespace={self.spec.namespace}"
        self.cluster.kubectl("exec", f"job/{self.name}", where, "--", "python", "-c", INTERRUPT)

    @property
    def finished(self) -> bool:
        """Whether the output has ended (well or not: ``wait`` tells)."""
        return self._follower is not None and not self._follower.is_alive()

    def delete(self) -> None:
        """Remove the Job, its pod and its input."""
        self.cluster.kubectl(
            "delete",
            "job,configmap",
            self.name,
            f"--namespace={self.spec.namespace}",
            "--ignore-not-found",
        )

    def _started(self) -> bool:
        job = installation.get(self.cluster, "job", self.name, self.spec.namespace)
        status = job.get("status", {})
        return bool(status.get("ready") or status.get("succeeded") or status.get("failed"))

    def _describe(self) -> str:
        where = f"--namespace={self.spec.namespace}"
        pods = self.cluster.kubectl("describe", "pod", where, f"--selector=job-name={self.name}")
        logs = self.cluster.kubectl("logs", where, f"job/{self.name}", "--tail=20")
        return f"{pods[-2000:]}\n{logs}"

    def _follow(self) -> None:
        for line in self._lines():
            entry = json.loads(line)
            if entry.get("summary"):
                self.summary = entry
            else:
                self.seconds.append({**entry, "time": time.time()})

    def _lines(self) -> Iterator[str]:
        program = binaries.ensure("kubectl")["kubectl"]
        where = [f"--kubeconfig={self.cluster.kubeconfig}", f"--namespace={self.spec.namespace}"]
        command = [str(program), *where, "logs", "--follow", f"job/{self.name}"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            for line in process.stdout or ():
                if line.startswith("{"):
                    yield line

    def _objects(self) -> tuple[dict[str, Any], dict[str, Any]]:
        metadata = {"name": self.name, "namespace": self.spec.namespace}
        data = base64.b64encode(self.spec.inputs.read_bytes()).decode()
        return (
            {
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": metadata,
                "binaryData": {INPUT: data},
            },
            {
                "apiVersion": "batch/v1",
                "kind": "Job",
                "metadata": metadata,
                "spec": self._job_spec(),
            },
        )

    def _job_spec(self) -> dict[str, Any]:
        return {
            "backoffLimit": 0,
            "ttlSecondsAfterFinished": 600,
            "template": {
                "spec": {
                    "restartPolicy": "Never",
                    "automountServiceAccountToken": False,
                    # The load comes from where nothing serves, if the cluster has such a node.
                    "tolerations": [
                        {"key": "node-role.kubernetes.io/control-plane", "operator": "Exists"}
                    ],
                    "affinity": _prefer_control_plane(),
                    "securityContext": {
                        "runAsNonRoot": True,
                        "seccompProfile": {"type": "RuntimeDefault"},
                    },
                    "containers": [self._container()],
                    "volumes": [{"name": "data", "configMap": {"name": self.name}}],
                }
            },
        }

    def _container(self) -> dict[str, Any]:
        return {
            "name": "load",
            "image": installed_image(self.cluster),
            "args": self.spec.arguments(),
            "securityContext": {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            },
            "volumeMounts": [{"name": "data", "mountPath": "/data", "readOnly": True}],
        }


def _prefer_control_plane() -> dict[str, Any]:
    match = [{"key": CONTROL_PLANE, "operator": "Exists"}]
    preferred = [{"weight": 100, "preference": {"matchExpressions": match}}]
    return {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": preferred}}


def installed_image(cluster: Cluster) -> str:
    """Return the image of Ferryman that is installed."""
    deployment = installation.get(cluster, "deployment", "ferryman-operator", NAMESPACE)
    image: str = deployment["spec"]["template"]["spec"]["containers"][0]["image"]
    return image
