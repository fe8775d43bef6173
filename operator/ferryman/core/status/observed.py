"""What the status says of the last window with traffic, quantised so that noise writes nothing."""

from dataclasses import dataclass
from math import sqrt
from typing import Final

from ferryman.api.conditions import ConditionType, find
from ferryman.api.inference_model import InferenceModel
from ferryman.api.inference_model_status import ObservedStatus
from ferryman.core.observation.objectives import Verdict, few, judge
from ferryman.core.observation.window import Window
from ferryman.core.rounding import significant

#: Changes up to this share are noise, also where a window holds very many requests.
TOLERANCE: Final = 0.1


@dataclass(frozen=True)
class Observation:
    """The last window with traffic, what it says of the objectives, and whether that is new."""

    status: ObservedStatus | None
    verdict: Verdict | None
    """None without a window, or with too few requests in it to judge."""
    steady: bool
    """Whether the status says it all already, so that messages with figures may stay."""


def observe(model: InferenceModel, window: Window | None) -> Observation:
    """Judge a window and settle what the status reports of it.

    The previous report stays while the verdict is the same and every figure is within the
    tolerance of it: 10 %, or two standard deviations of a Poisson count where that is more (three
    for the few requests that failed or were rejected).
    A window without traffic says one thing only: nothing is rejected any more.
    """
    previous = model.status.observed
    if window is None:
        return Observation(previous, None, steady=True)
    verdict = _judge(model, window)
    if window.requests == window.failures == window.rejected == 0:
        if previous is not None and previous.rejected_requests:
            previous = previous.with_(rejected_requests=0)
        return Observation(previous, verdict, steady=True)
    current = _quantised(window)
    if previous is not None and _same_verdict(model, verdict) and _alike(previous, current, window):
        return Observation(previous, verdict, steady=True)
    return Observation(current, verdict, steady=False)


def _judge(model: InferenceModel, window: Window) -> Verdict | None:
    applied = model.status.batching.applied
    delay_us = applied.max_queue_delay_microseconds if applied else 0
    verdict = judge(model.spec.objectives, window, queue_delay_ms=delay_us / 1000)
    return None if window.requests and few(window, verdict) else verdict


def _quantised(window: Window) -> ObservedStatus:
    return ObservedStatus(
        latency_milliseconds=_round(window.latency_ms),
        latency_estimated=window.latency_estimated,
        mean_latency_milliseconds=_round(window.mean_latency_ms),
        inferences_per_second=_round(window.inferences_per_s) or 0.0,
        mean_batch_size=_round(window.mean_batch_size),
        failed_requests=window.failures,
        rejected_requests=_whole(_round(window.rejected)),
    )


def _round(value: float | None) -> float | None:
    return None if value is None else significant(value)


def _whole(value: float | None) -> int | None:
    return None if value is None else round(value)


def _same_verdict(model: InferenceModel, verdict: Verdict | None) -> bool:
    if verdict is None:
        return True
    condition = find(model.status.conditions, ConditionType.OBJECTIVES_MET)
    words = {True: "True", False: "False", None: "Unknown"}
    return condition is not None and condition.status == words[verdict.met]


def _alike(previous: ObservedStatus, current: ObservedStatus, window: Window) -> bool:
    if previous.latency_estimated != current.latency_estimated:
        return False
    tolerance = max(TOLERANCE, 2 / sqrt(max(1, window.requests)))
    figures: tuple[tuple[float | None, float | None], ...] = (
        (previous.latency_milliseconds, current.latency_milliseconds),
        (previous.mean_latency_milliseconds, current.mean_latency_milliseconds),
        (previous.inferences_per_second, current.inferences_per_second),
        (previous.mean_batch_size, current.mean_batch_size),
    )
    counts = (
        (previous.failed_requests, current.failed_requests),
        (previous.rejected_requests, current.rejected_requests),
    )
    return all(_close(old, new, tolerance) for old, new in figures) and all(
        _about_as_many(old, new, tolerance) for old, new in counts
    )


def _close(old: float | None, new: float | None, tolerance: float) -> bool:
    if old is None or new is None:
        return old is new
    return abs(new - old) <= tolerance * old


def _about_as_many(old: int | None, new: int | None, tolerance: float) -> bool:
    """Whether counts differ by noise alone; whether there are any at all is never noise."""
    if not old or not new:
        return old == new
    return abs(new - old) <= max(tolerance * old, 3 * sqrt(old))
