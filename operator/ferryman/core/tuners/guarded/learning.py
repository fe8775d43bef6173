"""What one window teaches about a model: service times, their drift, demand, and what is safe."""

from dataclasses import replace
from math import exp, inf
from typing import Final

from ferryman.api.batching import Batching
from ferryman.api.objectives import Objectives
from ferryman.core.observation.window import Window
from ferryman.core.tuners.guarded.prediction import Goal, Prediction, predict
from ferryman.core.tuners.learned.demand import Demand
from ferryman.core.tuners.learned.drift import DriftDetector
from ferryman.core.tuners.learned.service_time import ServiceTimes
from ferryman.core.tuners.state import Learned

#: A window whose service times deviate by more is not learned from at once.
SUSPECT: Final = 0.1
#: One whose sizes deviate differently by more, on average, holds two levels.
UNEVEN: Final = 0.07


def after(known: Learned, applied: Batching, window: Window) -> Learned:
    """Return what is known once a window, served by what is applied, has been looked at."""
    service, drift = _service(known, applied.instances, window)
    demand = known.demand.with_window(window)
    return replace(
        known, service=service, drift=drift, demand=demand, failing=failing(window, known.failing)
    )


def failing(window: Window, before: float = 0.0) -> float:
    """Return the share of requests that failed; where there were none, what it was before.

    So it is where failures may be rejections: these say nothing of batches that are too large.
    """
    if window.rejected is None:
        return before
    asked = window.requests + window.failures
    return window.failures / asked if asked else before


def told_apart(applied: Batching, window: Window) -> Window:
    """Return the window; without a timeout nothing can have been rejected, whoever counted it."""
    if window.rejected is not None or applied.default_timeout_microseconds:
        return window
    return replace(window, rejected=0)


def goal(objectives: Objectives, window: Window) -> Goal:
    """Return what predictions are held against; its overhead is what the window shows."""
    latency, throughput = objectives.latency, objectives.throughput
    return Goal(
        percentile=objectives.percentile,
        target_ms=inf if latency is None else float(latency.target_milliseconds),
        overhead_ms=overhead_ms(window),
        least_per_s=0.0 if throughput is None else throughput.min_per_second / window.pods,
    )


def overhead_ms(window: Window) -> float:
    """Return the mean time that a request spends in the server beside waiting and computing."""
    runs = sum(size * count for size, (count, _) in window.service_times.items())
    if window.mean_latency_ms is None or window.queue_ms is None or not runs:
        return 0.0
    computing = sum(size * count * ms for size, (count, ms) in window.service_times.items())
    return max(0.0, window.mean_latency_ms - window.queue_ms - computing / runs)


def expected(
    service: ServiceTimes, applied: Batching, window: Window, held: Goal
) -> Prediction | None:
    """Return what the window should have shown, by its own arrivals; None where none were told."""
    demand = Demand().with_window(window)
    if demand.rate_per_s <= 0:
        return None
    load = demand.load(window.pods)
    return predict(applied, service.curve_ms, load, held)


def _service(known: Learned, instances: int, window: Window) -> tuple[ServiceTimes, DriftDetector]:
    """Learn service times; when they are no longer what they were, begin at the new level.

    A window that deviates is not learned from before the next ones say whether it is noise or
    the beginning of a new level. Nor is one that gives the alarm but holds both levels, small
    batches at one and large ones at the other: mixing them would bend the curve, which keeps its
    shape until the next window tells.
    """
    service = known.service
    error = service.error(instances, window.service_times)
    if error is None:
        return service.with_window(instances, window.service_times), known.drift
    drift = known.drift.with_error(error)
    if drift.alarm:
        service, drift = service.scaled(exp(error)), DriftDetector()
        if service.unevenness(instances, window.service_times) > UNEVEN:
            return service, drift
    elif abs(error) > SUSPECT:
        return service, drift
    return service.with_window(instances, window.service_times), drift
