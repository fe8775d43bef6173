"""What is free on each of the processors that nodes have several of, while replicas are packed."""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ferryman.core.fleet.problem import Placed

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

#: What sums of many amounts may be off by rounding, as a share of a node.
TOLERANCE: Final = 1e-9


class Devices:
    """The processors of one part on all nodes of a type; changed in place by ``add``.

    Amounts are in shares, as in the packing: an array by resource of the part.
    """

    def __init__(self, shares: Floats, count: int) -> None:
        """Divide what each node (row) has into equal parts."""
        self._free: Floats = np.repeat(shares[:, np.newaxis, :] / count, count, axis=1)

    def free(self, resource: int) -> Floats:
        """Return what each processor of each node has left of one resource."""
        return self._free[:, :, resource]

    def fit(self, needs: Floats) -> NDArray[np.bool_]:
        """Tell of each node whether one of its processors has what a replica needs."""
        enough = np.logical_and.reduce(self._free >= needs - TOLERANCE, axis=2)
        found: NDArray[np.bool_] = np.logical_or.reduce(enough, axis=1)
        return found

    def places(self, node: int, needs: Floats) -> int:
        """Return how many replicas the processors of a node can take."""
        used = needs > 0
        rooms = (np.maximum(self._free[node][:, used], 0.0) + TOLERANCE) / needs[used]
        return int(np.floor(rooms.min(axis=1)).sum())

    def choose(self, nodes: Sequence[int], needs: Floats) -> tuple[int, ...]:
        """Return for replicas that fit the processor of each: the one that is left with least."""
        rooms = {node: self._free[node].copy() for node in nodes}
        return tuple(_tightest(rooms[node], needs) for node in nodes)

    def add(self, placed: Placed, amounts: Floats) -> None:
        """Add to what the processors of a placement have left."""
        for node, device in zip(placed.nodes, placed.devices, strict=True):
            self._free[node, device] += amounts

    def least(self, placed: Placed) -> float:
        """Return the least that a processor of a placement has left of anything."""
        touched = self._free[list(placed.nodes), list(placed.devices)]
        return float(touched.min(initial=0.0))


def _tightest(room: Floats, needs: Floats) -> int:
    """Take what a replica needs from one processor of a node, and return which one."""
    fits = (room >= needs - TOLERANCE).all(axis=1)
    device = int(np.where(fits, room.sum(axis=1), np.inf).argmin())
    room[device] -= needs
    return device
