"""When batches begin and how large they are where sizes other than the bound are preferred.

Triton core 2.51 without a queue policy. As in prefetching.py the batcher forms payloads while all
instances are busy; preferred sizes decide when a payload is enough, and that is seldom what one
would expect: without delay a payload that has grown to a preferred size never grows on to a
larger one, and with a delay one that has reached the largest may grow beyond it. So what
``DynamicBatchScheduler::GetDynamicBatch`` does is followed step by step, for each time that the
batcher wakes: when an instance takes a payload, when as many requests wait as it wants, and when
the delay of the oldest is over. If an input has a variable dimension besides the batch, every
arrival wakes it (``enforce_equal_shape_tensors_`` in ``Enqueue``), so that a batch that is formed
grows until an instance takes it; with a delay this rule then serves without preferred sizes, too.
"""

from bisect import bisect_right
from dataclasses import dataclass, field
from math import inf

import numpy as np

from ferryman.core.queue_model import instances
from ferryman.core.queue_model.batcher import Batcher, Batches, Formed, Span, State
from ferryman.core.queue_model.instances import Apart, Sharing


def preferring(batcher: Batcher, span: Span, state: State) -> tuple[State, Batches]:
    """Begin batches: one pass for each time that the batcher wakes."""
    formed = state.formed
    if formed is None:
        looks_s = max(state.turned_s, *span.arrivals_s[state.head : state.head + 1])
        formed = Formed(looks_s=looks_s)
    occupied = instances.of(batcher, span, state)
    free = occupied.free
    thread = _Thread(batcher, span, occupied, state.head, list(formed.sizes))
    thread.is_open, thread.wanted, thread.looks_s = formed.is_open, formed.wanted, formed.looks_s
    thread.seen = formed.seen
    while (now_s := thread.next_s()) < span.until_s:
        while thread.formed and free[0] <= now_s:
            thread.take(now_s)
        thread.look(now_s)
    batches = occupied.ended(thread.sizes, np.arange(state.head, thread.head))
    formed = Formed(
        tuple(thread.formed), thread.is_open, thread.wanted, thread.looks_s, thread.seen
    )
    return State(thread.head, tuple(sorted(free)), formed=formed, running=occupied.running), batches


@dataclass(slots=True)
class _Thread:
    """The batcher's thread, asleep or looking at the queue, and the payloads that it formed."""

    batcher: Batcher
    span: Span
    occupied: Apart | Sharing
    head: int
    """The first request that has not begun."""
    formed: list[int]
    """Sizes of the payloads that wait for an instance."""
    waits: int = field(init=False)
    """The first request that is in no payload."""
    preferred: tuple[int, ...] = field(init=False)
    """0 and the preferred sizes, ascending."""
    delay_s: float = field(init=False)
    free: list[float] = field(init=False)
    """When instances are idle, as a heap."""
    is_open: bool = False
    """Whether others may join the last of these payloads."""
    wanted: int = 0
    """So many requests must wait before an arrival wakes the batcher."""
    looks_s: float = inf
    """When it wakes by itself."""
    seen: int = 0
    """The first request that had not arrived when it last looked."""
    sizes: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.waits = self.head + sum(self.formed)
        self.preferred = (0, *self.batcher.preferred)
        self.delay_s = self.batcher.delay_s
        self.free = self.occupied.free

    def next_s(self) -> float:
        """Return when the batcher wakes next."""
        last = self.waits + max(self.wanted, 1) - 1
        if self.batcher.variable_inputs:
            last = max(self.waits, self.seen)
        heard = self._has_slot() and last < self.span.stop
        arrives_s = self.span.arrivals_s[last] if heard else inf
        return min(arrives_s, self.looks_s, self.free[0] if self.formed else inf)

    def take(self, now_s: float) -> None:
        """Let an idle instance take the first payload (``InstanceQueue::Dequeue``)."""
        batching, delay = self.batcher.batching, self.delay_s
        size = self.formed.pop(0)
        while delay and self.formed and self.span.arrivals_s[self.head + size] + delay < now_s:
            # Nobody joins the next one any more, whether it fits or not.
            if len(self.formed) == 1:
                self._close()
            if size + self.formed[0] > batching.max_batch_size:
                break
            size += self.formed.pop(0)
        if not self.formed:
            self._close()
        takes_s = self.batcher.service_s[size - 1] * self.span.noise[self.head]
        self.occupied.starts.append(now_s)
        self.occupied.occupy(self.free, now_s + takes_s)
        self.sizes.append(size)
        self.head += size

    def look(self, now_s: float) -> None:
        """Form payloads of those who wait (``DynamicBatchScheduler::BatcherThread``)."""
        bound = self.batcher.batching.max_batch_size
        self.looks_s = inf
        if self.batcher.variable_inputs:
            arrivals_s, begin = self.span.arrivals_s, max(self.waits, self.seen)
            self.seen = bisect_right(arrivals_s, now_s, begin, self.span.stop)
        while self._has_slot():
            last = min(self.waits + bound + 1, self.span.stop)
            waiting = bisect_right(self.span.arrivals_s, now_s, self.waits, last) - self.waits
            if not waiting:
                break
            has = self.formed[-1] if self.is_open else 0
            joining, is_full = self._choose(has, waiting, now_s)
            if not joining and not is_full:
                self.looks_s = self.span.arrivals_s[self.waits] + self.delay_s
                break
            self._join(joining, now_s)
            if is_full:
                self._close()

    def _close(self) -> None:
        """Turn to a new payload."""
        self.is_open, self.wanted = False, 0

    def _has_slot(self) -> bool:
        return len(self.formed) < 2 * len(self.free)

    def _join(self, joining: int, now_s: float) -> None:
        self.waits += joining
        if self.is_open:
            self.formed[-1] += joining
            return
        self.formed.append(joining)
        self.is_open = True
        if self.free[0] <= now_s:
            self.take(now_s)

    def _choose(self, has: int, waiting: int, now_s: float) -> tuple[int, bool]:
        """Return how many join a payload that has some, 0 to wait, and whether it is closed then.

        ``DynamicBatchScheduler::GetDynamicBatch``.
        """
        bound, preferred = self.batcher.batching.max_batch_size, self.preferred
        delay, largest = self.delay_s, preferred[-1]
        late = delay > 0 and self.span.arrivals_s[self.waits] + delay <= now_s
        joining = min(waiting, bound - has)
        is_beyond = has >= largest
        reached = preferred[bisect_right(preferred, has + joining) - 1] - has
        if is_beyond:
            reached = int(waiting > 1 and has < bound)
        if reached > 0 and not late:
            return reached, is_beyond or not delay
        if is_beyond or waiting > joining or has + joining >= largest:
            return joining, True
        if late or not delay:
            return joining, False
        self.wanted = preferred[bisect_right(preferred, has + joining)] - has
        return (joining if has not in preferred else 0), False
