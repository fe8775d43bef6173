"""Service times that serving pods showed, kept in the status for placement, by node type."""

from collections.abc import Iterable, Sequence
from typing import Final

from ferryman.api.inference_model_status import (
    MAX_SERVICE_TIME_MS,
    PlacementStatus,
    ServiceTimePoint,
    ServiceTimes,
)
from ferryman.core.rounding import significant
from ferryman.core.tuners.learned import service_time
from ferryman.core.tuners.state import Learned

#: What status may hold (InferenceModelStatus.service_times).
MAX_NODE_TYPES: Final = 16
MAX_POINTS: Final = 16
#: A curve is written again when one of its points has changed by more.
CHANGED: Final = 0.2


def of_place(
    measured: Iterable[ServiceTimes], node_type: str | None, processor: str | None
) -> ServiceTimes | None:
    """Return what was measured on a node type with a processor class; None: nothing."""
    place = (node_type, processor)
    return next((each for each in measured if (each.node_type, each.processor) == place), None)


def kept(
    before: tuple[ServiceTimes, ...],
    placement: PlacementStatus | None,
    learned: Learned,
    instances: int,
    now: str,
) -> tuple[ServiceTimes, ...]:
    """Return the service times of all node types after a window; ``now`` in RFC 3339.

    The curve of the type that serves is replaced only when it has changed, so that noise causes
    no writes; the one that has not changed for longest makes room for a new one.
    """
    if placement is None or placement.node_type is None or placement.processor is None:
        return before
    if placement.further_node_types or not learned.service.has_shape:
        return before  # of several node types together nothing is known of one
    fresh = ServiceTimes(
        node_type=placement.node_type,
        processor=placement.processor,
        measured_at=now,
        points=_points(learned.service, instances),
    )
    own = of_place(before, placement.node_type, placement.processor)
    if own is not None and not _differ(own.points, fresh.points):
        return before
    others = sorted((each for each in before if each is not own), key=lambda e: e.measured_at)
    return tuple(sorted([*others[-(MAX_NODE_TYPES - 1) :], fresh], key=_name))


def _points(service: service_time.ServiceTimes, instances: int) -> tuple[ServiceTimePoint, ...]:
    """Return the curve at 1, 2, 4, … and at the largest batch that ran."""
    largest = max(service.sizes)
    curve_ms = service.curve_ms(instances, largest)
    return tuple(
        ServiceTimePoint(batch_size=size, milliseconds=_rounded(curve_ms[size - 1]))
        for size in doubling(largest)
    )


def doubling(largest: int) -> tuple[int, ...]:
    """Return 1, 2, 4, … and the largest; nothing where that is 0."""
    sizes = (2**power for power in range(MAX_POINTS - 1) if 2**power < largest)
    return (*sizes, largest) if largest > 0 else ()


def _differ(before: Sequence[ServiceTimePoint], after: Sequence[ServiceTimePoint]) -> bool:
    """Whether a point that both have has changed, or the later one reaches twice as far."""
    known = {point.batch_size: point.milliseconds for point in before}
    if after[-1].batch_size >= 2 * before[-1].batch_size:
        return True
    return any(
        abs(point.milliseconds - known[point.batch_size]) > CHANGED * known[point.batch_size]
        for point in after
        if point.batch_size in known
    )


def _rounded(value: float) -> float:
    return min(MAX_SERVICE_TIME_MS, significant(value))


def _name(times: ServiceTimes) -> tuple[str, str]:
    return times.node_type, times.processor
