"""How many replicas the objectives need at the demand of now: what scales a model follows it.

More at once, fewer with hysteresis: a lower number counts once no window has asked for more for a
while (``scaling.stabilization``). ``Enough.replicas`` is moreover asked under a demand that is
somewhat higher than it is (see ``guarded.sizing``), so that a number that would only just do is
never gone down to. All of it stands in the status: a restart forgets nothing.
"""

from datetime import datetime, timedelta
from typing import Final

from ferryman.api.conditions import Reason
from ferryman.api.inference_model_status import BatchingStatus, FewerReplicas
from ferryman.core import timestamps
from ferryman.core.observation.window import Window
from ferryman.core.scaling.stabilization import HOLD
from ferryman.core.tuners.needs import Enough, Needs, Replicas, number, unattainable
from ferryman.core.tuners.protocol import Decision

#: A pod that is busy for a smaller share of the time serves requests one by one: so few say
#: nothing of a percentile, and all the same that one replica is enough for them.
IDLE: Final = 0.05
_MS_PER_S: Final = 1e3


def said(word: Decision, window: Window) -> Needs | None:
    """Return what a window says of the replicas that are needed; None where it says nothing."""
    if word.reason in {Reason.NO_TRAFFIC, Reason.OBSERVING} and _idle(window):
        return Enough(replicas=1)
    return None if word.reason == Reason.OBSERVING else word.needs


def noted(
    batching: BatchingStatus,
    word: Decision,
    window: Window,
    present: int,
    *,
    now: datetime,
    hold: timedelta = HOLD,
) -> BatchingStatus:
    """Return the status after the tuner's word on a window; too few requests say nothing."""
    if word.reason != Reason.OBSERVING:
        batching = batching.with_(
            needed_replicas=number(word.needs), unattainable=unattainable(word.needs)
        )
    needs = said(word, window)
    return batching if needs is None else after_window(batching, needs, present, now, hold)


def after_window(
    batching: BatchingStatus,
    needs: Needs,
    present: int,
    now: datetime,
    hold: timedelta = HOLD,
) -> BatchingStatus:
    """Return the status after a window said what is needed, of a model with so many replicas.

    Where a window names no number it is the present one.
    """
    count = _count(needs, present)
    before, fewer = batching.desired_replicas, batching.fewer_replicas
    if before is None or count >= before:
        return batching.with_(desired_replicas=max(count, before or present), fewer_replicas=None)
    if fewer is None:
        fewer = FewerReplicas(replicas=count, since=timestamps.text(now))
    most = max(count, fewer.replicas)
    if now - timestamps.parse(fewer.since) >= hold:
        return batching.with_(desired_replicas=most, fewer_replicas=None)
    return batching.with_(fewer_replicas=fewer.with_(replicas=most))


def shown(batching: BatchingStatus, wanted: int) -> int:
    """Return what to show an autoscaler of a model that is to have so many replicas.

    Where nothing was said yet, or is ever said, it is that number; where none is wanted, none.
    """
    return wanted if batching.desired_replicas is None or not wanted else batching.desired_replicas


def _count(needs: Needs, present: int) -> int:
    if isinstance(needs, Replicas):
        return max(needs.count, 1)
    if isinstance(needs, Enough) and needs.replicas is not None:
        return needs.replicas
    return max(present, 1)


def _idle(window: Window) -> bool:
    """Whether nothing, or hardly anything, was asked for, and all of it was answered."""
    if window.failures or window.rejected or window.pending or window.pending_before:
        return False
    busy_ms = sum(count * each_ms for count, each_ms in window.service_times.values())
    known = bool(window.service_times) or window.requests == 0
    return known and busy_ms < IDLE * window.seconds * _MS_PER_S
