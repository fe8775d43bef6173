"""Where the time of one request went: each step's queue and computation, one beneath the other.

A server counts for each of its models how many requests it answered, and how long they waited and
were computed. What it counted between two looks, with one request in between, is that request's.
When a step began is not counted. It follows from the graph: an ensemble starts a step as soon as
all that it reads is there.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from ferryman.api.statistics import Counted

_NS_PER_MS = 1e6


class NotCountedError(ValueError):
    """A step did not run between the looks, or was loaded anew; the text says which."""


@dataclass(frozen=True, slots=True)
class StepSpan:
    """One step of a request, in milliseconds since the pipeline got it."""

    step: str
    begins_ms: float
    queue_ms: float
    input_ms: float
    compute_ms: float
    output_ms: float

    @property
    def total_ms(self) -> float:
        """How long the step took, its queue included."""
        return self.queue_ms + self.input_ms + self.compute_ms + self.output_ms

    @property
    def ends_ms(self) -> float:
        """When its outputs are there."""
        return self.begins_ms + self.total_ms


@dataclass(frozen=True, slots=True)
class Waterfall:
    """One request through a pipeline; the mean of several where others came in between."""

    spans: tuple[StepSpan, ...]
    """In the order in which they begin."""
    total_ms: float
    """What the server took for the whole request."""
    requests: int
    """How many requests it is the mean of; 1: a request sent alone."""
    critical: tuple[str, ...]
    """The steps that the answer waited for, in their order."""

    @property
    def between_ms(self) -> float:
        """What no step accounts for: the server hands tensors on, and waits for itself."""
        return max(0.0, self.total_ms - max(span.ends_ms for span in self.spans))


def waterfall(
    after: Mapping[str, tuple[str, ...]], whole: Counted, steps: Mapping[str, Counted]
) -> Waterfall:
    """Return the waterfall of what was counted between two looks.

    ``after`` has the steps that each step reads, each step after those that it reads; ``whole`` is
    the pipeline's own count. Raises NotCountedError.
    """
    if whole.requests < 1:
        raise NotCountedError("the pipeline answered no request between the looks")
    spans: dict[str, StepSpan] = {}
    for name, reads in after.items():
        begins_ms = max((spans[each].ends_ms for each in reads), default=0.0)
        spans[name] = _span(name, begins_ms, steps[name])
    ordered = sorted(spans.values(), key=lambda span: span.begins_ms)
    total_ms = whole.total_ns / whole.requests / _NS_PER_MS
    return Waterfall(
        tuple(ordered), total_ms, whole.requests, tuple(reversed([*_critical(after, spans)]))
    )


def _span(name: str, begins_ms: float, counted: Counted) -> StepSpan:
    if counted.requests < 1:
        raise NotCountedError(
            f"step {name} answered no request between the looks, or was loaded anew"
        )

    def mean_ms(total_ns: int) -> float:
        return total_ns / counted.requests / _NS_PER_MS

    return StepSpan(
        name,
        begins_ms,
        mean_ms(counted.queue_ns),
        mean_ms(counted.input_ns),
        mean_ms(counted.infer_ns),
        mean_ms(counted.output_ns),
    )


def _critical(after: Mapping[str, tuple[str, ...]], spans: Mapping[str, StepSpan]) -> Iterator[str]:
    """Yield the steps that were waited for, from the last to the first."""
    name: str | None = max(spans, key=lambda step: spans[step].ends_ms)
    while name is not None:
        yield name
        name = max(after[name], key=lambda step: spans[step].ends_ms, default=None)
