"""Batches that run, and the processors that they share when they want more than there are.

A batch that keeps c processors busy waits for something else in the rest of its time. Where all
together want more than the K processors that there are, what they compute takes x times as long
(processor sharing; Kleinrock, Queueing Systems II, 1976, §4.4), so that what takes a second takes

    e(c) = max(0, 1 - c) + min(c, 1)·x

seconds, and x is such that they use all processors: the sum of c / e(c) is K. Times are in
seconds.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush
from itertools import count
from math import inf
from typing import Final

#: So close to all processors is all of them: rounding is far smaller.
_CLOSE: Final = 1e-9


@dataclass(slots=True)
class Running:
    """A batch on an instance."""

    step: str
    requests: tuple[int, ...]
    rows: int
    began_s: float
    work_s: float
    """What it takes with all the processors that it wants."""
    processors: float
    left_s: float
    """What is left of it, as of ``seen_s``."""
    seen_s: float


@dataclass(slots=True)
class Processors:
    """The batches that run, the first to end first."""

    limit: float | None
    _wanted: Counter[float] = field(default_factory=Counter)
    """What running batches want, in processors -> how many of them."""
    stretch: float = 1.0
    """How much longer what they compute takes for their number."""
    _ends: list[tuple[float, int, Running]] = field(default_factory=list)
    _numbers: "count[int]" = field(default_factory=count)

    def next_end_s(self) -> float:
        """Return when the next batch ends, if no other begins before."""
        return self._ends[0][0] if self._ends else inf

    def begin(self, batch: Running) -> None:
        """Let a batch run."""
        self._wanted[batch.processors] += 1
        self._share(batch.began_s)
        heappush(self._ends, self._entry(batch))

    def end(self) -> Running:
        """Take out the batch that ends first, when it does."""
        now_s, _, batch = heappop(self._ends)
        self._wanted[batch.processors] -= 1
        self._share(now_s)
        return batch

    def _share(self, now_s: float) -> None:
        """Settle what was done so far, where all go on at another pace from now on."""
        stretch = 1.0 if self.limit is None else stretch_of(self._wanted, self.limit)
        if stretch == self.stretch:
            return
        for _, _, batch in self._ends:
            batch.left_s -= (now_s - batch.seen_s) / self._slowed(batch)
            batch.seen_s = now_s
        self.stretch = stretch
        self._ends = [self._entry(batch) for _, _, batch in self._ends]
        heapify(self._ends)

    def _entry(self, batch: Running) -> tuple[float, int, Running]:
        end_s = batch.seen_s + max(batch.left_s, 0.0) * self._slowed(batch)
        return end_s, next(self._numbers), batch

    def _slowed(self, batch: Running) -> float:
        return _elapsed(batch.processors, self.stretch)


def stretch_of(wanted: Mapping[float, int], limit: float) -> float:
    """Return x, by Newton's method: what is used only falls with x, ever more slowly.

    ``wanted`` says how many batches want so many processors.
    """
    stretch = 1.0
    busy = [(each, number) for each, number in wanted.items() if each > 0 and number > 0]
    while (used := sum(n * c / _elapsed(c, stretch) for c, n in busy)) > limit * (1 + _CLOSE):
        falls = sum(n * c * min(c, 1.0) / _elapsed(c, stretch) ** 2 for c, n in busy)
        stretch += (used - limit) / falls
    return stretch


def _elapsed(processors: float, stretch: float) -> float:
    busy = min(processors, 1.0)
    return 1.0 - busy + busy * stretch
