"""The best places to cut a chain of segments: the slowest part as fast as can be, then few bytes.

Linear partition, solved exactly by dynamic programming over the places: the least slowest part
first, then the fewest bytes among the partitions that are as fast. Two runs are needed: the
beginning of a partition with the fewest bytes may itself be slower than it need be.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ferryman.core.splitting.dataflow import Operation

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Division:
    """Where a chain of segments is cut."""

    ends: tuple[int, ...]
    """For each part the number of segments up to its end; the last is the number of all."""
    slowest_ms: float
    received_bytes: float
    """What all parts together take from parts before them."""


def received(
    order: Sequence[Operation], places: Sequence[int], sizes_bytes: Mapping[str, float]
) -> Floats:
    """Return the bytes that a part between two places takes from parts before it, [from, to].

    A tensor that several operations of a part read comes once; one that is read beyond the next
    part comes from the part that writes it, not from one to the next. ``places`` are numbers of
    operations, from 0 to all; ``sizes_bytes`` holds the tensors that cross one of them.
    """
    bytes_read = np.zeros((len(places), len(places)))
    ends = np.asarray(places)
    for name, (written, readings) in _uses(order).items():
        # The first place behind the writer: parts that begin before it make the tensor themselves.
        begin = int(np.searchsorted(ends, written + 1))
        read = 0
        for start in range(begin, len(places) - 1):
            while read < len(readings) and readings[read] < places[start]:
                read += 1
            if read == len(readings):
                break
            first_end = int(np.searchsorted(ends, readings[read] + 1))
            bytes_read[start, first_end:] += sizes_bytes[name]
    return bytes_read


def divide(
    times_ms: Sequence[float],
    received_bytes: Floats,
    parts: int,
    *,
    bytes_per_ms: float | None = None,
    tolerance: float = 0.0,
) -> Division:
    """Cut segments into so many parts that none is empty.

    A part takes the time of its segments and, where ``bytes_per_ms`` is known, that of the bytes
    that it receives. Parts that are slower than the slowest need be by no more than the share
    ``tolerance`` count as fast: times are measured. Raises ValueError for more parts than segments.
    """
    if not 1 <= parts <= len(times_ms):
        raise ValueError(f"{len(times_ms)} segments cannot be cut into {parts} parts")
    costs_ms = _costs(times_ms, received_bytes, bytes_per_ms)
    slowest_ms = float(_layers(costs_ms, parts, np.maximum)[-1][-1])
    fast = costs_ms <= slowest_ms * (1 + tolerance)
    allowed_bytes = np.where(fast, received_bytes, np.inf)
    ends = _trace(_layers(allowed_bytes, parts, np.add), allowed_bytes)
    spans = list(zip((0, *ends), ends, strict=False))
    return Division(
        ends,
        max(float(costs_ms[span]) for span in spans),
        sum(float(received_bytes[span]) for span in spans),
    )


def _uses(order: Sequence[Operation]) -> dict[str, tuple[int, list[int]]]:
    """Return for each tensor the operation that writes it and those that read it, by place."""
    uses: dict[str, tuple[int, list[int]]] = {}
    for at, operation in enumerate(order):
        for name in operation.reads:
            if name in uses:
                uses[name][1].append(at)
        uses.update((name, (at, [])) for name in operation.writes)
    return uses


def _costs(times_ms: Sequence[float], received_bytes: Floats, bytes_per_ms: float | None) -> Floats:
    """Return what each part would take, [from, to]; infinite where it would be empty."""
    until_ms = np.concatenate(([0.0], np.cumsum(np.asarray(times_ms, dtype=np.float64))))
    costs = until_ms[np.newaxis, :] - until_ms[:, np.newaxis]
    if bytes_per_ms is not None:
        costs = costs + received_bytes / bytes_per_ms
    forward = np.triu(np.ones_like(costs, dtype=bool), k=1)
    return np.where(forward, costs, np.inf)


def _layers(costs: Floats, parts: int, joined: np.ufunc) -> list[Floats]:
    """Return for 0, 1, 2… parts the least cost of the segments up to each place."""
    least = np.full(len(costs), np.inf)
    least[0] = 0.0
    layers = [least]
    for _ in range(parts):
        least = joined(least[:, np.newaxis], costs).min(axis=0)
        layers.append(least)
    return layers


def _trace(layers: Sequence[Floats], costs: Floats) -> tuple[int, ...]:
    """Follow the sums back to the places that they came from."""
    ends = [len(costs) - 1]
    for layer in reversed(layers[1:-1]):
        ends.append(int((layer + costs[:, ends[-1]]).argmin()))
    return tuple(reversed(ends))
