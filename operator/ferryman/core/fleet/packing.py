"""What is free on every node while a placement is built: replicas are packed one by one.

Capacities that are added up over nodes, or over the processors of a node, promise room that no
single one has. Whatever chooses node types, a model counts as placed only when each of its
replicas was given a node here, and a processor where the node has several.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ferryman.core.fleet.devices import TOLERANCE, Devices, Floats, Ints
from ferryman.core.fleet.problem import Amounts, NodePool, Option, Part, Placed, PlacementProblem


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a replica uses, in shares of what the largest node of the type has."""

    option: Option
    columns: Ints
    shares: Floats
    devices: Devices | None
    """The processors of which each replica needs one."""
    needs: Floats
    """What it needs of that one; 0 for what it does not use."""


class Packing:
    """The nodes' free amounts; changed in place by ``place``, ``remove`` and ``restore``."""

    def __init__(self, node_types: Sequence[NodePool]) -> None:
        self._columns = {kind.name: _columns(kind) for kind in node_types}
        self._most = {kind.name: _most(kind) for kind in node_types}
        self._free = {kind.name: self._shares(kind) for kind in node_types}
        self._kinds = {kind.name: kind for kind in node_types}
        self._devices = {
            (kind.name, part): self._divided(kind, part)
            for kind in node_types
            for part in kind.parts
        }
        self._wanted: dict[int, Wanted] = {}

    def place(self, option: Option) -> Placed | None:
        """Give every replica a node, each time the one that is left with the least room.

        Returns None, and changes nothing, where they do not all fit.
        """
        wanted = self._want(option)
        if wanted is None:
            return None
        free = self._free[option.node_type]
        rooms = free if wanted.columns.size == free.shape[1] else free[:, wanted.columns]
        room = (rooms - wanted.shares).sum(axis=1)
        fits = np.logical_and.reduce(rooms >= wanted.shares - TOLERANCE, axis=1)
        if wanted.devices is not None:
            fits &= wanted.devices.fit(wanted.needs)
        nodes = _tightest(room, fits) if option.replicas == 1 else _fill(room, fits, rooms, wanted)
        if nodes is None:
            return None
        chosen = () if wanted.devices is None else wanted.devices.choose(nodes, wanted.needs)
        placed = Placed(option, nodes, chosen)
        self.restore(placed)
        return placed

    def take(self, placed: Placed) -> Placed | None:
        """Give replicas the nodes, and the processors, that are named.

        Processors that are not named are chosen. Returns None, and changes nothing, where they do
        not all fit.
        """
        wanted = self._want(placed.option)
        if wanted is None:
            return None
        if wanted.devices is not None and not placed.devices:
            chosen = wanted.devices.choose(placed.nodes, wanted.needs)
            placed = Placed(placed.option, placed.nodes, chosen)
        self.restore(placed)
        touched = self._free[placed.option.node_type][list(placed.nodes)][:, wanted.columns]
        there = wanted.devices is None or wanted.devices.least(placed) >= -TOLERANCE
        if there and touched.min(initial=0.0) >= -TOLERANCE:
            return placed
        self.remove(placed)
        return None

    def remove(self, placed: Placed) -> None:
        """Free what a placement took."""
        self._add(placed, 1.0)

    def restore(self, placed: Placed) -> None:
        """Take what ``remove`` has freed."""
        self._add(placed, -1.0)

    def size(self, option: Option) -> float:
        """Return what a replica takes of a node, in shares added up over the resources."""
        wanted = self._want(option)
        return 0.0 if wanted is None else float(wanted.shares.sum())

    def fits(self, option: Option) -> bool:
        """Whether it could be placed now."""
        placed = self.place(option)
        if placed is None:
            return False
        self.remove(placed)
        return True

    def possible(self, options: Sequence[Option]) -> list[bool]:
        """Tell of each option whether it could be placed now if it were the only one.

        The same as ``fits``, for many at once; a doubtful case counts as possible, and so does
        one that needs more processors than there are, each of them in part.
        """
        answers = [False] * len(options)
        of: dict[str, list[int]] = {name: [] for name in self._free}
        for index, option in enumerate(options):
            if option.node_type in of:
                of[option.node_type].append(index)
        for name, indices in of.items():
            found = self._possible(name, [options[index] for index in indices])
            for index, answer in zip(indices, found, strict=True):
                answers[index] = answer
        return answers

    def _possible(self, node_type: str, options: Sequence[Option]) -> list[bool]:
        columns, most = self._columns[node_type], self._most[node_type]
        uses = np.zeros((len(options), len(columns) + 1))
        for row, option in enumerate(options):
            for name, amount in option.uses.items():
                # The last column is for what no node has.
                uses[row, columns.get(name, -1)] += amount
        shares = uses[:, :-1] / most
        unused = shares <= 0
        places = np.zeros(len(options))
        nodes, counts = np.unique(self._free[node_type], axis=0, return_counts=True)
        for node, count in zip(nodes, counts.tolist(), strict=True):
            room = np.maximum(0.0, node + 2 * TOLERANCE)
            ratios = np.where(unused, np.inf, room / np.where(unused, 1.0, shares))
            places += count * np.floor(ratios.min(axis=1, initial=np.inf))
        replicas = np.array([option.replicas for option in options])
        found: list[bool] = ((places >= replicas) & (uses[:, -1] <= 0)).tolist()
        return found

    def lack(self, option: Option) -> str:
        """Return the resource of which the node type has least, measured by what is wanted."""
        free = self._free.get(option.node_type)
        if free is None or not len(free):
            return "nodes"
        ratios = {
            name: self._room(option.node_type, name) / amount
            for name, amount in sorted(option.uses.items())
            if amount > 0
        }
        return min(ratios, key=lambda name: ratios[name], default="nodes")

    def left(self, node_type: str) -> tuple[Amounts, ...]:
        """Return what is free on each node of a type now."""
        names = self._columns[node_type]
        amounts = np.maximum(0.0, self._free[node_type]) * self._most[node_type]
        return tuple(dict(zip(names, node, strict=True)) for node in amounts.tolist())

    def _room(self, node_type: str, resource: str) -> float:
        """Return the most that is free of a resource on one node, or on one processor."""
        column = self._columns[node_type].get(resource)
        if column is None:
            return 0.0
        most, shares = self._most[node_type][column], self._free[node_type][:, column]
        part = self._kinds[node_type].divided(resource)
        if part is not None:
            shares = self._devices[node_type, part].free(part.resources.index(resource))
        return float(shares.max() * most)

    def _shares(self, kind: NodePool) -> Floats:
        return _matrix(kind, self._columns[kind.name]) / self._most[kind.name]

    def _divided(self, kind: NodePool, part: Part) -> Devices:
        columns = [self._columns[kind.name][name] for name in part.resources]
        return Devices(self._free[kind.name][:, columns], part.count)

    def _add(self, placed: Placed, sign: float) -> None:
        wanted = self._want(placed.option)
        if wanted is None:
            return
        free = self._free[placed.option.node_type]
        for node, count in Counter(placed.nodes).items():
            free[node, wanted.columns] += sign * count * wanted.shares
        if wanted.devices is not None:
            wanted.devices.add(placed, sign * wanted.needs)

    def _want(self, option: Option) -> Wanted | None:
        """Return what a replica uses; None where no node of the type has one of the resources."""
        # An option holds a mapping and so has no hash; Wanted keeps it alive, and so its id.
        known = self._wanted.get(id(option))
        if known is not None:
            return known
        columns = self._columns.get(option.node_type)
        uses = {name: amount for name, amount in option.uses.items() if amount > 0}
        if columns is None or not uses.keys() <= columns.keys():
            return None
        pairs = sorted((columns[name], amount) for name, amount in uses.items())
        index = np.array([column for column, _ in pairs], dtype=np.int64)
        amounts = np.array([amount for _, amount in pairs], dtype=np.float64)
        most = self._most[option.node_type]
        part = self._kinds[option.node_type].part_of(option)
        own = () if part is None else part.resources
        needs = np.array([option.uses.get(name, 0.0) / most[columns[name]] for name in own])
        devices = None if part is None else self._devices[option.node_type, part]
        found = Wanted(option, index, amounts / most[index], devices, needs)
        self._wanted[id(option)] = found
        return found


def _columns(kind: NodePool) -> dict[str, int]:
    named = {name for node in kind.free for name in node}
    names = sorted(named.union(*(part.resources for part in kind.parts)))
    return {name: column for column, name in enumerate(names)}


def _matrix(kind: NodePool, columns: dict[str, int]) -> Floats:
    rows = [[float(node.get(name, 0.0)) for name in columns] for node in kind.free]
    return np.array(rows, dtype=np.float64).reshape(len(rows), len(columns))


def _most(kind: NodePool) -> Floats:
    """Return what a node has at most of each resource, 1 where none has any."""
    most: Floats = _matrix(kind, _columns(kind)).max(axis=0, initial=0.0)
    return np.where(most > 0, most, 1.0)


def _tightest(room: Floats, fits: NDArray[np.bool_]) -> tuple[int, ...] | None:
    if not fits.any():
        return None
    return (int(np.where(fits, room, np.inf).argmin()),)


def _fill(
    room: Floats, fits: NDArray[np.bool_], rooms: Floats, wanted: Wanted
) -> tuple[int, ...] | None:
    """Return a node for each replica: the tightest node stays so until it is full."""
    missing = wanted.option.replicas
    if missing == 0:
        return ()
    fitting = np.flatnonzero(fits)
    nodes: list[int] = []
    for node in fitting[np.argsort(room[fitting], kind="stable")].tolist():
        if not wanted.columns.size:
            return (node,) * missing
        places = int(((rooms[node] + TOLERANCE) / wanted.shares).min())
        if wanted.devices is not None:
            places = min(places, wanted.devices.places(node, wanted.needs))
        nodes += [node] * min(places, missing - len(nodes))
        if len(nodes) == missing:
            return tuple(nodes)
    return None


def packed(problem: PlacementProblem, placed: Iterable[Placed]) -> Packing:
    """Return the nodes of a problem with what a placement leaves of them."""
    packing = Packing(problem.node_types)
    for each in placed:
        packing.restore(each)
    return packing


def left(problem: PlacementProblem, placed: Iterable[Placed]) -> dict[str, tuple[Amounts, ...]]:
    """Return what each node has left under a placement, by node type."""
    packing = packed(problem, placed)
    return {kind.name: packing.left(kind.name) for kind in problem.node_types}
