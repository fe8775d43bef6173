"""Whether one replica's resource requests fit on a node, as kube-scheduler would count."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

from ferryman.api import quantity
from ferryman.api.inference_model import ResourceRequirements
from ferryman.api.inference_runtime import RuntimeProcessor
from ferryman.core.snapshot import NodeView

Quantities = Mapping[str, str | int]
#: More replicas than a model can have: what requests nothing fits so often.
_ANY: Final = 1_000_000


def requested(
    resources: ResourceRequirements | None, entry: RuntimeProcessor, devices: int | None = None
) -> Quantities:
    """Return what one replica requests on a processor class.

    The model's own resources stand instead of the runtime's. What has a limit and no request
    requests its limit, as Kubernetes defaults it; a class with devices requests at least one, or
    as many as are stated.
    """
    chosen = resources or entry.resources
    amounts = {**chosen.limits, **chosen.requests}
    if entry.resource_name is not None:
        stated = amounts.get(entry.resource_name, 1)
        amounts[entry.resource_name] = stated if devices is None else devices
    return amounts


def misfit(
    node: NodeView,
    resources: ResourceRequirements | None,
    entry: RuntimeProcessor,
    devices: int | None = None,
) -> str | None:
    """Return what of a replica's requests does not fit on the node, or None when all fits.

    Free is what is allocatable less what this operator's other models reserve there. Raises
    ValueError when a quantity cannot be read.
    """
    wanted = requested(resources, entry, devices).items()
    lacks = [
        f"{_words(resource, free(node, resource))} {resource} free, "
        f"{_words(resource, count(resource, amount))} needed"
        for resource, amount in wanted
        if count(resource, amount) > free(node, resource)
    ]
    return f"{node.name} has {' and '.join(lacks)}" if lacks else None


def copies(node: NodeView, requests: Quantities) -> int:
    """Return how many replicas with these requests fit. Raises ValueError as misfit does."""
    needed = {resource: count(resource, amount) for resource, amount in requests.items()}
    rooms = [free(node, resource) // amount for resource, amount in needed.items() if amount > 0]
    return min(rooms, default=_ANY)


def spread(
    nodes: Sequence[NodeView], requests: Quantities, replicas: int, preferred: str | None
) -> Mapping[str, int]:
    """Return how many replicas go to each node: evenly, the preferred and the emptier ones first.

    What fits nowhere waits for the preferred node. Raises ValueError as misfit does.
    """
    rooms = {node.name: copies(node, requests) for node in nodes}
    counts: Counter[str] = Counter()
    for _ in range(replicas):
        able = [name for name, room in rooms.items() if counts[name] < room]
        next_one = min(
            able,
            key=lambda name: (counts[name], name != preferred, -rooms[name], name),
            default=preferred,
        )
        if next_one is not None:
            counts[next_one] += 1
    return counts


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
