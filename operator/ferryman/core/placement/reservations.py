"""What models reserve on nodes: their pods, and placements whose pods are still to come.

Placements that no pod shows yet, and pods that utilisation does not show yet, count as load, so
that models created together do not all go to the node that was idle a moment ago.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from ferryman.api import quantity
from ferryman.api.inference_model_status import PlacementStatus
from ferryman.core.manifests import Manifest, condition
from ferryman.core.placement import fit
from ferryman.core.snapshot import Snapshot

#: So long after a placement pods that run, too, are taken not to show in the node's utilisation.
IN_FLIGHT_S: Final = 60.0
#: So long after a placement, or its growth, all its pods are taken to come into being.
GRACE_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class ResourceAmount:
    """CPU, memory and devices."""

    cpu_millicores: int = 0
    memory_bytes: int = 0
    devices: Mapping[str, int] = field(default_factory=dict)

    def plus(self, other: "ResourceAmount") -> "ResourceAmount":
        """Return the sum."""
        names = {*self.devices, *other.devices}
        return ResourceAmount(
            self.cpu_millicores + other.cpu_millicores,
            self.memory_bytes + other.memory_bytes,
            {name: self.devices.get(name, 0) + other.devices.get(name, 0) for name in names},
        )

    def times(self, count: int) -> "ResourceAmount":
        """Return so many of it."""
        return ResourceAmount(
            self.cpu_millicores * count,
            self.memory_bytes * count,
            {name: amount * count for name, amount in self.devices.items()},
        )

    def __bool__(self) -> bool:
        """Whether it is anything at all."""
        return bool(self.cpu_millicores or self.memory_bytes or any(self.devices.values()))


@dataclass(frozen=True, slots=True)
class Reservation:
    """What a placement reserves: where pods are expected, and what one of them requests."""

    nodes: Mapping[str, int]
    """Replicas by node."""
    one: ResourceAmount
    """What one replica requests."""


@dataclass(frozen=True, slots=True)
class CreatedPods:
    """What a Deployment reports of its pods."""

    count: int = 0
    """Those that exist, bound to a node or not."""
    fails: bool = False
    """Whether further ones cannot be created: a quota, or an admission controller, forbids it."""


@dataclass(frozen=True, slots=True)
class PodReservations:
    """What the pods of a model, those that are bound to a node, hold there."""

    reserved: Mapping[str, ResourceAmount] = field(default_factory=dict)
    bound: Counter[str] = field(default_factory=Counter)
    starting: Counter[str] = field(default_factory=Counter)
    """Those that do not run yet, which no utilisation can show."""


@dataclass(frozen=True, slots=True)
class NodeLoad:
    """What a node carries for the models other than the one that is decided about."""

    reserved: ResourceAmount = field(default_factory=ResourceAmount)
    in_flight: ResourceAmount = field(default_factory=ResourceAmount)


def amount(requests: Mapping[str, str | int]) -> ResourceAmount:
    """Return what resource requests come to. Raises ValueError for what is no quantity."""
    return ResourceAmount(
        quantity.to_millicores(requests.get("cpu", 0)),
        quantity.to_units(requests.get("memory", 0)),
        {name: quantity.to_units(requests[name]) for name in requests if "/" in name},
    )


def expected(snapshot: Snapshot, found: PlacementStatus, replicas: int) -> Reservation:
    """Return where so many replicas of a placed model will be, and what each of them requests."""
    spec = snapshot.model.spec
    entry = snapshot.runtime.processor(found.processor or "") if snapshot.runtime else None
    requests = {} if entry is None else fit.requested(spec.resources, entry, spec.devices)
    peers = [node for node in snapshot.nodes if node.node_type in found.node_types]
    try:
        nodes = fit.spread(peers, requests, replicas, found.preferred_node)
        return Reservation(nodes, amount(requests))
    except ValueError:
        # Its resources cannot be read, as its conditions say: nothing more will be applied.
        return Reservation({}, ResourceAmount())


def of_pods(pods: Iterable[Manifest]) -> PodReservations:
    """Return what all pods of a model hold; one that has ended holds nothing."""
    holding = [pod for pod in pods if _occupies(pod)]
    reserved: defaultdict[str, ResourceAmount] = defaultdict(ResourceAmount)
    for pod in holding:
        node = pod["spec"]["nodeName"]
        reserved[node] = reserved[node].plus(_requests(pod))
    return PodReservations(
        dict(reserved),
        Counter(pod["spec"]["nodeName"] for pod in holding),
        Counter(pod["spec"]["nodeName"] for pod in holding if not _runs(pod)),
    )


def created(deployment: Manifest | None) -> CreatedPods | None:
    """Return what a Deployment reports: no pods of one that is not there.

    None of one that its controller has not looked at yet: its pods are still to come.
    """
    if deployment is None:
        return CreatedPods()
    status = deployment.get("status", {})
    if int(status.get("observedGeneration", 0)) < int(deployment["metadata"].get("generation", 0)):
        return None
    fails = condition(deployment, "ReplicaFailure") is not None
    return CreatedPods(int(status.get("replicas", 0)), fails)


def still_to_show(
    placed: Reservation,
    pods: PodReservations,
    since_s: float,
    exist: CreatedPods | None = None,
) -> Mapping[str, NodeLoad]:
    """Return by node what a placement adds to its pods ``since_s`` seconds after it was decided.

    Replicas without a pod reserve; those, and pods that utilisation cannot show yet, are in flight.
    ``exist`` is None while all replicas are taken to come: later, only those pods are awaited that
    exist already, and wait for a node. Pods that never come into being keep nobody out.
    """
    left = sum(placed.nodes.values()) - pods.bound.total()
    if exist is not None:
        left = min(left, exist.count - pods.bound.total())
    awaited = _awaited(placed, pods.bound, left)
    shown_late = pods.bound if since_s < IN_FLIGHT_S else pods.starting
    return {
        node: NodeLoad(placed.one.times(awaited[node]), placed.one.times(count))
        for node, count in (awaited + shown_late).items()
    }


def _awaited(placed: Reservation, bound: Counter[str], left: int) -> Counter[str]:
    """Return by node the replicas that no pod shows; pods may be bound elsewhere than expected."""
    awaited: Counter[str] = Counter()
    for node, count in placed.nodes.items():
        missing = min(left, count - bound[node])
        if missing > 0:
            awaited[node], left = missing, left - missing
    return awaited


def _occupies(pod: Manifest) -> bool:
    ended = pod.get("status", {}).get("phase") in {"Succeeded", "Failed"}
    return bool(pod["spec"].get("nodeName")) and not ended


def _runs(pod: Manifest) -> bool:
    return bool(pod.get("status", {}).get("phase") == "Running")


def _requests(pod: Manifest) -> ResourceAmount:
    total = ResourceAmount()
    for container in pod["spec"].get("containers", ()):
        resources = container.get("resources") or {}
        requests = {**(resources.get("limits") or {}), **(resources.get("requests") or {})}
        total = total.plus(amount(requests))
    return total
