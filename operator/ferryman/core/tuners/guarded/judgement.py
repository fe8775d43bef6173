"""Whether a window met the objectives, and what it should have shown."""

from dataclasses import replace
from math import isfinite
from typing import Final

from ferryman.api.batching import Batching
from ferryman.api.conditions import Reason
from ferryman.api.objectives import Objectives
from ferryman.core.observation.objectives import MIN_REQUESTS, Verdict, judge
from ferryman.core.observation.window import QUANTILE_MEMORY_S, Window
from ferryman.core.tuners.guarded import learning
from ferryman.core.tuners.state import Learned

_US_PER_MS: Final = 1e3


def judged(known: Learned, objectives: Objectives, applied: Batching, window: Window) -> Verdict:
    """Judge the window; what was rejected, or may have been, counts as late."""
    delay_ms = applied.max_queue_delay_microseconds / _US_PER_MS
    believed = _believed(known, objectives, applied, window)
    verdict = judge(objectives, believed, queue_delay_ms=delay_ms)
    late = window.failures if window.rejected is None else window.rejected
    asked, latency = window.requests + late, objectives.latency
    allowed = asked if latency is None else asked * (1 - latency.percentile / 100)
    if not verdict.met or late <= allowed:
        return verdict
    became = "failed or were rejected" if window.rejected is None else "were rejected"
    message = f"{late} of {asked} requests {became}; {verdict.message}"
    return replace(verdict, met=False, reason=Reason.REJECTING, message=message)


def _doubted(known: Learned, window: Window) -> bool:
    """Whether Triton's percentile is an estimate, or still describes an earlier excursion."""
    missed_at_s = known.missed_at_s
    remembered = missed_at_s is not None and window.ended_at_s - missed_at_s < QUANTILE_MEMORY_S
    return window.latency_estimated or remembered


def _believed(known: Learned, objectives: Objectives, applied: Batching, window: Window) -> Window:
    """Return the window with the twin's percentile where Triton's is not to be believed.

    Corrected by the means, which are exact, it comes nearer than an estimate by the mean alone.
    """
    told = window.requests >= MIN_REQUESTS and known.service.points
    if not told or not _doubted(known, window):
        return window
    goal = learning.goal(objectives, window)
    expected = learning.expected(known.service, applied, window, goal)
    if expected is None or not isfinite(expected.mean_ms):
        return window
    off = (window.mean_latency_ms or 0.0) / expected.mean_ms
    return replace(window, latency_ms=expected.latency_ms * off)
