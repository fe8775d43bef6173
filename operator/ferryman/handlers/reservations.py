"""What this operator's models reserve on each node: their pods, and placements just decided.

Placements that no pod shows yet, and pods that utilisation does not show yet, count as load, so
that models created together do not all go to the node that was idle a moment ago.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from math import inf
from typing import Final

from ferryman.api import quantity
from ferryman.core.manifests import Manifest
from ferryman.handlers.cache import Key

#: So long after a placement pods that run, too, are taken not to show in the node's utilisation.
IN_FLIGHT_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class Amount:
    """CPU, memory and devices."""

    cpu_millicores: int = 0
    memory_bytes: int = 0
    devices: Mapping[str, int] = field(default_factory=dict)

    def plus(self, other: "Amount") -> "Amount":
        """Return the sum."""
        names = {*self.devices, *other.devices}
        return Amount(
            self.cpu_millicores + other.cpu_millicores,
            self.memory_bytes + other.memory_bytes,
            {name: self.devices.get(name, 0) + other.devices.get(name, 0) for name in names},
        )

    def times(self, count: int) -> "Amount":
        """Return so many of it."""
        return Amount(
            self.cpu_millicores * count,
            self.memory_bytes * count,
            {name: amount * count for name, amount in self.devices.items()},
        )


def amount(requests: Mapping[str, str | int]) -> Amount:
    """Return what resource requests come to. Raises ValueError for what is no quantity."""
    return Amount(
        quantity.to_millicores(requests.get("cpu", 0)),
        quantity.to_units(requests.get("memory", 0)),
        {name: quantity.to_units(requests[name]) for name in requests if "/" in name},
    )


@dataclass(frozen=True, slots=True)
class Placed:
    """A placement: where pods are expected that do not show yet."""

    nodes: Mapping[str, int]
    """Replicas by node."""
    one: Amount
    """What one replica requests."""
    at_s: float = -inf
    """When it was decided; -inf: long ago."""


@dataclass(frozen=True, slots=True)
class Load:
    """What a node carries for the models other than the one that is decided about."""

    reserved: Amount = field(default_factory=Amount)
    in_flight: Amount = field(default_factory=Amount)


class Ledger:
    """Reservations per model and node, kept up to date by pod events."""

    def __init__(self) -> None:
        self._pods: dict[Key, dict[str, Amount]] = {}
        self._bound: dict[Key, Counter[str]] = {}
        self._starting: dict[Key, Counter[str]] = {}
        self._totals: defaultdict[str, Amount] = defaultdict(Amount)
        self._placed: dict[Key, Placed] = {}

    def update(self, key: Key, pods: Iterable[Manifest]) -> None:
        """Take note of all pods that a model has now."""
        self._subtract(self._pods.pop(key, {}))
        self._bound.pop(key, None)
        self._starting.pop(key, None)
        bound = [pod for pod in pods if _occupies(pod)]
        if not bound:
            return
        nodes: defaultdict[str, Amount] = defaultdict(Amount)
        for pod in bound:
            node = pod["spec"]["nodeName"]
            nodes[node] = nodes[node].plus(_requests(pod))
        self._pods[key] = dict(nodes)
        self._bound[key] = Counter(pod["spec"]["nodeName"] for pod in bound)
        self._starting[key] = Counter(pod["spec"]["nodeName"] for pod in bound if not _runs(pod))
        for node, reserved in nodes.items():
            self._totals[node] = self._totals[node].plus(reserved)

    def place(self, key: Key, placed: Placed) -> None:
        """Take note of a placement: what no pod shows yet is reserved until one does."""
        self._placed[key] = placed

    def placed_at_s(self, key: Key) -> float:
        """Return when a model's placement was decided; -inf where that was long ago."""
        return self._placed[key].at_s if key in self._placed else -inf

    def forget(self, key: Key) -> None:
        """Forget a placement; pods, if there are any left, are told by ``update``."""
        self._placed.pop(key, None)

    def loads(self, apart_from: Collection[Key], now_s: float) -> Mapping[str, Load]:
        """Return what each node carries apart from the given models."""
        reserved = dict(self._totals)
        for key in apart_from:
            for node, own in self._pods.get(key, {}).items():
                reserved[node] = reserved[node].plus(own.times(-1))
        loads = {node: Load(amount) for node, amount in reserved.items()}
        for other, placed in self._placed.items():
            if other in apart_from:
                continue
            awaited = _awaited(placed, self._bound.get(other, Counter[str]()))
            shown = self._bound if now_s - placed.at_s < IN_FLIGHT_S else self._starting
            # What has no pod, or one that does not run yet, no utilisation can show.
            for node, count in (awaited + shown.get(other, Counter[str]())).items():
                before = loads.get(node, Load())
                loads[node] = Load(
                    before.reserved.plus(placed.one.times(awaited[node])),
                    before.in_flight.plus(placed.one.times(count)),
                )
        return loads

    def _subtract(self, nodes: Mapping[str, Amount]) -> None:
        for node, reserved in nodes.items():
            left = self._totals[node].plus(reserved.times(-1))
            if left.cpu_millicores or left.memory_bytes or any(left.devices.values()):
                self._totals[node] = left
            else:
                del self._totals[node]


def _awaited(placed: Placed, bound: Counter[str]) -> Counter[str]:
    """Return by node the replicas that no pod shows; pods may be bound elsewhere than expected."""
    left = sum(placed.nodes.values()) - bound.total()
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


def _requests(pod: Manifest) -> Amount:
    total = Amount()
    for container in pod["spec"].get("containers", ()):
        resources = container.get("resources") or {}
        requests = {**(resources.get("limits") or {}), **(resources.get("requests") or {})}
        total = total.plus(amount(requests))
    return total
