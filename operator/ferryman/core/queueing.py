"""The digital twin: a discrete-event model of Triton's dynamic batcher.

Requests wait in one queue, first in, first out. An idle instance takes a batch from its head
by the rule of ``DynamicBatchScheduler::GetDynamicBatch`` (Triton core,
src/dynamic_batch_scheduler.cc), for inputs whose dimensions apart from the batch are fixed:

- with delay 0: at once; as many as wait, at most the bound;
- with a delay: when the bound is reached, or when the oldest request has waited for the delay;
- with preferred sizes: the largest preferred size that can be filled, as soon as one can be;
  any size up to the bound once the delay has run out (or, with delay 0, if none can be filled).

While all instances are busy requests accumulate, so that a batch is as full as it can be when
an instance frees. A batch of b occupies its instance for tau(b) seconds, and all of its requests
end together. Not modelled: requests that carry batches of their own, priorities, time limits
of the queue, the copying of inputs, and that with a delay Triton forms the next batches (up to
twice the instances) while all instances are busy and then hardly lets them grow: with a delay the
figures are therefore too good, by up to a third (docs/benchmarks.md).

All times are in seconds. Everything is deterministic.
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from heapq import heapify, heapreplace
from math import inf

import numpy as np
from numpy.typing import NDArray

from ferryman.api.batching import Batching

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

_US_PER_S = 1e6


@dataclass(frozen=True, slots=True)
class Batcher:
    """One configuration of the dynamic batcher, and how long batches take under it.

    Raises ValueError when a batch within the bound has no service time, a service time is not
    positive, or a preferred size is not within the bound.
    """

    batching: Batching
    service_s: tuple[float, ...]
    """tau(b) of b = 1, 2, …, at least up to the bound."""
    preferred: tuple[int, ...] = ()
    """Preferred batch sizes; with none, Triton prefers the bound."""

    def __post_init__(self) -> None:
        bound = self.batching.max_batch_size
        if len(self.service_s) < bound:
            raise ValueError(f"{len(self.service_s)} service times do not reach bound {bound}")
        if min(self.service_s) <= 0:
            raise ValueError("service times must be greater than 0")
        if not all(1 <= size <= bound for size in self.preferred):
            raise ValueError(f"preferred sizes must be from 1 to the bound, {bound}")


@dataclass(frozen=True, slots=True)
class State:
    """Where the batcher stands: the first request that waits, and when each instance is idle."""

    head: int
    free_s: tuple[float, ...]

    def with_instances(self, instances: int, now_s: float) -> "State":
        """Return the state with another number of instances.

        Those added are idle from now on; those removed are the first to finish, so that what
        is under way is not forgotten.
        """
        added = (now_s,) * (instances - len(self.free_s))
        return State(self.head, tuple(sorted((*self.free_s, *added)))[-instances:])


def idle(instances: int) -> State:
    """Return the state before the first request."""
    return State(0, (0.0,) * instances)


@dataclass(frozen=True, slots=True)
class Batches:
    """Executed batches in the order in which they began."""

    starts_s: Floats
    ends_s: Floats
    sizes: Integers


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of all requests: their latencies in order of arrival, and the batches."""

    latencies_s: Floats
    batches: Batches


def simulate(arrivals_s: Sequence[float] | Floats, batcher: Batcher) -> Outcome:
    """Serve all arrivals from an idle start. Raises ValueError when they do not ascend."""
    arrivals = np.asarray(arrivals_s, dtype=np.float64)
    if np.any(np.diff(arrivals) < 0):
        raise ValueError("arrival times must ascend")
    _, batches = advance(batcher, arrivals.tolist(), idle(batcher.batching.instances))
    return Outcome(np.repeat(batches.ends_s, batches.sizes) - arrivals, batches)


def advance(
    batcher: Batcher,
    arrivals_s: list[float],
    state: State,
    *,
    stop: int | None = None,
    until_s: float = inf,
) -> tuple[State, Batches]:
    """Begin every batch that starts before a moment; return the new state and these batches.

    Only ``arrivals_s[state.head:stop]`` take part: what arrives at or after ``stop`` does not
    fill batches. The state must have as many instances as the batcher. Calling this for one
    moment after the other gives the same batches as one call for the last.
    """
    stop = len(arrivals_s) if stop is None else stop
    free = list(state.free_s)
    heapify(free)
    starts, sizes = _dispatch(batcher, arrivals_s, range(state.head, stop), free, until_s)
    began = np.array(starts, dtype=np.float64)
    counts = np.array(sizes, dtype=np.int64)
    service_s = np.array((0.0, *batcher.service_s))
    batches = Batches(began, began + service_s[counts], counts)
    return State(state.head + sum(sizes), tuple(sorted(free))), batches


def _dispatch(
    batcher: Batcher, arrivals: list[float], waiting: range, free: list[float], until: float
) -> tuple[list[float], list[int]]:
    """Return starts and sizes of batches; ``free`` is the heap of idle times, and is kept.

    One pass per batch: what is looked up in it is a local name, and it calls neither min nor
    max, which together cost a quarter of the speed (benchmarks/twin_speed.py).
    """
    head, stop = waiting.start, waiting.stop
    bound, service = batcher.batching.max_batch_size, (0.0, *batcher.service_s)
    delay = batcher.batching.max_queue_delay_microseconds / _US_PER_S
    fills, least = _fills(bound, batcher.preferred), min(batcher.preferred, default=bound)
    starts: list[float] = []
    sizes: list[int] = []
    while head < stop:
        expiry = due = arrivals[head] + delay
        filled = head + least - 1
        if filled < stop and arrivals[filled] < due:
            due = arrivals[filled]
        start = free[0] if free[0] > due else due  # noqa: FURB136
        if start >= until:
            break
        last = head + bound if head + bound < stop else stop  # noqa: FURB136
        count = bisect_right(arrivals, start, head, last) - head
        # Triton never calls a delay of 0 exceeded: preferred sizes then always come first.
        size = count if delay and start >= expiry else fills[count]
        heapreplace(free, start + service[size])
        starts.append(start)
        sizes.append(size)
        head += size
    return starts, sizes


def _fills(bound: int, preferred: Sequence[int]) -> list[int]:
    """Return, for each number of requests that wait, the size to run before the delay is over."""
    return [
        max((size for size in preferred if size <= count), default=count)
        for count in range(bound + 1)
    ]
