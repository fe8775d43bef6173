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
#: The node type that is fastest, whatever else runs there. Three pods fit on the slow node, too.
PLACED = {
    "placement": {"weights": {"benchmark": 100, "memory": 0, "utilisation": 0}},
    "resources": {"requests": {"cpu": "75m", "memory": "256Mi"}},
}
DRAIN_TIMEOUT_S = 240
#: Replicas that there are after pods ended.
AFTER = 2
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

    def drain(self) -> None:
        """Drain the node of the first pod as its owner would, and give it back."""
        node = self.nodes()[0]
        keep = ("--ignore-daemonsets", "--delete-emptydir-data")
        try:
            self.cluster.kubectl(
                "drain",
                node,
                *keep,
                f"--timeout={DRAIN_TIMEOUT_S}s",
                timeout_s=DRAIN_TIMEOUT_S + 30,
            )
        finally:
            self.cluster.kubectl("uncordon", node)

    def restore(self, replicas: int) -> None:
        """State how many replicas there are to be."""
        self._patch({"spec": {"replicas": replicas}})

    def pods(self) -> list[str]:
        """Return the names of the pods that are there, those that end included."""
        return sorted(pod["metadata"]["name"] for pod in self._pods())

    def nodes(self) -> list[str]:
        """Return the nodes that pods are on."""
        return sorted({pod["spec"].get("nodeName", "") for pod in self._pods()})

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


@dataclass(frozen=True)
class Way:
    """What is done, how many replicas there are before it, and whether it ends each of them."""

    act: Callable[[Model], None]
    before: int = AFTER
    ends_all: bool = False


WAYS = {
    "rollout": Way(Model.roll_out, ends_all=True),
    "scale-down": Way(Model.scale_down, before=AFTER + 1),
    "eviction": Way(Model.evict),
    "deletion": Way(Model.delete),
    "drain": Way(Model.drain, ends_all=True),
}


def end(model: Model, way: str) -> list[str]:
    """End pods in one way and wait until it is over; return those that are gone."""
    how = WAYS[way]
    model.restore(how.before)
    model.settle(how.before)
    there = set(model.pods())
    how.act(model)
    _await_change(model, there, frozenset(there) if how.ends_all else frozenset())
    return sorted(there - set(model.pods()))


def _await_change(model: Model, there: set[str], must_go: frozenset[str]) -> None:
    installation.wait_for(
        f"a pod of {model.name} to end",
        lambda: there - set(model.pods()),
        timeout_s=TIMEOUT_S,
        explain=lambda: f"all of {sorted(there)} are there",
    )
    model.settle(AFTER, must_go)


def _is_ready(pod: dict[str, Any]) -> bool:
    statuses = pod.get("status", {}).get("containerStatuses", [{}])
    ends = "deletionTimestamp" in pod["metadata"]
    return not ends and all(status.get("ready") for status in statuses)
