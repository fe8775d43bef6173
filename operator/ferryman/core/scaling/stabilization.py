"""For how long windows must have agreed before there are fewer replicas.

Longer where fewer were too few lately: a demand that comes and goes would otherwise start and end
pods at each turn. All of it is read from the changes that the status holds.
"""

from datetime import datetime, timedelta
from itertools import pairwise
from typing import Final

from ferryman.api.conditions import Reason
from ferryman.api.scaling import ScalingChange, ScalingSpec, ScalingStatus
from ferryman.core import timestamps

#: Without a word of the owner: as long as an HPA looks back by default.
HOLD: Final = timedelta(minutes=5)
#: More replicas so soon after fewer: those were too few.
REGRET: Final = timedelta(minutes=30)
#: For so long that is remembered, and no wait is longer.
MEMORY: Final = timedelta(hours=1)


def hold(spec: ScalingSpec | None, status: ScalingStatus | None, now: datetime) -> timedelta:
    """Return for how long windows must have agreed on fewer; without own scaling: ``HOLD``."""
    if spec is None:
        return HOLD
    stated = timedelta(seconds=spec.scale_down_stabilization_seconds)
    changes = () if status is None else status.changes
    times: int = 2 ** _regrets(changes, now)
    return min(stated * times, MEMORY)


def _regrets(changes: tuple[ScalingChange, ...], now: datetime) -> int:
    """Count how often within the last hour there were more again soon after there were fewer."""
    return sum(
        earlier.reason == Reason.FEWER_SUFFICE
        and later.reason == Reason.MORE_NEEDED
        and timestamps.parse(later.time) - timestamps.parse(earlier.time) <= REGRET
        and now - timestamps.parse(later.time) <= MEMORY
        for later, earlier in pairwise(changes)
    )
