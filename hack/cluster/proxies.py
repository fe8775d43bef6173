"""Every kube-proxy brings its rules up to date: seen by its own metrics, or said in one sentence.

One rule that cannot be written keeps all others from being updated, so that Services look well
until the first that has two endpoints: a Service of two, which nobody calls, is what is tried.
"""

from __future__ import annotations

import json
import re
import textwrap
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

from hack.cluster.engine import Engine
from hack.cluster.shell import ClusterError, wait_until

METRICS = "http://127.0.0.1:10249/metrics"
SYNC_TIMEOUT_S = 60
WORDS_CHARACTERS = 300
PROBE = {"name": "ferryman-cluster-probe", "namespace": "kube-system"}
SAMPLE = re.compile(
    r"^kubeproxy_sync_proxy_rules_last_(queued_)?timestamp_seconds(\{.*\})? (\S+)$", re.MULTILINE
)
#: A line of klog's that tells an error, and the lines that go on with it.
ERROR = re.compile(r"^E\d{4} [^\]]*\] (.*\n?(?:[\t ].*\n?)*)", re.MULTILINE)

Kubectl = Callable[..., str]


def verify(engine: Engine, kubectl: Kubectl, nodes: Iterable[str]) -> None:
    """Raise a `ClusterError` unless every node's kube-proxy writes what two endpoints need."""
    # The endpoints first, so that they are known when the Service has the rules written.
    kubectl("apply", "--filename=-", stdin=json.dumps(_endpoints()))
    since_s = time.time()
    kubectl("apply", "--filename=-", stdin=json.dumps(_service()))
    try:
        for node in nodes:
            _wait(engine, kubectl, node, since_s)
    finally:
        with suppress(ClusterError):
            where = f"--namespace={PROBE['namespace']}"
            kubectl("delete", "service,endpointslice", PROBE["name"], where, "--ignore-not-found")


def synced(metrics: str, since_s: float) -> bool:
    """Tell whether all that was asked for is done, and something was since that moment."""
    queued: dict[str, float] = {}
    done: dict[str, float] = {}
    for was_queued, family, value in SAMPLE.findall(metrics):
        (queued if was_queued else done)[family] = float(value)
    late = [family for family, moment in queued.items() if done.get(family, 0.0) < moment]
    return bool(queued) and not late and max(queued.values()) >= since_s


def last_error(log: str) -> str:
    """Return the last error that kube-proxy logged, on one line, or that there is none."""
    errors = ERROR.findall(log)
    words = " ".join(errors[-1].split()) if errors else "its log tells no error"
    return textwrap.shorten(words, WORDS_CHARACTERS)


def _wait(engine: Engine, kubectl: Kubectl, node: str, since_s: float) -> None:
    def caught_up() -> bool:
        try:
            found = engine.docker("exec", node, "curl", "--silent", "--max-time", "5", METRICS)
        except ClusterError:  # it does not listen yet
            return False
        return synced(found, since_s)

    try:
        wait_until(caught_up, timeout_s=SYNC_TIMEOUT_S, what="It")
    except ClusterError as fault:
        raise ClusterError(
            f"kube-proxy on {node} does not keep its rules up to date, so Services do not work "
            f"there ({_own_words(kubectl, node)}): run `make cluster-down` and `make cluster-up`, "
            "on a kernel that has what is named."
        ) from fault


def _own_words(kubectl: Kubectl, node: str) -> str:
    where = f"--namespace={PROBE['namespace']}"
    here = ("--selector=k8s-app=kube-proxy", f"--field-selector=spec.nodeName={node}")
    try:
        pods = kubectl("get", "pods", where, *here, "--output=name").split()
        return last_error(kubectl("logs", where, pods[0], "--tail=200")) if pods else "none runs"
    except ClusterError as fault:
        return str(fault)


def _endpoints() -> dict[str, Any]:
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {**PROBE, "labels": {"kubernetes.io/service-name": PROBE["name"]}},
        "addressType": "IPv4",
        # Addresses of documentation (RFC 5737): nobody is there, and nobody calls.
        "endpoints": [{"addresses": [f"192.0.2.{number}"]} for number in (1, 2)],
        "ports": [{"name": "http", "port": 80}],
    }


def _service() -> dict[str, Any]:
    ports = [{"name": "http", "port": 80}]
    spec = {"ipFamilies": ["IPv4"], "ports": ports}
    return {"apiVersion": "v1", "kind": "Service", "metadata": PROBE, "spec": spec}
