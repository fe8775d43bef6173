"""The counters of one simulated Triton pod, as its statistics and metrics would show them."""

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Final

import numpy as np

from ferryman.api.statistics import Statistics
from ferryman.core.observation.window import QUANTILE_MEMORY_S
from ferryman.core.queue_model.batcher import Batches, Floats
from ferryman.core.simulator.figures import percentiles_ms

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
    answered_by_all=0,
)


@dataclass(frozen=True, slots=True)
class _Answered:
    """Requests that were answered from one reading to the next."""

    read_at_s: float
    ends_s: Floats
    latencies_s: Floats


@dataclass(slots=True)
class PodCounters:
    """Takes batches and rejections as soon as they are known, and counts them when they happen.

    A reading costs about as much as what happened since the one before.
    """

    arrivals_s: Floats
    working_batch: float = float("inf")
    """Larger batches fail: statistics count their requests as failures, and nothing else."""
    _read: Statistics = NOTHING
    _known: list[Batches] = field(default_factory=list)
    """What is not counted yet."""
    _replaced: list[Batches] = field(default_factory=list)
    """Likewise of copies that a reload replaced: the page of metrics tells of them, which counts
    for all copies of a model; the statistics do not, which are those of the latest."""
    _left: int = 0
    """Requests that were answered or rejected by the latest reading."""
    _remembered: deque[_Answered] = field(default_factory=deque)

    def note(self, batches: Batches) -> None:
        """Take in batches that began or will begin, and rejections likewise."""
        self._known.append(batches)

    def begin_anew(self) -> None:
        """Set the statistics to 0 and leave what is known so far out of them: a reload.

        What the page of metrics tells goes on.
        """
        self._replaced += self._known
        self._known = []
        kept = self._read
        self._read = replace(
            NOTHING,
            now_s=kept.now_s,
            failure_count=kept.failure_count,
            rejected_count=kept.rejected_count,
            answered_by_all=kept.answered_by_all,
        )

    def read(self, now_s: float, *, arrived: int, running: int = 0) -> Statistics:
        """Return the counters at a moment, of which all is known; ``arrived`` requests have.

        ``running`` is how many are served in batches whose end is not known yet.
        Times must ascend from reading to reading.
        """
        happened, coming = Batches.concatenated(self._known).split(now_s)
        others, still_others = Batches.concatenated(self._replaced).split(now_s)
        self._known, self._replaced = [coming], [still_others]
        every, to_come = (
            Batches.concatenated(both) for both in ((others, happened), (still_others, coming))
        )
        self._left += every.requests.size + every.rejected.size
        running += int(to_come.sizes[to_come.starts_s <= now_s].sum())
        # Triton counts who timed out, but not who found the queue full and was rejected at once.
        timed_out = int((every.rejected_s > self.arrivals_s[every.rejected]).sum())
        every, _ = every.up_to(self.working_batch)
        all_ends_s = np.repeat(every.ends_s, every.sizes)
        self._remember(_Answered(now_s, all_ends_s, all_ends_s - self.arrivals_s[every.requests]))
        happened, failed = happened.up_to(self.working_batch)
        answered_s = self.arrivals_s[happened.requests]
        ends_s = np.repeat(happened.ends_s, happened.sizes)
        self._read = replace(
            self._read,
            now_s=now_s,
            inference_count=self._read.inference_count + answered_s.size,
            success_count=self._read.success_count + answered_s.size,
            failure_count=self._read.failure_count + failed.requests.size,
            success_ns=self._read.success_ns + _ns(ends_s - answered_s),
            queue_ns=self._read.queue_ns
            + _ns(np.repeat(happened.starts_s, happened.sizes) - answered_s),
            execution_count=self._read.execution_count + happened.sizes.size,
            batches=_more(self._read.batches, happened),
            latency_quantiles_us=_Quantiles(now_s - QUANTILE_MEMORY_S, tuple(self._remembered)),
            rejected_count=(self._read.rejected_count or 0) + timed_out,
            pending=arrived - self._left - running,
            answered_by_all=(self._read.answered_by_all or 0) + all_ends_s.size,
        )
        return self._read

    def _remember(self, answered: _Answered) -> None:
        self._remembered.append(answered)
        while self._remembered[0].read_at_s <= answered.read_at_s - QUANTILE_MEMORY_S:
            self._remembered.popleft()


class _Quantiles(Mapping[int, float]):
    """Triton's latency summary in microseconds, computed when it is first looked at.

    Nothing changes what it is computed from, so that it is the same whenever that is.
    """

    def __init__(self, after_s: float, remembered: tuple[_Answered, ...]) -> None:
        self._after_s = after_s
        self._remembered = remembered

    @cached_property
    def _values(self) -> dict[int, float]:
        ends_s = np.concatenate([each.ends_s for each in self._remembered])
        latencies_s = np.concatenate([each.latencies_s for each in self._remembered])
        quantiles_ms = percentiles_ms(latencies_s[ends_s > self._after_s])
        return {percentile: ms * _US_PER_MS for percentile, ms in quantiles_ms.items()}

    def __getitem__(self, percentile: int) -> float:
        return self._values[percentile]

    def __iter__(self) -> Iterator[int]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)


def _more(batches: Mapping[int, tuple[int, int]], ended: Batches) -> dict[int, tuple[int, int]]:
    """Return executions and compute time by batch size with those that ended since."""
    more = dict(batches)
    executions = np.bincount(ended.sizes)
    seconds = np.bincount(ended.sizes, weights=ended.ends_s - ended.starts_s)
    for size in executions.nonzero()[0].tolist():
        count, compute_ns = more.get(size, (0, 0))
        more[size] = (
            count + int(executions[size]),
            compute_ns + round(float(seconds[size]) * _NS_PER_S),
        )
    return more


def _ns(durations_s: Floats) -> int:
    return round(float(durations_s.sum()) * _NS_PER_S)
