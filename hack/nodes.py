"""Nodes of the kind cluster that die, and come back."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from hack import installation
from hack.cluster import Cluster, engine
from hack.manifests import NAMESPACE

READY_TIMEOUT_S = 120


@contextmanager
def dead(node: str) -> Iterator[float]:
    """Stop everything on a node, as a power cut would, and start it again; yield when it was."""
    docker = engine.ensure().docker
    docker("pause", node)
    try:
        yield time.time()
    finally:
        docker("unpause", node)


@contextmanager
def cordoned(cluster: Cluster, node: str) -> Iterator[None]:
    """Let nothing new come to a node."""
    cluster.kubectl("cordon", node)
    try:
        yield
    finally:
        cluster.kubectl("uncordon", node)


def send_operator_away(cluster: Cluster, node: str) -> None:
    """Have the operator run on another node."""
    where = (f"--namespace={NAMESPACE}", "-l=app.kubernetes.io/component=operator")
    with cordoned(cluster, node):
        cluster.kubectl("delete", "pod", *where, timeout_s=120)
        cluster.kubectl("rollout", "status", "deploy/ferryman-operator", where[0], timeout_s=180)


def await_ready(cluster: Cluster, node: str) -> None:
    """Wait until Kubernetes calls a node ready again."""

    def is_ready() -> bool:
        found = installation.condition(installation.get(cluster, "node", node), "Ready") or {}
        return found.get("status") == "True"

    installation.wait_for(f"{node} to be ready", is_ready, timeout_s=READY_TIMEOUT_S)
