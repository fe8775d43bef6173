"""Increases of Triton's cumulative counters, which may fall back to zero at any time."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from ferryman.api.statistics import Statistics

Batches = Mapping[int, tuple[int, int]]

_NONE = (0, 0)


@dataclass(frozen=True, slots=True)
class Totals:
    """Sums over an interval of one pod, or of all pods."""

    requests: int = 0
    inferences: int = 0
    failures: int = 0
    rejected: int | None = 0
    """None where some of the failures may be rejections that were not told apart."""
    cached: int = 0
    """Of the requests, those that the response cache answered."""
    executions: int = 0
    duration_ns: int = 0
    """Of the requests that were executed."""
    queue_ns: int = 0
    batches: Batches = field(default_factory=dict)
    """Executed batch size -> (executions, compute nanoseconds)."""

    @property
    def ended(self) -> int:
        """Requests that left the server, served or not."""
        return self.requests + self.failures + (self.rejected or 0)

    @property
    def executed(self) -> int:
        """Requests that were answered by a batch."""
        return self.requests - self.cached

    @property
    def batch_count(self) -> int:
        """Batches of known size."""
        return sum(count for count, _ in self.batches.values())

    @property
    def compute_ns(self) -> int:
        """Their compute time."""
        return sum(total_ns for _, total_ns in self.batches.values())

    def plus(self, other: "Totals") -> "Totals":
        """Return the sum of both."""
        return Totals(
            requests=self.requests + other.requests,
            inferences=self.inferences + other.inferences,
            failures=self.failures + other.failures,
            rejected=_sum_known(self.rejected, other.rejected),
            cached=self.cached + other.cached,
            executions=self.executions + other.executions,
            duration_ns=self.duration_ns + other.duration_ns,
            queue_ns=self.queue_ns + other.queue_ns,
            batches=_add_batches(self.batches, other.batches),
        )


def increase(before: Statistics, after: Statistics) -> Totals:
    """Return what was added between two readings of one pod.

    Nothing is counted where one reading does not continue the other, and the later one becomes
    the baseline.
    """
    if not continues(before, after):
        return Totals()
    return Totals(
        requests=after.success_count - before.success_count,
        inferences=after.inference_count - before.inference_count,
        failures=after.failure_count - before.failure_count,
        rejected=_rejected(before, after),
        cached=after.cached_count - before.cached_count,
        executions=after.execution_count - before.execution_count,
        duration_ns=_executed_ns(after) - _executed_ns(before),
        queue_ns=after.queue_ns - before.queue_ns,
        batches=_subtract_batches(after.batches, before.batches),
    )


def _rejected(before: Statistics, after: Statistics) -> int | None:
    """Return what was rejected; where that is not told apart, only none of no failures is known."""
    if before.rejected_count is not None and after.rejected_count is not None:
        return after.rejected_count - before.rejected_count
    return 0 if after.failure_count == before.failure_count else None


def _sum_known(one: int | None, other: int | None) -> int | None:
    return None if one is None or other is None else one + other


def continues(before: Statistics, after: Statistics) -> bool:
    """Say whether the counters of the later reading go on from those of the earlier one.

    When any fell, the pod restarted or reloaded in between: what it did before is lost and what
    it did since belongs to no known interval. Nor can they be compared when rejected requests,
    otherwise counted as failures, were told apart in one of the readings only.
    """
    told_apart = {before.rejected_count is None, after.rejected_count is None}
    return len(told_apart) == 1 and not _was_reset(before, after)


def _was_reset(before: Statistics, after: Statistics) -> bool:
    totals = zip(_scalars(before), _scalars(after), strict=True)
    sizes = (
        pair
        for size, counters in before.batches.items()
        for pair in zip(counters, after.batches.get(size, _NONE), strict=True)
    )
    return any(new < old for old, new in (*totals, *sizes))


def _scalars(sample: Statistics) -> tuple[int, ...]:
    return (
        sample.inference_count,
        sample.success_count,
        sample.success_count - sample.cached_count,
        _executed_ns(sample),
        sample.cached_count,
        sample.failure_count,
        sample.rejected_count or 0,
        sample.queue_ns,
        sample.execution_count,
    )


def _executed_ns(sample: Statistics) -> int:
    return sample.success_ns - sample.cached_ns


def _subtract_batches(after: Batches, before: Batches) -> Batches:
    deltas = {
        size: (count - before.get(size, _NONE)[0], total_ns - before.get(size, _NONE)[1])
        for size, (count, total_ns) in after.items()
    }
    return {size: delta for size, delta in deltas.items() if delta[0] > 0}


def _add_batches(one: Batches, other: Batches) -> Batches:
    return {
        size: _sum(one.get(size, _NONE), other.get(size, _NONE)) for size in sorted({*one, *other})
    }


def _sum(one: tuple[int, int], other: tuple[int, int]) -> tuple[int, int]:
    return one[0] + other[0], one[1] + other[1]
