"""When batches begin, how large they are and who is rejected, under a queue policy.

Triton core 2.51. With a timeout or a bounded queue nothing is prefetched
(``PriorityQueue``: ``support_prefetching_``): the batcher forms a batch only when an instance
waits for one (``RateLimiter::PayloadSlotAvailable``), and the instance takes it at once. So
every request that has not begun is in the queue: it counts for ``max_queue_size`` and can time
out until its batch begins, with delay 0 and with a delay alike.

- ``PolicyQueue::Enqueue`` rejects whom ``max_queue_size`` requests are waiting for, those that
  have timed out unnoticed included.
- ``PolicyQueue::ApplyPolicy`` rejects those that have timed out when the next batch is formed.
  Before that only who waits with an idle instance (a delay longer than the timeout) is noticed;
  not modelled is that Triton also looks every half second while all instances are busy
  (``WaitForPayloadSlotAvailable``).
- Who is left is batched by ``GetDynamicBatch``: the largest preferred size that can be filled;
  if none can, all up to the bound, at once with delay 0, else when the delay of the oldest is over.
"""

from bisect import bisect_left, bisect_right
from dataclasses import dataclass, field
from math import inf

import numpy as np

from ferryman.core.queue_model import instances
from ferryman.core.queue_model.batcher import Batcher, Batches, Span, State


@dataclass(slots=True)
class _Queue:
    """Who waits, who comes, and who is rejected."""

    batcher: Batcher
    span: Span
    coming: int
    """The first request that has not arrived yet."""
    line: list[int]
    """All who were admitted, in order; those before ``first`` wait no longer."""
    first: int = 0
    begun: list[int] = field(default_factory=list)
    rejected: list[tuple[int, float]] = field(default_factory=list)

    @property
    def waiting(self) -> int:
        """How many wait."""
        return len(self.line) - self.first

    @property
    def oldest_s(self) -> float:
        """When the oldest that waits arrived, or the next one will; infinite after the last."""
        if self.first < len(self.line):
            return self.span.arrivals_s[self.line[self.first]]
        return self.span.arrivals_s[self.coming] if self.coming < self.span.stop else inf

    @property
    def room(self) -> float:
        """How many more may wait."""
        return (self.batcher.batching.max_queue_size or inf) - self.waiting

    def admit(self, arrived: int) -> None:
        """Let all before a position arrive; nobody leaves the queue meanwhile."""
        full = int(min(arrived, self.coming + self.room))
        self.line.extend(range(self.coming, full))
        self.rejected.extend((each, self.span.arrivals_s[each]) for each in range(full, arrived))
        self.coming = arrived

    def time_out(self, now_s: float) -> None:
        """Reject who has waited for the timeout."""
        arrivals, line, latest = self.span.arrivals_s, self.line, self.batcher.timeout_s
        while self.first < len(line) and arrivals[line[self.first]] + latest <= now_s:
            self.rejected.append((line[self.first], now_s))
            self.first += 1

    def begin(self, size: int) -> None:
        """Let so many begin."""
        self.begun.extend(self.line[self.first : self.first + size])
        self.first += size

    def next_look_s(self) -> float:
        """Return when the batcher looks again while an instance waits for more to come."""
        batcher, arrivals = self.batcher, self.span.arrivals_s
        lacking = batcher.preferred[0] - self.waiting
        last = self.coming + lacking - 1
        fills = lacking <= self.room and last < self.span.stop
        enough_s = arrivals[last] if fills else inf
        return min(enough_s, self.oldest_s + min(batcher.delay_s, batcher.timeout_s))


def rejecting(batcher: Batcher, span: Span, state: State) -> tuple[State, Batches]:
    """Begin batches under a queue policy: one pass for each time that the batcher looks."""
    until, looks, turned = span.until_s, state.turned_s, state.turned_s
    service, sizes_of = (0.0, *batcher.service_s), _sizes(batcher)
    bound, occupied = batcher.batching.max_batch_size, instances.of(batcher, span, state)
    free = occupied.free
    queue = _Queue(batcher, span, state.head, list(state.held))
    sizes: list[int] = []
    while (looks := max(looks, free[0], queue.oldest_s)) < until:
        turned = looks
        queue.admit(bisect_right(span.arrivals_s, looks, queue.coming, span.stop))
        queue.time_out(looks)
        if not queue.waiting:
            continue
        late = queue.oldest_s + batcher.delay_s <= looks
        size = sizes_of[late][min(queue.waiting, bound)]
        if not size:
            looks = queue.next_look_s()
            continue
        occupied.starts.append(looks)
        occupied.occupy(free, looks + service[size] * span.noise[queue.line[queue.first]])
        queue.begin(size)
        sizes.append(size)
    if until < inf:
        turned = until
        queue.admit(bisect_left(span.arrivals_s, until, queue.coming, span.stop))
    requests = np.array(queue.begun, dtype=np.int64)
    batches = occupied.ended(sizes, requests, queue.rejected)
    held = tuple(queue.line[queue.first :])
    return State(
        queue.coming, tuple(sorted(free)), turned, held=held, running=occupied.running
    ), batches


def _sizes(batcher: Batcher) -> tuple[list[int], list[int]]:
    """Return for each number that wait, up to the bound, the size to run, or 0 to wait for more.

    First while the oldest is within the delay, then when it is not. Triton never calls a delay
    of 0 over: the largest preferred size that can be filled then always comes first.
    """
    everyone = list(range(batcher.batching.max_batch_size + 1))
    preferred = [max((p for p in batcher.preferred if p <= n), default=0) for n in everyone]
    if batcher.delay_s:
        return preferred, everyone
    at_once = [size or n for n, size in enumerate(preferred)]
    return at_once, at_once
