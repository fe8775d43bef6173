"""Device time and batches of a run, added up from Triton's own counters.

A reload sets the counters of executed batches back to zero, so they are read often: what is lost
is what was executed between the last reading and the reload.
"""

import asyncio
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from ferryman.api.statistics import Statistics
from ferryman.clients.triton import TritonServer, TritonUnavailable
from ferryman.core.observation import counters
from ferryman.core.observation.counters import Totals

READ_EVERY_S: Final = 0.25


@dataclass
class Meter:
    """Reads the counters until told to stop."""

    server: TritonServer
    totals: Totals = field(default_factory=Totals)
    _before: Statistics | None = field(default=None, init=False)
    _read_at_s: list[float] = field(default_factory=list, init=False)
    _busy_s: list[float] = field(default_factory=list, init=False)

    async def run(self, stop: asyncio.Event) -> None:
        """Read until the stop, and once more then."""
        while not stop.is_set():
            await self._read()
            try:
                await asyncio.wait_for(stop.wait(), READ_EVERY_S)
            except TimeoutError:
                continue
        await self._read()

    def add(self, sample: Statistics) -> None:
        """Add what has been executed since the last reading, or since a reload in between."""
        self.totals = self.totals.plus(self._increase(sample))
        self._before = sample
        self._read_at_s.append(sample.now_s)
        self._busy_s.append(self.busy_s)

    @property
    def busy_s(self) -> float:
        """Compute time of all batches, added up."""
        return self.totals.compute_ns / 1e9

    def busy_by_window(self, window_s: float, windows: int) -> list[float]:
        """Return compute time in seconds by window; the first begins with the first reading.

        Raises RuntimeError before any reading.
        """
        if not self._read_at_s:
            raise RuntimeError("the counters were never read")
        borders_s = self._read_at_s[0] + window_s * np.arange(windows + 1)
        until_s = np.interp(borders_s, self._read_at_s, self._busy_s)
        return [round(float(each), 3) for each in np.diff(until_s)]

    @property
    def mean_batch_size(self) -> float:
        """Requests in a batch; 0 where none was executed."""
        executed = sum(size * count for size, (count, _) in self.totals.batches.items())
        return executed / self.totals.batch_count if self.totals.batch_count else 0.0

    def _increase(self, sample: Statistics) -> Totals:
        before = self._before
        if before is None:
            return Totals()
        if not counters.continues(before, sample):
            rejected = None if sample.rejected_count is None else 0
            before = Statistics(0.0, 0, 0, 0, 0, 0, 0, rejected_count=rejected)
        return counters.increase(before, sample)

    async def _read(self) -> None:
        try:
            self.add(await self.server.statistics())
        except TritonUnavailable:
            # A model that is being swapped may not answer for a moment; counters are sums.
            return
