"""What serving pods that wait for a node lack, so that benchmarks give way to them."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from ferryman.core.manifests import Manifest
from ferryman.core.pods.diagnosis import unscheduled

#: kube-scheduler's words for a resource that too little is free of (its plug-in NodeResourcesFit).
_INSUFFICIENT: Final = re.compile(r"Insufficient ([\w./-]*\w)")


@dataclass(frozen=True, slots=True)
class ResourceShortage:
    """Resources that a serving pod waits for on the nodes of one type."""

    node_type: str
    resources: frozenset[str]


def shortages(node_type: str, pods: Iterable[Manifest]) -> tuple[ResourceShortage, ...]:
    """Return what each pod that no node has room for lacks; the pods are bound to one type."""
    found = (_lacking(pod) for pod in pods)
    return tuple(ResourceShortage(node_type, resources) for resources in found if resources)


def _lacking(pod: Manifest) -> frozenset[str]:
    if pod["metadata"].get("deletionTimestamp"):
        return frozenset()
    found = unscheduled(pod) or {}
    # Of a pod with a scheduling gate nobody has looked for a node yet.
    message = found.get("message", "") if found.get("reason") == "Unschedulable" else ""
    return frozenset(_INSUFFICIENT.findall(message))
