"""What this operator's models reserve on each node: their pods, and placements just decided.

Placements that no pod shows yet, and pods that utilisation does not show yet, count as load, so
that models created together do not all go to the node that was idle a moment ago.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from ferryman.api import quantity
from ferryman.handlers.cache import Key, Manifest

#: So long after a placement its pods are taken not to show in the node's utilisation.
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
    """A placement that was decided moments ago."""

    node: str
    one: Amount
    """What one replica requests."""
    replicas: int
    at_s: float


@dataclass(frozen=True, slots=True)
class Load:
    """What a node carries for the models other than the one that is decided about."""

    reserved: Amount = field(default_factory=Amount)
    in_flight: Amount = field(default_factory=Amount)


class Ledger:
    """Reservations per model and node, kept up to date by pod events."""

    def __init__(self) -> None:
        self._pods: dict[Key, dict[str, Amount]] = {}
        self._counts: dict[Key, int] = {}
        self._totals: defaultdict[str, Amount] = defaultdict(Amount)
        self._placed: dict[Key, Placed] = {}

    def update(self, key: Key, pods: Iterable[Manifest]) -> None:
        """Take note of all pods that a model has now."""
        self._subtract(self._pods.pop(key, {}))
        self._counts.pop(key, None)
        bound = [pod for pod in pods if _occupies(pod)]
        if not bound:
            return
        nodes: defaultdict[str, Amount] = defaultdict(Amount)
        for pod in bound:
            node = pod["spec"]["nodeName"]
            nodes[node] = nodes[node].plus(_requests(pod))
        self._pods[key], self._counts[key] = dict(nodes), len(bound)
        for node, reserved in nodes.items():
            self._totals[node] = self._totals[node].plus(reserved)

    def place(self, key: Key, placed: Placed) -> None:
        """Take note of a decision, before any pod shows it."""
        self._placed[key] = placed

    def forget(self, key: Key) -> None:
        """Forget a decision; pods, if there are any left, are told by ``update``."""
        self._placed.pop(key, None)

    def loads(self, apart_from: Collection[Key], now_s: float) -> Mapping[str, Load]:
        """Return what each node carries apart from the given models."""
        reserved = dict(self._totals)
        for key in apart_from:
            for node, own in self._pods.get(key, {}).items():
                reserved[node] = reserved[node].plus(own.times(-1))
        loads = {node: Load(amount) for node, amount in reserved.items()}
        for other, placed in self._recent(now_s):
            if other in apart_from:
                continue
            missing = max(0, placed.replicas - self._counts.get(other, 0))
            before = loads.get(placed.node, Load())
            loads[placed.node] = Load(
                before.reserved.plus(placed.one.times(missing)),
                before.in_flight.plus(placed.one.times(placed.replicas)),
            )
        return loads

    def _recent(self, now_s: float) -> list[tuple[Key, Placed]]:
        for key in [k for k, p in self._placed.items() if now_s - p.at_s >= IN_FLIGHT_S]:
            del self._placed[key]
        return list(self._placed.items())

    def _subtract(self, nodes: Mapping[str, Amount]) -> None:
        for node, reserved in nodes.items():
            left = self._totals[node].plus(reserved.times(-1))
            if left.cpu_millicores or left.memory_bytes or any(left.devices.values()):
                self._totals[node] = left
            else:
                del self._totals[node]


def _occupies(pod: Manifest) -> bool:
    ended = pod.get("status", {}).get("phase") in {"Succeeded", "Failed"}
    return bool(pod["spec"].get("nodeName")) and not ended


def _requests(pod: Manifest) -> Amount:
    total = Amount()
    for container in pod["spec"].get("containers", ()):
        resources = container.get("resources") or {}
        requests = {**(resources.get("limits") or {}), **(resources.get("requests") or {})}
        total = total.plus(amount(requests))
    return total
