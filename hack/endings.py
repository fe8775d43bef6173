"""Ends pods of a model in the ways in which a cluster does, and notes how their servers exit."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ferryman.api import names
from hack import installation
from hack.cluster import Cluster, binaries
from hack.cluster.shell import run

#: Until new pods serve and all that end are gone.
TIMEOUT_S = 300
#: The node type that is fastest, whatever else runs there, and room for three pods and one more.
PLACED = {
    "placement": {"weights": {"benchmark": 100, "memory": 0, "utilisation": 0}},
    "resources": {"requests": {"cpu": "150m", "memory": "256Mi"}},
}
EXIT_COLUMNS = (
    "NAME:.metadata.name,EXIT:.status.containerStatuses[?(@.name=='triton')]"
    ".state.terminated.exitCode"
)


@dataclass
class Model:
    """A model of several replicas, whose pods are ended."""

    cluster: Cluster
    name: str
    namespace: str
    exits: dict[str, str] = field(default_factory=dict)
    """Pod -> the exit status of its server, as far as it was seen."""
    rolls: int = 0
    _watch: subprocess.Popen[str] | None = None
    _noting: threading.Thread | None = None

    def watch(self) -> None:
        """Begin to note how servers exit: a pod is gone a moment later."""
        program = binaries.ensure("kubectl")["kubectl"]
        where = [f"--kubeconfig={self.cluster.kubeconfig}", f"--namespace={self.namespace}"]
        select = f"--selector={names.LABEL_MODEL}={self.name}"
        command = [str(program), *where, "get", "pods", select, "--watch", "--no-headers"]
        self._watch = subprocess.Popen(
            [*command, f"--output=custom-columns={EXIT_COLUMNS}"],
            stdout=subprocess.PIPE,
            text=True,
        )
        self._noting = threading.Thread(target=self._note, args=(self._watch,), daemon=True)
        self._noting.start()

    def close(self) -> None:
        """End the watch."""
        if self._watch is not None and self._noting is not None:
            self._watch.terminate()
            self._noting.join(timeout=10)

    def _note(self, watch: subprocess.Popen[str]) -> None:
        with watch:
            for line in watch.stdout or ():
                pod, status = line.split()
                if status != "<none>":
                    self.exits[pod] = status

    def roll_out(self) -> None:
        """Replace every pod, by another limit of memory."""
        self.rolls += 1
        memory = f"{1024 + 16 * self.rolls}Mi"
        self._patch({"spec": {"resources": {"limits": {"memory": memory}}}})

    def scale_down(self) -> None:
        """Take one replica away of those that `restore` brings back."""
        self._patch({"spec": {"replicas": len(self.pods()) - 1}})

    def delete(self) -> None:
        """Delete one pod."""
        self._kubectl("delete", "pod", self.pods()[0], "--wait=false")

    def evict(self) -> None:
        """Evict one pod, as the drain of a node does with each of its pods."""
        pod = self.pods()[0]
        eviction = {
            "apiVersion": "policy/v1",
            "kind": "Eviction",
            "metadata": {"name": pod, "namespace": self.namespace},
        }
        path = f"/api/v1/namespaces/{self.namespace}/pods/{pod}/eviction"
        program = binaries.ensure("kubectl")["kubectl"]
        command = (program, f"--kubeconfig={self.cluster.kubeconfig}", "create", "--raw", path)
        run(*command, "-f", "-", stdin=json.dumps(eviction))

    def restore(self, replicas: int) -> None:
        """State how many replicas there are to be."""
        self._patch({"spec": {"replicas": replicas}})

    def pods(self) -> list[str]:
        """Return the names of the pods that are there, those that end included."""
        return sorted(pod["metadata"]["name"] for pod in self._pods())

    def settle(self, replicas: int, without: frozenset[str] = frozenset()) -> None:
        """Wait until so many pods are ready, none that ends is left, nor any of these."""

        def settled() -> bool:
            pods = self._pods()
            ready = [pod for pod in pods if _is_ready(pod)]
            there = {pod["metadata"]["name"] for pod in pods}
            return len(ready) == len(pods) == replicas and not there & without

        installation.wait_for(
            f"{replicas} pods of {self.name}",
            settled,
            timeout_s=TIMEOUT_S,
            explain=lambda: self._kubectl("get", "pods,events"),
        )

    def _pods(self) -> list[dict[str, Any]]:
        listed = installation.get(self.cluster, "pods", namespace=self.namespace)["items"]
        return [
            pod
            for pod in listed
            if pod["metadata"].get("labels", {}).get(names.LABEL_MODEL) == self.name
        ]

    def _patch(self, change: dict[str, Any]) -> None:
        kind = f"inferencemodel/{self.name}"
        self._kubectl("patch", kind, "--type=merge", f"--patch={json.dumps(change)}")

    def _kubectl(self, *arguments: str) -> str:
        return self.cluster.kubectl(*arguments, f"--namespace={self.namespace}")


#: Way -> what is done, and how many replicas there are before and after it.
WAYS: dict[str, tuple[Callable[[Model], None], int, int]] = {
    "rollout": (Model.roll_out, 2, 2),
    "scale-down": (Model.scale_down, 3, 2),
    "eviction": (Model.evict, 2, 2),
    "deletion": (Model.delete, 2, 2),
}


def end(model: Model, way: str) -> list[str]:
    """End pods in one way and wait until it is over; return those that are gone."""
    act, before, after = WAYS[way]
    model.restore(before)
    model.settle(before)
    there = set(model.pods())
    act(model)
    must_go = frozenset(there) if way == "rollout" else frozenset()
    _await_change(model, there, must_go, after)
    return sorted(there - set(model.pods()))


def _await_change(model: Model, there: set[str], must_go: frozenset[str], after: int) -> None:
    installation.wait_for(
        f"a pod of {model.name} to end",
        lambda: there - set(model.pods()),
        timeout_s=TIMEOUT_S,
        explain=lambda: f"all of {sorted(there)} are there",
    )
    model.settle(after, must_go)


def _is_ready(pod: dict[str, Any]) -> bool:
    statuses = pod.get("status", {}).get("containerStatuses", [{}])
    ends = "deletionTimestamp" in pod["metadata"]
    return not ends and all(status.get("ready") for status in statuses)
