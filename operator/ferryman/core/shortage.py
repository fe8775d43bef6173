"""What serving pods that wait for a node lack, so that benchmarks give way to them."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

#: kube-scheduler's words for a resource that too little is free of (its plug-in NodeResourcesFit).
_INSUFFICIENT: Final = re.compile(r"Insufficient ([\w./-]*\w)")


@dataclass(frozen=True, slots=True)
class Shortage:
    """Resources that a serving pod waits for on the nodes of one type."""

    node_type: str
    resources: frozenset[str]


def shortages(node_type: str, pods: Iterable[Mapping[str, Any]]) -> tuple[Shortage, ...]:
    """Return what each pod that no node has room for lacks; the pods are bound to one type."""
    found = (_lacking(pod) for pod in pods)
    return tuple(Shortage(node_type, resources) for resources in found if resources)


def _lacking(pod: Mapping[str, Any]) -> frozenset[str]:
    if pod["metadata"].get("deletionTimestamp"):
        return frozenset()
    conditions = pod.get("status", {}).get("conditions") or ()
    messages = (
        str(condition.get("message", ""))
        for condition in conditions
        if condition["type"] == "PodScheduled" and condition.get("reason") == "Unschedulable"
    )
    return frozenset(name for message in messages for name in _INSUFFICIENT.findall(message))
