"""The reservations of all models, kept up to date by pod events and decisions.

What counts as reserved is decided in ``core.placement.reservations``; here it is added up.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from math import inf

from ferryman.api.resources import Key
from ferryman.core.manifests import Manifest
from ferryman.core.placement.reservations import (
    NodeLoad,
    PodReservations,
    Reservation,
    ResourceAmount,
    of_pods,
    still_to_show,
)

_NO_PODS = PodReservations()


class Reservations:
    """What each model reserves on each node."""

    def __init__(self) -> None:
        self._pods: dict[Key, PodReservations] = {}
        self._totals: defaultdict[str, ResourceAmount] = defaultdict(ResourceAmount)
        self._placed: dict[Key, tuple[Reservation, float]] = {}

    def update(self, key: Key, pods: Iterable[Manifest]) -> None:
        """Take note of all pods that a model has now."""
        self._add(self._pods.pop(key, _NO_PODS), -1)
        held = of_pods(pods)
        if held.bound:
            self._pods[key] = held
            self._add(held, 1)

    def place(self, key: Key, placed: Reservation, at_s: float | None) -> None:
        """Take note of a placement: what no pod shows yet is reserved until one does.

        ``at_s`` is when it was decided; None where that is known, or was long ago.
        """
        _, before_s = self._placed.get(key, (placed, -inf))
        self._placed[key] = placed, before_s if at_s is None else at_s

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
        for other, (placed, at_s) in self._placed.items():
            if other in apart_from:
                continue
            held = self._pods.get(other, _NO_PODS)
            for node, more in still_to_show(placed, held, now_s - at_s).items():
                before = loads.get(node, NodeLoad())
                loads[node] = NodeLoad(
                    before.reserved.plus(more.reserved), before.in_flight.plus(more.in_flight)
                )
        return loads

    def _add(self, held: PodReservations, sign: int) -> None:
        for node, own in held.reserved.items():
            total = self._totals[node].plus(own.times(sign))
            if total:
                self._totals[node] = total
            else:
                del self._totals[node]
