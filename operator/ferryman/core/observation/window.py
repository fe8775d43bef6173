"""Observation windows: what a model's pods did between two moments, from cumulative counters.

Counters are read about once a second and may fall back to zero at any time (a reload, a
restart). A window adds up their increases; it ends after enough requests or time, and is
thrown away when it contains a change of the configuration or of the set of pods.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import reduce
from math import isfinite, log
from types import MappingProxyType

from ferryman.api.batching import WindowSettings
from ferryman.api.statistics import Statistics
from ferryman.core.observation import counters
from ferryman.core.observation.counters import Totals
from ferryman.core.observation.replaced_copies import ReplacedCopies
from ferryman.core.observation.sent_requests import SentRequests

#: Triton's summaries slide over 60 s: before that they describe the earlier configuration too.
QUANTILE_MEMORY_S = 60.0

#: A queue that grows by this share of what is served ends a window at its least length: more
#: requests would only say the same, and each second of it takes as long to be worked off. Not
#: before one was served: a batch may take longer, and how long is the first thing to know.
OVERFLOWING = 0.1
MIN_OVERFLOW = 50

#: Where so many wait, by what was served, all that come are late, and a window says all that it
#: can after this time.
FLOODING = 0.5
FLOOD_S = 2.0

_NS_PER_MS = 1e6
_US_PER_MS = 1e3


@dataclass(frozen=True, slots=True)
class WindowState:
    """The window that is open: what each pod showed last and what has been added up."""

    started_at_s: float = 0.0
    read_at_s: float = 0.0
    """The time of the last reading."""
    pending_at_start: int | None = None
    left_behind: int = 0
    """Requests that waited at replaced copies when it began."""
    baselines: Mapping[str, Statistics] = field(default_factory=dict)
    totals: Mapping[str, Totals] = field(default_factory=dict)
    sent: SentRequests = field(default_factory=SentRequests)
    replaced: ReplacedCopies = field(default_factory=ReplacedCopies)


@dataclass(frozen=True, slots=True)
class Window:
    """One complete observation interval over all pods of a model.

    Means are exact; they are None where nothing was served.
    """

    ended_at_s: float
    seconds: float
    requests: int
    """Requests that succeeded."""
    inferences: int
    """Inferences that succeeded: a request that carries a batch of n counts n."""
    failures: int
    """Requests that failed."""
    requests_per_s: float
    inferences_per_s: float
    offered_inferences_per_s: float
    """What clients asked for: served, failed, rejected, and what the queue grew by."""
    mean_latency_ms: float | None = None
    latency_ms: float | None = None
    """The objective's percentile of the worst pod."""
    latency_estimated: bool = False
    """Whether ``latency_ms`` of any pod is an estimate instead of Triton's own quantile."""
    mean_batch_size: float | None = None
    queue_ms: float | None = None
    """Mean waiting time of a request."""
    compute_ms: float | None = None
    """Mean compute time of a batch."""
    service_times: Mapping[int, tuple[int, float]] = field(default_factory=dict)
    """Executed batch size -> (executions, mean compute time in ms)."""
    pending: int | None = None
    """Requests that wait at the end, summed over the pods that say; None where none does."""
    pending_before: int | None = None
    """The same at the beginning."""
    left_behind: int = 0
    """Requests that waited at the beginning at copies that a reload had replaced."""
    pods: int = 1
    """Pods that all this was summed over."""
    rejected: int | None = 0
    """Requests that the queue policy rejected: neither successes nor failures.

    None where Triton did not tell them from failures, and there were some: ``failures`` holds them.
    """
    cached: int = 0
    """Of the requests, those that the response cache answered: no figure but ``requests`` and
    ``requests_per_s`` tells of them."""
    arrived: tuple[tuple[float, int], ...] = ()
    """From one reading to the next: seconds, and the requests that clients sent in them.

    Over all pods: see ``sent_requests``.
    """

    @property
    def busy_ms(self) -> float:
        """For how long its batches were computed, added up over instances and pods."""
        return sum(count * mean_ms for count, mean_ms in self.service_times.values())


def observe(
    state: WindowState,
    samples: Mapping[str, Statistics],
    settings: WindowSettings,
    *,
    percentile: int,
    now_s: float,
    changed_at_s: float | None,
    hasty: bool = False,
) -> tuple[WindowState, Window | None]:
    """Add one reading of every pod; return the new state and the window, if one ended.

    ``samples`` maps pod names to readings; ``now_s`` and ``changed_at_s`` (the last change of
    the configuration, None for never) are on the readers' clock. A window that contains a
    change, or in which the set of pods changed, is discarded and a new one begins now. With
    ``hasty`` a window that floods ends before its least length.
    """
    replaced = state.replaced.plus(samples)
    samples, state = replaced.own(), replace(state, replaced=replaced)
    changed = changed_at_s is not None and changed_at_s >= state.started_at_s
    if changed or not samples or samples.keys() != state.baselines.keys():
        return _begin(samples, now_s, replaced), None
    state = _advance(state, samples, now_s)
    if not _is_complete(state, settings, now_s, hasty=hasty):
        return state, None
    believed = changed_at_s is None or now_s - changed_at_s >= QUANTILE_MEMORY_S
    window = _close(state, percentile=percentile, now_s=now_s, quantiles_believed=believed)
    return replace(_begin(samples, now_s, replaced), sent=state.sent.begun_anew()), window


def _begin(
    samples: Mapping[str, Statistics], now_s: float, replaced: ReplacedCopies
) -> WindowState:
    return WindowState(
        started_at_s=now_s,
        read_at_s=now_s,
        pending_at_start=_pending(samples),
        left_behind=sum(replaced.behind.values()),
        baselines=MappingProxyType(dict(samples)),
        totals={pod: Totals() for pod in samples},
        replaced=replaced,
    )


def _advance(state: WindowState, samples: Mapping[str, Statistics], now_s: float) -> WindowState:
    before = state.baselines
    added = {pod: counters.increase(before[pod], sample) for pod, sample in samples.items()}
    return replace(
        state,
        read_at_s=now_s,
        baselines=MappingProxyType(dict(samples)),
        totals={pod: state.totals[pod].plus(added[pod]) for pod in samples},
        sent=state.sent.plus(before, samples, now_s - state.read_at_s),
    )


def _is_complete(
    state: WindowState, settings: WindowSettings, now_s: float, *, hasty: bool
) -> bool:
    elapsed_s = now_s - state.started_at_s
    requests = sum(totals.ended for totals in state.totals.values())
    pending = _pending(state.baselines)
    grown = _growth_since(state.pending_at_start, pending)
    overflows = requests > 0 and grown > OVERFLOWING * requests and grown >= MIN_OVERFLOW
    waiting = pending or 0
    floods = hasty and requests > 0 and waiting > FLOODING * requests and waiting >= MIN_OVERFLOW
    enough = (
        requests >= settings.max_requests
        or elapsed_s >= settings.max_seconds
        or overflows
        or floods
    )
    least_s = min(FLOOD_S, settings.min_seconds) if floods else settings.min_seconds
    return enough and elapsed_s >= least_s


def _growth_since(before: int | None, now: int | None) -> int:
    return 0 if before is None or now is None else max(0, now - before)


def _close(
    state: WindowState, *, percentile: int, now_s: float, quantiles_believed: bool
) -> Window:
    total = reduce(Totals.plus, state.totals.values())
    seconds = now_s - state.started_at_s
    pending = _pending(state.baselines)
    latencies = [
        _latency_ms(state.totals[pod], sample, percentile, believed=quantiles_believed)
        for pod, sample in state.baselines.items()
        if state.totals[pod].executed > 0
    ]
    return Window(
        ended_at_s=now_s,
        seconds=seconds,
        requests=total.requests,
        inferences=total.inferences,
        failures=total.failures,
        requests_per_s=total.requests / seconds,
        inferences_per_s=total.inferences / seconds,
        offered_inferences_per_s=_offered(total, state.pending_at_start, pending) / seconds,
        mean_latency_ms=_mean(total.duration_ns, total.executed),
        latency_ms=max((latency for latency, _ in latencies), default=None),
        latency_estimated=any(estimated for _, estimated in latencies),
        mean_batch_size=total.inferences / total.executions if total.executions else None,
        queue_ms=_mean(total.queue_ns, total.executed),
        compute_ms=_mean(total.compute_ns, total.batch_count),
        service_times={
            size: (count, total_ns / count / _NS_PER_MS)
            for size, (count, total_ns) in total.batches.items()
        },
        pending=pending,
        pending_before=state.pending_at_start,
        left_behind=state.left_behind,
        pods=len(state.baselines),
        rejected=total.rejected,
        cached=total.cached,
        arrived=state.sent.intervals,
    )


def _pending(samples: Mapping[str, Statistics]) -> int | None:
    said = [sample.pending for sample in samples.values() if sample.pending is not None]
    return sum(said) if said else None


def _offered(total: Totals, pending_before: int | None, pending_after: int | None) -> float:
    """Return the inferences that clients asked for: one that was not served counts as average."""
    growth = _growth_since(pending_before, pending_after)
    per_request = total.inferences / total.executed if total.executed else 1.0
    return total.inferences + (total.failures + (total.rejected or 0) + growth) * per_request


def _mean(total_ns: int, count: int) -> float | None:
    return total_ns / count / _NS_PER_MS if count else None


def _latency_ms(
    totals: Totals, sample: Statistics, percentile: int, *, believed: bool
) -> tuple[float, bool]:
    """Return one pod's percentile in ms and whether it is an estimate."""
    quantile_us = sample.latency_quantiles_us.get(percentile)
    if believed and quantile_us is not None and isfinite(quantile_us) and quantile_us > 0:
        return quantile_us / _US_PER_MS, False
    return estimate_percentile_ms(
        mean_latency_ms=totals.duration_ns / totals.executed / _NS_PER_MS,
        mean_queue_ms=totals.queue_ns / totals.executed / _NS_PER_MS,
        percentile=percentile,
    ), True


def estimate_percentile_ms(
    *, mean_latency_ms: float, mean_queue_ms: float, percentile: int
) -> float:
    """Return the percentile of a request's duration from its means.

    Assumes that the time in the server apart from waiting is constant and that the waiting
    time is exponential: its p-quantile is then mean x ln(1 / (1 - p)), as for the wait in an
    M/M/1 queue near saturation (Kleinrock, Queueing Systems I, 1975, §5.7).
    """
    waiting_ms = min(mean_queue_ms, mean_latency_ms)
    return mean_latency_ms - waiting_ms + waiting_ms * log(1 / (1 - percentile / 100))
