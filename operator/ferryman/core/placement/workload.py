"""The inference workload of node types: the score that placement minimises (design item 2).

workload = benchmark term + memory utilisation + processor utilisation, weighted. The benchmark
term compares speed: the seconds per image at the peak throughput of the processor, divided by
the largest such value among the contenders, so that the slowest has 1.

A utilisation that is unknown counts as 1 among the nodes of a type. Between types it counts as the
mean of its class, and where a whole class does not tell it, it is left out for all: what nobody
could read sends no model from one class to another (decision record 18).
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import isfinite
from statistics import fmean
from typing import NamedTuple

from ferryman.api.inference_model import WorkloadWeights
from ferryman.api.node_profile import BenchmarkPoint

#: Sums that differ by rounding only must tie.
_DECIMALS = 9


class Utilisation(NamedTuple):
    """How busy the processor of one class is on one node: shares from 0 to 1."""

    node: str
    memory: float | None
    """None where it is unknown, as is the next."""
    utilisation: float | None


class Counted(NamedTuple):
    """What the terms of a type's least-loaded node count as; None where a term is left out."""

    memory: float | None
    utilisation: float | None


@dataclass(frozen=True, slots=True)
class Contender:
    """A node type with one processor class that could serve, and its nodes that fit."""

    node_type: str
    processor: str
    seconds_per_image: float
    """At peak throughput; finite and positive."""
    loads: tuple[Utilisation, ...]
    """At least one."""


@dataclass(frozen=True, slots=True)
class Workload:
    """The score of one contender and its unweighted terms, each from 0 to 1.

    ``memory`` and ``utilisation`` are what was seen, None where it is unknown; ``counted`` is what
    they count as.
    """

    node_type: str
    processor: str
    node: str
    """The least-loaded node: the one that the score describes."""
    benchmark: float
    memory: float | None
    utilisation: float | None
    counted: Counted
    total: float


def seconds_per_image(points: Sequence[BenchmarkPoint]) -> float:
    """Return the seconds per image at the peak throughput of a load performance table.

    Raises ValueError when there is no row, or one that no processor can have produced.
    """
    if not points:
        raise ValueError("the load performance table has no rows")
    for point in points:
        rate = point.images_per_second
        if not (isfinite(rate) and rate > 0 and isfinite(1 / rate)):
            raise ValueError(f"{rate} images per second at batch size {point.batch_size}")
    return 1 / max(point.images_per_second for point in points)


def share(known: float | None, added: float = 0.0) -> float:
    """Return a utilisation with what was just added to it, from 0 to 1; unknown counts as 1."""
    seen = known_share(known, added)
    return 1.0 if seen is None else seen


def known_share(known: float | None, added: float = 0.0) -> float | None:
    """Return a utilisation with what was just added to it, from 0 to 1; None where unknown."""
    if known is None or not isfinite(known) or not isfinite(added):
        return None
    return min(1.0, max(0.0, known) + max(0.0, added))


def rank(contenders: Iterable[Contender], weights: WorkloadWeights) -> tuple[Workload, ...]:
    """Return the workloads of all contenders, the least one first.

    A contender scores as its least-loaded node. Ties go to the faster, then by name of the
    node type, then of the processor class.
    """
    entrants = tuple(contenders)
    slowest_s = max((entrant.seconds_per_image for entrant in entrants), default=1.0)
    loads = [min(entrant.loads, key=lambda load: _load_key(load, weights)) for entrant in entrants]
    classes = [entrant.processor for entrant in entrants]
    memory = _counted(classes, [load.memory for load in loads])
    utilisation = _counted(classes, [load.utilisation for load in loads])
    counted = map(Counted, memory, utilisation)
    scores = [
        (_score(entrant, load, terms, slowest_s, weights), entrant)
        for entrant, load, terms in zip(entrants, loads, counted, strict=True)
    ]
    scores.sort(
        key=lambda pair: (
            pair[0].total,
            pair[1].seconds_per_image,
            pair[1].node_type,
            pair[1].processor,
        )
    )
    return tuple(score for score, _ in scores)


def _counted(classes: Sequence[str], seen: Sequence[float | None]) -> Sequence[float | None]:
    """Return what a term counts as for each contender: what was seen, or its class's mean.

    Where nobody of a class knows it, it is left out for all: counted for some alone it would move
    models between classes, whatever it counted as.
    """
    if None not in seen:
        return seen
    known: defaultdict[str, list[float]] = defaultdict(list)
    for kind, value in zip(classes, seen, strict=True):
        if value is not None:
            known[kind].append(value)
    if not known.keys() >= set(classes):
        return [None] * len(seen)
    means = {kind: fmean(values) for kind, values in known.items()}
    return [
        means[kind] if value is None else value for kind, value in zip(classes, seen, strict=True)
    ]


def _score(
    contender: Contender,
    load: Utilisation,
    counted: Counted,
    slowest_s: float,
    weights: WorkloadWeights,
) -> Workload:
    benchmark = contender.seconds_per_image / slowest_s
    total = (
        weights.benchmark * benchmark
        + weights.memory * (counted.memory or 0.0)
        + weights.utilisation * (counted.utilisation or 0.0)
    )
    return Workload(
        node_type=contender.node_type,
        processor=contender.processor,
        node=load.node,
        benchmark=benchmark,
        memory=load.memory,
        utilisation=load.utilisation,
        counted=counted,
        total=round(total, _DECIMALS),
    )


def _load_key(load: Utilisation, weights: WorkloadWeights) -> tuple[float, float, str]:
    """Order nodes by their part of the workload; where weights hide it, by the plain sum.

    What is unknown counts as 1 here: of twins the one that is known to be free comes first.
    """
    memory = 1.0 if load.memory is None else load.memory
    utilisation = 1.0 if load.utilisation is None else load.utilisation
    weighted = weights.memory * memory + weights.utilisation * utilisation
    return round(weighted, _DECIMALS), round(memory + utilisation, _DECIMALS), load.node
