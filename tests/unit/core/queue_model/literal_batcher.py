"""Triton's dynamic batcher, acted out event by event: slow, and as literal as it can be.

The oracle for the digital twin. It has the parts of Triton core 2.51 (a queue, the payload that is
being filled, the payloads that wait for an instance, a batcher that sleeps until it is woken) and
nothing of the twin's arithmetic. At any moment requests arrive first, then the batcher's own timer
runs out, then batches end.
"""

from dataclasses import dataclass, field
from math import inf


@dataclass
class Payload:
    """A batch that is being filled, waits for an instance, or was taken by one."""

    requests: list[int] = field(default_factory=list)
    ready: bool = False
    taken: bool = False


@dataclass
class LiteralBatcher:
    """One model: its batcher, its instances, and all that will arrive."""

    arrivals: list[int]
    service: list[int]
    bound: int
    delay: int = 0
    instances: int = 1
    preferred: tuple[int, ...] = ()
    timeout: float = inf
    room: float = inf
    variable: bool = False

    def __post_init__(self):
        self.preferred = self.preferred or (self.bound,)
        self.prefetches = self.timeout == inf and self.room == inf
        self.queue, self.payload, self.waiting_payloads = [], Payload(), []
        self.saturated, self.wanted, self.timer = False, 0, inf
        self.busy, self.idle = [], self.instances
        self.batches, self.rejected = [], []

    def run(self):
        """Serve everybody; return (start, end, requests) of each batch."""
        coming = list(enumerate(self.arrivals))
        while coming or self.queue or self.waiting_payloads:
            now = min([moment for _, moment in coming[:1]] + self.busy + [self.timer])
            while coming and coming[0][1] == now:
                self.arrive(coming.pop(0)[0], now)
            if self.timer == now:
                self.look(now)
            self.end_batches(now)
        return self.batches

    def arrive(self, request, now):
        """DynamicBatchScheduler::Enqueue."""
        if len(self.queue) >= self.room:
            self.rejected.append((request, now))
            return
        self.queue.append(request)
        enough = (
            self.variable or self.saturated or self.payload.taken or len(self.queue) >= self.wanted
        )
        if self.has_slot() and enough:
            self.look(now)

    def has_slot(self):
        """RateLimiter::PayloadSlotAvailable."""
        if self.prefetches:
            return len(self.waiting_payloads) < 2 * self.instances
        return self.idle > 0

    def look(self, now):
        """DynamicBatchScheduler::BatcherThread, until it sleeps again."""
        self.timer = inf
        while True:
            if self.saturated or self.payload.taken:
                self.payload, self.saturated, self.wanted = Payload(), False, 0
            if not self.queue or not self.has_slot():
                return
            count, wait = self.dynamic_batch(now)
            if wait:
                self.timer = now + wait
                return
            self.payload.requests += self.queue[:count]
            del self.queue[:count]
            if count and not self.payload.ready:
                self.payload.ready = True
                self.waiting_payloads.append(self.payload)
                if self.idle:
                    self.idle -= 1
                    self.take(now)

    def dynamic_batch(self, now):
        """DynamicBatchScheduler::GetDynamicBatch: how many to add now, or how long to wait."""
        while self.queue and now >= self.arrivals[self.queue[0]] + self.timeout:
            self.rejected.append((self.queue.pop(0), now))
        had = len(self.payload.requests)
        pending, best, send_now = self.walk(had)
        age = now - self.arrivals[self.queue[0]] if self.queue else 0
        late = self.delay > 0 and age >= self.delay
        if best and not late:
            self.saturated = self.saturated or self.delay == 0
            return best, 0
        if not pending:
            return 0, 0
        if send_now or had + pending >= max(self.preferred):
            self.saturated = True
            return pending, 0
        if late or self.delay == 0:
            return pending, 0
        self.wanted = min(size for size in self.preferred if size > had + pending) - had
        if not self.saturated and had and had not in self.preferred:
            return pending, 0
        return 0, min(self.delay, self.timeout) - age

    def walk(self, had):
        """Go through the queue: how many fit, up to which preferred size, and is that the bound."""
        pending, best = 0, 0
        for _ in self.queue:
            if had + pending:
                if had + pending + 1 > max(self.preferred) and not best:
                    best, self.saturated = pending, True
                if had + pending + 1 > self.bound:
                    return pending, best, True
            pending += 1
            if had + pending in self.preferred:
                best = pending
        return pending, best, False

    def take(self, now):
        """InstanceQueue::Dequeue, and the batch begins."""
        taken = self.waiting_payloads.pop(0)
        taken.taken = True
        requests = list(taken.requests)
        while self.delay and self.bound > 1 and self.waiting_payloads:
            front = self.waiting_payloads[0]
            if now - self.arrivals[front.requests[0]] <= self.delay:
                break
            front.taken = True  # before it is known whether it fits
            if len(requests) + len(front.requests) > self.bound:
                break
            requests += self.waiting_payloads.pop(0).requests
        end = now + self.service[len(requests) - 1]
        self.busy.append(end)
        self.batches.append((now, end, requests))

    def end_batches(self, now):
        """Let instances that are done take what waits, and wake the batcher."""
        ended = self.busy.count(now)
        self.busy = [end for end in self.busy if end != now]
        for _ in range(ended):
            if self.waiting_payloads:
                self.take(now)
            else:
                self.idle += 1
        if ended:
            self.look(now)
