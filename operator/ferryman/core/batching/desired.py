"""What a window of a model says of the replicas that its objectives need.

``Enough.replicas`` is asked under a demand that is somewhat higher than it is (see
``guarded.sizing``), so that a number that would only just do is never gone down to; what becomes of
it over time is said by ``scaling.desired``.
"""

from datetime import datetime, timedelta
from typing import Final

from ferryman.api.conditions import Reason
from ferryman.api.inference_model_status import BatchingStatus
from ferryman.core.observation.window import Window
from ferryman.core.scaling.desired import after_window
from ferryman.core.scaling.stabilization import HOLD
from ferryman.core.tuners.needs import Enough, Needs, count, number, unattainable
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
    least: timedelta = HOLD,
) -> BatchingStatus:
    """Return the status after the tuner's word on a window; too few requests say nothing."""
    if word.reason != Reason.OBSERVING:
        batching = batching.with_(
            needed_replicas=number(word.needs), unattainable=unattainable(word.needs)
        )
    needs = said(word, window)
    if needs is None:
        return batching
    return after_window(batching, count(needs, present), present, now, least)


def _idle(window: Window) -> bool:
    """Whether nothing, or hardly anything, was asked for, and all of it was answered."""
    if window.failures or window.rejected or window.pending or window.pending_before:
        return False
    known = bool(window.service_times) or window.requests == 0
    return known and window.busy_ms < IDLE * window.seconds * _MS_PER_S
