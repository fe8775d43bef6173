"""The digital twin: a discrete-event model of Triton's dynamic batcher.

Requests wait in one queue, first in, first out, and idle instances take them in batches. A batch
of b occupies its instance for tau(b) seconds, and all of its requests end together. When a batch
begins and how large it is follows from the source of Triton core, with a module for each rule:

- here: delay 0, where batches grow until an instance frees;
- prefetching.py: delays, where Triton forms the next batches while all instances are busy and
  then hardly lets them grow;
- preferred_sizes.py: the same with preferred batch sizes, or with inputs of variable dimensions;
- queue_policy.py: with timeouts or a bounded queue, where some requests are rejected.

When a batch ends is the business of instances.py: service times may be noisy, and instances may
share a processor.

Not modelled: inputs whose variable dimensions differ from request to request (they make no batch
together), requests that carry batches of their own, priorities, the copying
of inputs, that Triton looks at its queue every half second in any case, and the time that its
threads take to wake.

All times are in seconds. Everything is deterministic.
"""

from bisect import bisect_right
from collections.abc import Callable, Sequence
from math import inf

import numpy as np

from ferryman.core.queue_model import instances, queue_policy
from ferryman.core.queue_model.batcher import (
    Batcher,
    Batches,
    BatchOutcome,
    Floats,
    Span,
    State,
    idle,
)
from ferryman.core.queue_model.preferred_sizes import preferring
from ferryman.core.queue_model.prefetching import prefetching

__all__ = ["BatchOutcome", "Batcher", "Batches", "State", "advance", "idle", "simulate"]

Rule = Callable[[Batcher, Span, State], tuple[State, Batches]]


def simulate(
    arrivals_s: Sequence[float] | Floats, batcher: Batcher, noise: Sequence[float] | None = None
) -> BatchOutcome:
    """Serve all arrivals from an idle start. Raises ValueError when they do not ascend."""
    arrivals = np.asarray(arrivals_s, dtype=np.float64)
    if np.any(np.diff(arrivals) < 0):
        raise ValueError("arrival times must ascend")
    _, batches = advance(batcher, arrivals.tolist(), idle(batcher.batching.instances), noise=noise)
    latencies_s = np.repeat(batches.ends_s, batches.sizes) - arrivals[batches.requests]
    return BatchOutcome(latencies_s[np.argsort(batches.requests, kind="stable")], batches)


def advance(
    batcher: Batcher,
    arrivals_s: list[float],
    state: State,
    *,
    stop: int | None = None,
    until_s: float = inf,
    noise: Sequence[float] | None = None,
) -> tuple[State, Batches]:
    """Begin every batch that starts before a moment; return the new state and these batches.

    Where instances share a processor, those that ended by then are returned instead. ``noise`` says
    for each request how much longer than usual a batch takes that begins with it; None: no longer.

    Only ``arrivals_s[:stop]`` take part: what arrives at or after ``stop`` does not fill
    batches. The state must have as many instances as the batcher. Calling this for one moment
    after the other gives the same batches as one call for the last.
    """
    stop = len(arrivals_s) if stop is None else stop
    factors = [1.0] * len(arrivals_s) if noise is None else noise
    return _rule(batcher)(batcher, Span(arrivals_s, stop, until_s, factors), state)


def _rule(batcher: Batcher) -> Rule:
    if batcher.has_queue_policy:
        return queue_policy.rejecting
    prefers = batcher.preferred != (batcher.batching.max_batch_size,)
    if prefers or (batcher.variable_inputs and batcher.delay_s):
        return preferring
    if batcher.delay_s:
        return prefetching
    return _at_once


def _at_once(batcher: Batcher, span: Span, state: State) -> tuple[State, Batches]:
    """Begin batches without a delay: an idle instance takes what waits, up to the bound.

    While all instances are busy every arrival wakes the batcher (``Enqueue`` of Triton core's
    dynamic_batch_scheduler.cc) and joins the waiting payload, so that a batch is as full as it
    can be when an instance frees. One pass per batch: what is looked up in it is a local name,
    and it calls neither min nor max, which cost a quarter of the speed (benchmarks/twin_speed.py).
    """
    arrivals, stop, until = span.arrivals_s, span.stop, span.until_s
    bound, service = batcher.batching.max_batch_size, (0.0, *batcher.service_s)
    occupied, head, noise = instances.of(batcher, span, state), state.head, span.noise
    free, starts, occupy = occupied.free, occupied.starts, occupied.occupy
    sizes: list[int] = []
    while head < stop:
        start = free[0] if free[0] > arrivals[head] else arrivals[head]  # noqa: FURB136
        if start >= until:
            break
        last = head + bound if head + bound < stop else stop  # noqa: FURB136
        size = bisect_right(arrivals, start, head, last) - head
        starts.append(start)
        occupy(free, start + service[size] * noise[head])
        sizes.append(size)
        head += size
    batches = occupied.ended(sizes, np.arange(state.head, head))
    return State(head, tuple(sorted(free)), running=occupied.running), batches
