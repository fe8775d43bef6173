"""The reservations of all models, kept up to date by pod events and decisions.

What counts as reserved is decided in ``core.placement.reservations``; here it is added up.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from math import inf

from ferryman.api.resources import Key
from ferryman.core.manifests import Manifest
from ferryman.core.placement.reservations import (
    GRACE_S,
    CreatedPods,
    NodeLoad,
    PodReservations,
    Reservation,
    ResourceAmount,
    of_pods,
    still_to_show,
)

_NO_PODS = PodReservations()
_NONE_EXIST = CreatedPods()


@dataclass(frozen=True, slots=True)
class _Placed:
    reservation: Reservation
    decided_at_s: float
    grew_at_s: float
    """When it was first told of, or last asked for more."""


def _replicas(placed: Reservation) -> int:
    return sum(placed.nodes.values())


class Reservations:
    """What each model reserves on each node."""

    def __init__(self) -> None:
        self._pods: dict[Key, PodReservations] = {}
        self._totals: defaultdict[str, ResourceAmount] = defaultdict(ResourceAmount)
        self._placed: dict[Key, _Placed] = {}
        self._exist: dict[Key, CreatedPods | None] = {}

    def update(self, key: Key, pods: Iterable[Manifest]) -> None:
        """Take note of all pods that a model has now."""
        self._add(self._pods.pop(key, _NO_PODS), -1)
        held = of_pods(pods)
        if held.bound:
            self._pods[key] = held
            self._add(held, 1)

    def place(self, key: Key, placed: Reservation, now_s: float, *, is_new: bool) -> None:
        """Take note of a placement: what no pod shows yet is reserved until one does.

        ``is_new`` where it was decided now, rather than long ago.
        """
        before = self._placed.get(key)
        grows = before is None or _replicas(placed) > _replicas(before.reservation)
        self._placed[key] = _Placed(
            placed,
            decided_at_s=now_s if is_new else -inf if before is None else before.decided_at_s,
            grew_at_s=now_s if before is None or is_new or grows else before.grew_at_s,
        )

    def exist(self, key: Key, found: CreatedPods | None) -> None:
        """Take note of the pods that a model's Deployment says that it has, once it says so."""
        if found == _NONE_EXIST:
            self._exist.pop(key, None)
        else:
            self._exist[key] = found

    def forget(self, key: Key) -> None:
        """Forget a placement; pods, if there are any left, are told by ``update``."""
        self._placed.pop(key, None)

    def loads(self, apart_from: Collection[Key], now_s: float) -> Mapping[str, NodeLoad]:
        """Return what each node carries apart from the given models."""
        reserved = dict(self._totals)
        for key in apart_from:
            for node, own in self._pods.get(key, _NO_PODS).reserved.items():
                reserved[node] = reserved.get(node, ResourceAmount()).plus(own.times(-1))
        loads = {node: NodeLoad(held) for node, held in reserved.items()}
        for other, placed in self._placed.items():
            if other in apart_from:
                continue
            for node, more in self._still_to_show(other, placed, now_s).items():
                before = loads.get(node, NodeLoad())
                loads[node] = NodeLoad(
                    before.reserved.plus(more.reserved), before.in_flight.plus(more.in_flight)
                )
        return loads

    def _still_to_show(self, key: Key, placed: _Placed, now_s: float) -> Mapping[str, NodeLoad]:
        held, exist = self._pods.get(key, _NO_PODS), self._exist.get(key, _NONE_EXIST)
        if exist is not None and not exist.fails and now_s - placed.grew_at_s < GRACE_S:
            exist = None
        return still_to_show(placed.reservation, held, now_s - placed.decided_at_s, exist)

    def _add(self, held: PodReservations, sign: int) -> None:
        for node, own in held.reserved.items():
            total = self._totals[node].plus(own.times(sign))
            if total:
                self._totals[node] = total
            else:
                del self._totals[node]
