"""What a call between servers costs, from calls of the operator's own to the servers concerned.

A call from home to a step's server crosses from one node to the other. The operator calls both: if
they are on different nodes, it is on another node than at least one of them, so that the slower of
the two calls crossed nodes as well. What the operator itself takes counts as the network's.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import isclose
from statistics import median
from typing import Final

from ferryman.api.pipelines.execution_status import CallStatus
from ferryman.core.pipelines.splits import Crossing
from ferryman.core.rounding import significant

#: What the two kinds of calls carry.
SMALL_BYTES: Final = 1
LARGE_BYTES: Final = 1 << 20
#: Costs that differ by less are the same: networks waver.
TOLERANCE: Final = 0.5
_MIB: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class CallTimes:
    """How long calls to one server took, in seconds."""

    small: Sequence[float]
    large: Sequence[float]


def cost_of(servers: Iterable[CallTimes]) -> CallStatus | None:
    """Return what a call to the slowest of these servers costs; None: unknown.

    It is unknown where one was not measured, or where what a call carries is lost in the noise.
    """
    found = [_of_server(times) for times in servers]
    known = [each for each in found if each is not None]
    if not known or len(known) < len(found):
        return None
    call_s = max(small_s for small_s, _ in known)
    carried_s = max(carried_s for _, carried_s in known)
    speed = (LARGE_BYTES - SMALL_BYTES) / carried_s / _MIB
    return CallStatus(
        milliseconds=significant(call_s * 1e3), mebibytes_per_second=significant(speed)
    )


def _of_server(times: CallTimes) -> tuple[float, float] | None:
    """Return how long a small call takes, and for how much longer a large one."""
    if not times.small or not times.large:
        return None
    small_s, large_s = median(times.small), median(times.large)
    return (small_s, large_s - small_s) if large_s > small_s else None


def kept(before: CallStatus | None, measured: CallStatus | None) -> CallStatus | None:
    """Return what is reported: what was, unless something clearly different was measured."""
    if measured is None or before is None:
        return before if measured is None else measured
    same = isclose(before.milliseconds, measured.milliseconds, rel_tol=TOLERANCE) and isclose(
        before.mebibytes_per_second, measured.mebibytes_per_second, rel_tol=TOLERANCE
    )
    return before if same else measured


def crossing_of(call: CallStatus | None) -> Crossing | None:
    """Return the cost as ways are compared by it."""
    if call is None:
        return None
    return Crossing(call.milliseconds / 1e3, call.mebibytes_per_second * _MIB)
