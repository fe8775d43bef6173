"""The inference workload of node types: the score that placement minimises (design item 2).

workload = benchmark term + memory utilisation + processor utilisation, weighted. The benchmark
term compares speed: the seconds per image at the peak throughput of the processor, divided by
the largest such value among the contenders, so that the slowest has 1.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import NamedTuple

from ferryman.api.inference_model import WorkloadWeights
from ferryman.api.node_profile import BenchmarkPoint

#: Sums that differ by rounding only must tie.
_DECIMALS = 9


class Utilisation(NamedTuple):
    """How busy the processor of one class is on one node: shares from 0 to 1."""

    node: str
    memory: float
    utilisation: float


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
    """The score of one contender and its unweighted terms, each from 0 to 1."""

    node_type: str
    processor: str
    node: str
    """The least-loaded node: the one that the score describes."""
    benchmark: float
    memory: float
    utilisation: float
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
    if known is None or not isfinite(known) or not isfinite(added):
        return 1.0
    return min(1.0, max(0.0, known) + max(0.0, added))


def rank(contenders: Iterable[Contender], weights: WorkloadWeights) -> tuple[Workload, ...]:
    """Return the workloads of all contenders, the least one first.

    A contender scores as its least-loaded node. Ties go to the faster, then by name of the
    node type, then of the processor class.
    """
    entrants = tuple(contenders)
    slowest_s = max((entrant.seconds_per_image for entrant in entrants), default=1.0)
    scores = [(_score(entrant, slowest_s, weights), entrant) for entrant in entrants]
    scores.sort(
        key=lambda pair: (
            pair[0].total,
            pair[1].seconds_per_image,
            pair[1].node_type,
            pair[1].processor,
        )
    )
    return tuple(score for score, _ in scores)


def _score(contender: Contender, slowest_s: float, weights: WorkloadWeights) -> Workload:
    load = min(contender.loads, key=lambda load: _load_key(load, weights))
    benchmark = contender.seconds_per_image / slowest_s
    total = (
        weights.benchmark * benchmark
        + weights.memory * load.memory
        + weights.utilisation * load.utilisation
    )
    return Workload(
        node_type=contender.node_type,
        processor=contender.processor,
        node=load.node,
        benchmark=benchmark,
        memory=load.memory,
        utilisation=load.utilisation,
        total=round(total, _DECIMALS),
    )


def _load_key(load: Utilisation, weights: WorkloadWeights) -> tuple[float, float, str]:
    """Order nodes by their part of the workload; where weights hide it, by the plain sum."""
    weighted = weights.memory * load.memory + weights.utilisation * load.utilisation
    return round(weighted, _DECIMALS), round(load.memory + load.utilisation, _DECIMALS), load.node
