"""Whether one replica's resource requests fit on a node, as kube-scheduler would count."""

from collections.abc import Mapping

from ferryman.api import quantity
from ferryman.api.inference_model import ResourceRequirements
from ferryman.api.inference_runtime import RuntimeProcessor
from ferryman.core.snapshot import NodeView

Quantities = Mapping[str, str | int]


def requested(resources: ResourceRequirements | None, entry: RuntimeProcessor) -> Quantities:
    """Return what one replica requests on a processor class.

    The model's own resources stand instead of the runtime's. What has a limit and no request
    requests its limit, as Kubernetes defaults it; a class with devices requests at least one.
    """
    chosen = resources or entry.resources
    amounts = {**chosen.limits, **chosen.requests}
    if entry.resource_name is not None:
        amounts.setdefault(entry.resource_name, 1)
    return amounts


def misfit(
    node: NodeView, resources: ResourceRequirements | None, entry: RuntimeProcessor
) -> str | None:
    """Return what of a replica's requests does not fit on the node, or None when all fits.

    Free is what is allocatable less what this operator's other models reserve there. Raises
    ValueError when a quantity cannot be read.
    """
    lacks = [
        _lack(node, resource, amount) for resource, amount in requested(resources, entry).items()
    ]
    messages = [message for message in lacks if message is not None]
    return f"{node.name} has {' and '.join(messages)}" if messages else None


def _lack(node: NodeView, resource: str, amount: str | int) -> str | None:
    needed, left = count(resource, amount), free(node, resource)
    if needed <= left:
        return None
    return f"{_words(resource, left)} {resource} free, {_words(resource, needed)} needed"


def free(node: NodeView, resource: str) -> int:
    """Return what is free of a resource, in millicores, bytes or devices."""
    return max(0, allocatable(node, resource) - _reserved(node, resource))


def allocatable(node: NodeView, resource: str) -> int:
    """Return what an empty node has of a resource, in millicores, bytes or devices."""
    return count(resource, node.allocatable.get(resource, 0))


def count(resource: str, amount: str | int) -> int:
    """Return a quantity in millicores of CPU, else in bytes or devices; raises ValueError."""
    return quantity.to_millicores(amount) if resource == "cpu" else quantity.to_units(amount)


def _reserved(node: NodeView, resource: str) -> int:
    if resource == "cpu":
        return node.reserved_cpu_millicores
    if resource == "memory":
        return node.reserved_memory_bytes
    return node.reserved_devices.get(resource, 0)


def _words(resource: str, amount: int) -> str:
    if resource == "cpu":
        return f"{amount}m"
    return f"{amount / 2**20:.0f}Mi" if resource == "memory" else str(amount)
