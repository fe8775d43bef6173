"""How long batches occupy instances: each has a processor of its own, or they share one.

The rules of the batcher say when a batch begins: they look at when the first instance is idle
(``free[0]``), append to ``starts``, and ``occupy``. Apart from that only ``Sharing`` knows that
batches which run at once slow each other down: n of them take n / parallelism times as long as one
alone, if that is more than once (processor sharing; Kleinrock, Queueing Systems II, 1976, §4.4).
So when a batch ends is not known until it does. ``free`` holds when instances are idle if nobody
else begins: that is right for the first of them, because whoever begins before must find one idle.

All times are in seconds.
"""

from collections.abc import Iterable, Sequence
from heapq import heapify, heappop, heappush, heapreplace
from itertools import accumulate, pairwise
from math import inf

import numpy as np

from ferryman.core.queue_model.batcher import (
    Batcher,
    Batches,
    Integers,
    RunningBatch,
    Span,
    State,
)


class Apart:
    """Instances that do not slow each other down: a batch's end is known when it begins."""

    occupy = staticmethod(heapreplace)
    running: tuple[RunningBatch, ...] = ()

    def __init__(self, batcher: Batcher, span: Span, state: State, before: Sequence[float]) -> None:
        """Take over from a state; ``starts`` begins with what began ``before``."""
        self.free, self.starts = list(state.free_s), list(before)
        heapify(self.free)
        self._batcher, self._span, self._before = batcher, span, len(before)

    def ended(
        self, sizes: list[int], requests: Integers, rejected: Iterable[tuple[int, float]] = ()
    ) -> Batches:
        """Return the batches that began, which have these sizes and together these requests."""
        service_s = np.array((0.0, *self._batcher.service_s))
        began, counts = np.array(self.starts[self._before :]), np.array(sizes, dtype=np.int64)
        heads = requests[np.cumsum(counts) - counts].tolist()
        factors = np.array([self._span.noise[head] for head in heads], dtype=np.float64)
        return Batches.of(began, began + service_s[counts] * factors, counts, requests, rejected)


class Sharing:
    """Instances that share a processor: each batch that begins slows down those that run.

    In *virtual* time every batch that runs is worked on at full speed. It passes the slower the
    more of them there are, and a batch ends when its work has passed since it began.
    """

    def __init__(self, batcher: Batcher, span: Span, state: State, before: Sequence[float]) -> None:
        """Take over from a state; ``starts`` begins with what began ``before``."""
        self.free, self.starts = sorted(state.free_s), list(before)
        self._parallelism, self._instances = batcher.parallelism, len(state.free_s)
        self._until_s, self._before = span.until_s, len(before)
        self._earlier = state.running
        self._now_s, self._virtual_s = state.running[0].seen_s if state.running else 0.0, 0.0
        self._ends: list[tuple[float, int]] = [
            (each.left_s, number) for number, each in enumerate(state.running)
        ]
        heapify(self._ends)
        self._begun = len(state.running)
        self._over: list[tuple[int, float]] = []
        """Batches that are over, those of before first, and since when."""

    def occupy(self, free: list[float], end_s: float) -> None:
        """Let the batch appended to ``starts`` run; alone it would be over at ``end_s``."""
        start_s = self.starts[-1]
        self._pass(start_s)
        heappush(self._ends, (self._virtual_s + end_s - start_s, self._begun))
        self._begun += 1
        idle = max(0, self._instances - len(self._ends))
        free[:] = (*(start_s,) * idle, *self._expected_s())[-self._instances :]

    def ended(
        self, sizes: list[int], requests: Integers, rejected: Iterable[tuple[int, float]] = ()
    ) -> Batches:
        """Return the batches that ended, those of before among them; others are ``running``."""
        self._pass(self._until_s)
        bounds = accumulate(sizes, initial=0)
        parts = [requests[left:right] for left, right in pairwise(bounds)]
        every = [*(each.requests for each in self._earlier), *parts]
        starts = [*(each.start_s for each in self._earlier), *self.starts[self._before :]]
        self.running = tuple(
            RunningBatch(starts[number], every[number], virtual_s - self._virtual_s, self._now_s)
            for virtual_s, number in sorted(self._ends)
        )
        numbers = [number for number, _ in self._over]
        return Batches.of(
            np.array([starts[number] for number in numbers], dtype=np.float64),
            np.array([end_s for _, end_s in self._over], dtype=np.float64),
            np.array([every[number].size for number in numbers], dtype=np.int64),
            np.concatenate([np.empty(0, dtype=np.int64), *(every[number] for number in numbers)]),
            rejected,
        )

    def _pass(self, until_s: float) -> None:
        """Let time pass, and batches end."""
        while self._ends:
            slowed = self._slowed(len(self._ends))
            end_s = self._now_s + (self._ends[0][0] - self._virtual_s) * slowed
            if end_s > until_s:
                self._virtual_s += (until_s - self._now_s) / slowed
                break
            self._virtual_s, number = heappop(self._ends)
            self._over.append((number, end_s))
            self._now_s = end_s
        if until_s < inf:
            self._now_s = max(self._now_s, until_s)

    def _expected_s(self) -> Iterable[float]:
        """Yield when the batches that run end if no other begins."""
        at_s, virtual_s = self._now_s, self._virtual_s
        for number, (end_s, _) in enumerate(sorted(self._ends)):
            at_s += (end_s - virtual_s) * self._slowed(len(self._ends) - number)
            virtual_s = end_s
            yield at_s

    def _slowed(self, running: int) -> float:
        return max(1.0, running / self._parallelism)


def of(
    batcher: Batcher, span: Span, state: State, *, before: Sequence[float] = ()
) -> Apart | Sharing:
    """Return the instances as a state leaves them; ``before`` is what ``starts`` begins with."""
    kind = Sharing if batcher.shares else Apart
    return kind(batcher, span, state, before)
