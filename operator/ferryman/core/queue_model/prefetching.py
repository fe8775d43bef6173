"""When batches begin and how large they are with a queue delay: Triton forms them ahead of time.

Triton core 2.51, for models whose inputs have fixed dimensions apart from the batch, and which
prefer their bound. When the oldest request has waited for the delay, or the bound is reached, the
batcher forms a payload (``DynamicBatchScheduler::GetDynamicBatch``), even if every instance is
busy, as long as fewer than twice the instances wait (``RateLimiter::PayloadSlotAvailable``).

Until an instance takes the payload, others join it only when the batcher wakes: when an instance
takes a payload ahead of it, and when as many requests wait as the batcher last wanted
(``DynamicBatchScheduler::Enqueue``, ``next_preferred_batch_size_``). That is the bound after a
wait for the delay, and none if the delay was over when the batcher first looked. Each time it
wakes while they are within their delay, it wants what the payload lacked before they joined:
so hardly any join. An instance that takes the payload directly ahead ends this too, if the
payload's oldest request is beyond its delay; once ended so, it takes in the whole payload
behind it when it is taken itself, if that one is beyond its delay as well and both fit the
bound (``InstanceQueue::Dequeue``).
"""

from bisect import bisect_right
from dataclasses import dataclass
from math import inf

import numpy as np

from ferryman.core.queue_model import instances
from ferryman.core.queue_model.batcher import Batcher, Batches, Span, State


def prefetching(batcher: Batcher, span: Span, state: State) -> tuple[State, Batches]:
    """Begin batches: one pass for each payload, from its forming until an instance takes it.

    Its size is known before its successor's is looked at, but where it takes that one in.
    """
    arrivals, stop, until = span.arrivals_s, span.stop, span.until_s
    bound, service = batcher.batching.max_batch_size, (0.0, *batcher.service_s)
    delay, slots = batcher.delay_s, 2 * len(state.free_s)
    before = (*(-inf,) * (slots - len(state.recent_s)), *state.recent_s)
    occupied = instances.of(batcher, span, state, before=before)
    free, starts, occupy = occupied.free, occupied.starts, occupied.occupy
    head, turned, noise = state.head, state.turned_s, span.noise
    sizes: list[int] = []
    while head < stop:
        looks = max(arrivals[head], turned, starts[-slots])
        overdue = arrivals[head] + delay
        full = arrivals[head + bound - 1] if head + bound <= stop else inf
        wanted, formed = 0, looks
        if looks < overdue and looks < full:
            wanted, formed = bound, full if full < overdue else overdue  # noqa: FURB136
        start = free[0] if free[0] > formed else formed  # noqa: FURB136
        if start >= until:
            break
        last = head + bound if head + bound < stop else stop  # noqa: FURB136
        end = bisect_right(arrivals, formed, head, last)
        turned = formed
        if start > formed and (end < head + bound or (wanted and full < overdue)):
            payload = _Payload(batcher, span, head, end, wanted)
            turned = payload.grow(starts[bisect_right(starts, formed) :], start)
            end = payload.end
        starts.append(start)
        occupy(free, start + service[end - head] * noise[head])
        sizes.append(end - head)
        head = end
    batches = occupied.ended(sizes, np.arange(state.head, head))
    recent_s = tuple(starts[-slots:])
    return State(head, tuple(sorted(free)), turned, recent_s, running=occupied.running), batches


@dataclass(slots=True)
class _Payload:
    """A batch that is formed and waits for an instance."""

    batcher: Batcher
    span: Span
    head: int
    """Its first request."""
    end: int
    """The first request that is not in it."""
    wanted: int
    """So many requests must wait beside it before an arrival wakes the batcher."""

    def grow(self, ahead_s: list[float], start_s: float) -> float:
        """Let requests join until an instance takes it; return when the next may be formed.

        ``ahead_s`` is when the payloads ahead are taken: the slots are full while their number
        and this one make twice the instances.
        """
        has_slot = len(ahead_s) + 1 < 2 * self.batcher.batching.instances
        for taken_s in ahead_s:
            next_s = self._wake_by_arrivals(taken_s) if has_slot else None
            if next_s is not None:
                return next_s
            if taken_s == ahead_s[-1] and self._is_overdue(self.head, taken_s):
                return self._take_in_the_next(taken_s, start_s)
            waiting = bisect_right(self.span.arrivals_s, taken_s, self.end, self.span.stop)
            if waiting > self.end and self._join(waiting, taken_s):
                return taken_s
            has_slot = True
        next_s = self._wake_by_arrivals(start_s)
        return start_s if next_s is None else next_s

    def _wake_by_arrivals(self, until_s: float) -> float | None:
        """Let requests join whose arrival wakes the batcher; return when the next may be formed."""
        arrivals = self.span.arrivals_s
        while True:
            last = self.end + max(self.wanted, 1) - 1
            if last >= self.span.stop or arrivals[last] > until_s:
                return None
            if self._join(last + 1, arrivals[last]):
                return arrivals[last]

    def _join(self, waiting: int, now_s: float) -> bool:
        """Let all before a position join, as many as fit; return whether the next may be formed."""
        full = self.head + self.batcher.batching.max_batch_size
        late = self.span.arrivals_s[self.end] + self.batcher.delay_s <= now_s
        if waiting > full or (waiting == full and late):
            self.end = full
            return True
        if waiting < full and not late:
            self.wanted = full - self.end
        self.end = waiting
        return False

    def _is_overdue(self, request: int, now_s: float) -> bool:
        return self.span.arrivals_s[request] + self.batcher.delay_s < now_s

    def _take_in_the_next(self, turned_s: float, start_s: float) -> float:
        """Take in the payload that is formed behind this one, if it may; return when the next is.

        ``turned_s`` is when the batcher turned to it, ``start_s`` when this one is taken.
        """
        batching, arrivals, stop = self.batcher.batching, self.span.arrivals_s, self.span.stop
        head, full = self.end, self.head + batching.max_batch_size
        if head >= stop or not self._is_overdue(head, start_s):
            return turned_s
        formed_s = max(arrivals[head] + self.batcher.delay_s, turned_s)
        wanted = batching.max_batch_size if formed_s > turned_s else 0
        end = bisect_right(arrivals, formed_s, head, min(head + batching.max_batch_size, stop))
        behind = _Payload(self.batcher, self.span, head, end, wanted)
        if batching.instances > 1:  # else both slots are full
            behind._wake_by_arrivals(start_s)
        if behind.end > full:
            return turned_s
        self.end = behind.end
        return start_s
