"""A model as operations and the tensors between them, and the places where it can be cut.

Operations that nothing varies (constants, and what is computed from constants alone) belong to no
place: like weights they are copied into each part that needs them, so that no cut carries them.
"""

import heapq
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass


class CyclicError(ValueError):
    """Operations wait for each other; the message names a tensor among them."""


@dataclass(frozen=True, slots=True)
class Operation:
    """A node of a model's graph."""

    index: int
    """Its place in the file."""
    reads: tuple[str, ...]
    """Tensors that it needs, also those that only its subgraphs read."""
    writes: tuple[str, ...]
    random: bool = False
    """It draws random numbers: two copies of it would not agree."""


@dataclass(frozen=True, slots=True)
class Dataflow:
    """A model's operations, in any order. Weights are neither inputs nor written by any."""

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    operations: tuple[Operation, ...]


@dataclass(frozen=True, slots=True)
class Cut:
    """A place between two operations of an order, and the tensors that cross it."""

    position: int
    """How many operations come before it."""
    crossing: tuple[str, ...]
    """In the order in which they are written."""


def placed(flow: Dataflow) -> tuple[Operation, ...]:
    """Return the operations that belong into exactly one part, each after those that it reads.

    Left out are those that no output needs, and those that nothing varies. Of the order in the
    file as much is kept as possible. Raises CyclicError.
    """
    ordered = sort(flow.operations)
    varying = set(flow.inputs)
    for operation in ordered:
        if operation.random or varying.intersection(operation.reads):
            varying.update(operation.writes)
    needed = set(flow.outputs)
    kept: list[Operation] = []
    for operation in reversed(ordered):
        if needed.intersection(operation.writes):
            needed.update(operation.reads)
            if varying.intersection(operation.writes):
                kept.append(operation)
    return tuple(reversed(kept))


def orders(flow: Dataflow) -> Iterator[tuple[Operation, ...]]:
    """Yield orders in which cuts are looked for: the file's, and one branch after the other.

    Exporters mostly write one branch after the other; where they take turns, each cut between
    them would carry both.
    """
    as_written = placed(flow)
    yield as_written
    yield _by_branch(as_written, flow.outputs)


def cuts(order: Sequence[Operation], most_tensors: int) -> tuple[Cut, ...]:
    """Return the places of an order that so many tensors at most cross, first to last."""
    last_read = {name: at for at, operation in enumerate(order) for name in operation.reads}
    crossing: dict[str, None] = {}
    found: list[Cut] = []
    for at, operation in enumerate(order[:-1]):
        for name in operation.reads:
            if last_read[name] == at:
                crossing.pop(name, None)
        crossing.update((name, None) for name in operation.writes if last_read.get(name, at) > at)
        if len(crossing) <= most_tensors:
            found.append(Cut(at + 1, tuple(crossing)))
    return tuple(found)


def sort(operations: Sequence[Operation]) -> list[Operation]:
    """Return operations after what they read; among those that may come next the file's first.

    Raises CyclicError.
    """
    writers = {name: operation.index for operation in operations for name in operation.writes}
    of = {operation.index: operation for operation in operations}
    waits = {
        operation.index: {writers[name] for name in operation.reads if name in writers}
        for operation in operations
    }
    readers: dict[int, list[int]] = {index: [] for index in of}
    for index, before in waits.items():
        for writer in before:
            readers[writer].append(index)
    left = {index: len(before) for index, before in waits.items()}
    free = [index for index, count in left.items() if count == 0]
    heapq.heapify(free)
    ordered: list[Operation] = []
    while free:
        operation = of[heapq.heappop(free)]
        ordered.append(operation)
        for reader in readers[operation.index]:
            left[reader] -= 1
            if left[reader] == 0:
                heapq.heappush(free, reader)
    if len(ordered) < len(of):
        stuck = next(of[index] for index, count in left.items() if count > 0)
        raise CyclicError(f"what {', '.join(stuck.writes)} is computed from waits for itself")
    return ordered


def _by_branch(order: Sequence[Operation], outputs: Iterable[str]) -> tuple[Operation, ...]:
    """Return the operations depth first from the outputs: each branch whole, then the next."""
    writers = {name: operation for operation in order for name in operation.writes}
    done: dict[int, Operation] = {}
    for output in outputs:
        waiting = [writers[output]] if output in writers else []
        while waiting:
            operation = waiting[-1]
            before = [
                writers[name]
                for name in operation.reads
                if name in writers and writers[name].index not in done
            ]
            if before:
                # The last one is taken first: reversed, the first branch comes first.
                waiting += reversed(before)
                continue
            waiting.pop()
            done.setdefault(operation.index, operation)
    return tuple(done.values())
