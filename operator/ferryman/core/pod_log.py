"""One simulated Triton pod: the twin, what it served, and the counters that Triton would show."""

from bisect import bisect_left
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ferryman.api.batching import Batching
from ferryman.api.statistics import Statistics
from ferryman.core import queueing
from ferryman.core.figures import Floats, Served, percentiles_ms
from ferryman.core.queueing import Batcher, Batches
from ferryman.core.window import QUANTILE_MEMORY_S

_US_PER_MS: Final = 1e3
_NS_PER_S: Final = 1e9
NOTHING: Final = Statistics(
    now_s=0.0,
    inference_count=0,
    success_count=0,
    success_ns=0,
    failure_count=0,
    queue_ns=0,
    execution_count=0,
    pending=0,
)


@dataclass(frozen=True, slots=True)
class _Finished:
    """Requests of some interval, batch by batch complete."""

    arrivals_s: Floats
    starts_s: Floats
    ends_s: Floats
    sizes: NDArray[np.int64]


@dataclass(slots=True)
class PodLog:
    """A pod as it goes through the run; the one value of the simulation that changes."""

    arrivals_s: Floats
    batcher: Batcher
    read: Statistics = NOTHING
    """The latest reading of its counters."""
    _moments: list[float] = field(init=False)
    _state: queueing.State = field(init=False)
    _served: Served = field(init=False)
    _settled: int = 0
    """Requests before this one are in the reading, and forgotten by the quantiles."""

    def __post_init__(self) -> None:
        size = self.arrivals_s.size
        self._moments = self.arrivals_s.tolist()
        self._state = queueing.idle(self.batcher.batching.instances)
        never = np.full(size, np.inf)
        self._served = Served(self.arrivals_s, never, never.copy(), np.ones(size, dtype=np.int64))

    def run(self, until_s: float) -> None:
        """Begin every batch that starts before a moment."""
        self._advance(stop=None, until_s=until_s)

    def change(self, batching: Batching, at_s: float) -> None:
        """Switch to another configuration.

        Requests that wait are still served by the one of before, as Triton drains a version
        that it replaces, and on the instances there are: both share one processor.
        """
        self.run(at_s)
        self._advance(stop=bisect_left(self._moments, at_s), until_s=np.inf)
        self.batcher = replace(self.batcher, batching=batching)
        self._state = self._state.with_instances(batching.instances, at_s)

    def drain(self) -> Served:
        """Serve all that is left; return what became of every request."""
        self.run(np.inf)
        return self._served

    def look(self, now_s: float) -> Statistics:
        """Read the counters, as they are at a moment up to which the pod ran."""
        self._settle(min(self.read.now_s, now_s - QUANTILE_MEMORY_S))
        remembered = self._finished(now_s - QUANTILE_MEMORY_S, now_s)
        quantiles_ms = percentiles_ms(remembered.ends_s - remembered.arrivals_s)
        unsettled = self._served.starts_s[self._settled : self._state.head]
        began = self._settled + int((unsettled <= now_s).sum())
        self.read = replace(
            _plus(self.read, self._finished(self.read.now_s, now_s), self.batcher.service_s),
            now_s=now_s,
            latency_quantiles_us={p: ms * _US_PER_MS for p, ms in quantiles_ms.items()},
            pending=bisect_left(self._moments, now_s) - began,
        )
        return self.read

    def _advance(self, *, stop: int | None, until_s: float) -> None:
        first = self._state.head
        self._state, batches = queueing.advance(
            self.batcher, self._moments, self._state, stop=stop, until_s=until_s
        )
        _note(self._served, slice(first, self._state.head), batches)

    def _settle(self, before_s: float) -> None:
        matters = self._served.ends_s[self._settled : self._state.head] > before_s
        self._settled += int(matters.argmax()) if matters.any() else matters.size

    def _finished(self, after_s: float, until_s: float) -> _Finished:
        among = slice(self._settled, self._state.head)
        served = self._served
        ends_s = served.ends_s[among]
        chosen = (ends_s > after_s) & (ends_s <= until_s)
        return _Finished(
            served.arrivals_s[among][chosen],
            served.starts_s[among][chosen],
            ends_s[chosen],
            served.sizes[among][chosen],
        )


def _note(served: Served, requests: slice, batches: Batches) -> None:
    served.starts_s[requests] = np.repeat(batches.starts_s, batches.sizes)
    served.ends_s[requests] = np.repeat(batches.ends_s, batches.sizes)
    served.sizes[requests] = np.repeat(batches.sizes, batches.sizes)


def _plus(before: Statistics, finished: _Finished, service_s: tuple[float, ...]) -> Statistics:
    requests = np.bincount(finished.sizes)
    counts = {size: int(n) // size for size, n in enumerate(requests) if n}
    count = finished.sizes.size
    return replace(
        before,
        inference_count=before.inference_count + count,
        success_count=before.success_count + count,
        success_ns=before.success_ns + _ns(finished.ends_s - finished.arrivals_s),
        queue_ns=before.queue_ns + _ns(finished.starts_s - finished.arrivals_s),
        execution_count=before.execution_count + sum(counts.values()),
        batches=_more(dict(before.batches), counts, service_s),
    )


def _more(
    batches: dict[int, tuple[int, int]], counts: dict[int, int], service_s: tuple[float, ...]
) -> dict[int, tuple[int, int]]:
    for size, count in counts.items():
        known, known_ns = batches.get(size, (0, 0))
        compute_ns = round(count * service_s[size - 1] * _NS_PER_S)
        batches[size] = known + count, known_ns + compute_ns
    return batches


def _ns(durations_s: Floats) -> int:
    return round(float(durations_s.sum()) * _NS_PER_S)
