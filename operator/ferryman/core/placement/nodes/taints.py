"""Whether a node takes a model's pods: its labels and taints, as kube-scheduler reads them.

Taints are texts, as kubectl shows them: ``key=value:effect``, or ``key:effect``.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, TypeGuard

from ferryman.api.inference_model import PlacementSpec
from ferryman.api.inference_runtime import RuntimeProcessor
from ferryman.api.pods.scheduling import NodeRequirement, Toleration

#: What fits into the 64 bits that kube-scheduler reads a number with.
_NUMBER: Final = re.compile(r"[+-]?[0-9]{1,18}")


def tolerations(placement: PlacementSpec, entry: RuntimeProcessor) -> tuple[Toleration, ...]:
    """Return what pods tolerate: what their runtime says, and what their owner says."""
    return (*entry.tolerations, *placement.tolerations)


def untolerated(taints: Iterable[str], tolerated: Sequence[Toleration]) -> list[str]:
    """Return the taints that keep pods away."""
    return [taint for taint in taints if not any(_tolerates(each, taint) for each in tolerated)]


def unmet(placement: PlacementSpec, labels: Mapping[str, str]) -> list[str]:
    """Return in words what a node's labels do not meet of a model's nodeSelector and nodeAffinity.

    NotIn holds where the label is absent, and Gt and Lt hold for whole numbers only (Kubernetes,
    NodeSelectorRequirement; component-helpers, nodeaffinity).
    """
    wanted = placement.node_selector.items()
    differing = [f"{key}={value}" for key, value in wanted if labels.get(key) != value]
    return [*differing, *unmet_of(placement.node_affinity, labels)]


def unmet_of(requirements: Iterable[NodeRequirement], labels: Mapping[str, str]) -> list[str]:
    """Return in words which requirements a node's labels do not meet."""
    return [_words(each) for each in requirements if not _holds(each, labels)]


def _tolerates(toleration: Toleration, taint: str) -> bool:
    rest, _, effect = taint.rpartition(":")
    key, _, value = rest.partition("=")
    if toleration.effect not in {None, effect}:
        return False
    if toleration.operator == "Exists":
        return toleration.key in {None, key}
    return (toleration.key, toleration.value) == (key, value)


def _holds(requirement: NodeRequirement, labels: Mapping[str, str]) -> bool:
    value, values = labels.get(requirement.key), requirement.values
    match requirement.operator:
        case "In":
            return value in values
        case "NotIn":
            return value not in values
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
        case "Gt":
            return _is_number(value) and int(value) > int(values[0])
    return _is_number(value) and int(value) < int(values[0])  # Lt


def _is_number(text: str | None) -> TypeGuard[str]:
    return text is not None and _NUMBER.fullmatch(text) is not None


def _words(requirement: NodeRequirement) -> str:
    values = f" ({', '.join(requirement.values)})" if requirement.values else ""
    return f"{requirement.key} {requirement.operator}{values}"
