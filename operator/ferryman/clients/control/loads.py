"""Loads of one model on one Triton: one at a time, and none is waited for longer than is worth it.

Requests that wait for a step all the time keep Triton from ending a change of its instances: a new
one's warm-up and an old one's end are looked at only when the queue was empty for once
(rate_limiter.cc, DequeuePayload). The new ones serve meanwhile, so that the counters tell what
Triton's configuration does not tell yet. Nothing stops such a load. It is followed to its end, so
that no second one is sent behind it.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final
from weakref import WeakValueDictionary

from ferryman.api.statistics import Statistics

_log = logging.getLogger(__name__)

#: How often counters are read while a load is waited for.
READ_EVERY_S: Final = 0.5
#: For so long an earlier load of the model may still run before a new one is given up.
EARLIER_WITHIN_S: Final = 5.0
#: So many readings are looked back on.
_READINGS: Final = 120
_NS_PER_S: Final = 1e9

#: Loads of one model on a server wait for one another, whichever connection they come through:
#: Triton lets a later load supersede one that still runs. Other models' do not wait for them.
_locks: WeakValueDictionary[tuple[str, str], asyncio.Lock] = WeakValueDictionary()


def lock_of(address: str, model: str) -> asyncio.Lock:
    """Return what loads of a model on a server hold while they run."""
    return _locks.setdefault((address, model), asyncio.Lock())


class LateError(Exception):
    """A load, or one before it, had not ended in time. What serves is unknown: look again."""


@dataclass
class Witness:
    """Tells from counters when more than so many instances serve.

    An instance runs one batch at a time. Those of n instances that ended between two readings t
    apart took no longer than n·(t + s) together, where s is what the longest of them takes: it may
    have begun so long before. (Where a backend overlaps batches in an instance, as TensorRT's may,
    it can tell too early.)
    """

    instances: int
    _readings: deque[Statistics] = field(default_factory=lambda: deque(maxlen=_READINGS))

    def sees_more(self, shown: Statistics) -> bool:
        """Add a reading; say whether more instances ran since any of those before."""
        found = any(self._more_since(earlier, shown) for earlier in self._readings)
        self._readings.append(shown)
        return found

    def _more_since(self, before: Statistics, now: Statistics) -> bool:
        ran_ns, longest_ns = 0, 0.0
        for size, (executions, busy_ns) in now.batches.items():
            executions_before, busy_before_ns = before.batches.get(size, (0, 0))
            count, added_ns = executions - executions_before, busy_ns - busy_before_ns
            if count < 0 or added_ns < 0:
                return False  # the counters began anew
            ran_ns += added_ns
            longest_ns = max(longest_ns, added_ns / count if count else 0.0)
        seconds = now.now_s - before.now_s
        return ran_ns > self.instances * (seconds * _NS_PER_S + longest_ns)


class Loads:
    """Loads of one model on one server."""

    def __init__(self, address: str, model: str) -> None:
        self._name = f"model {model} of Triton at {address}"
        self._lock = lock_of(address, model)
        self._running: asyncio.Task[None] | None = None
        self.serving: int | None = None
        """The instances of a load that still runs, once they were seen to serve."""

    async def carry_out(
        self,
        load: Callable[[], Awaitable[None]],
        *,
        within_s: float,
        grown: Callable[[], Awaitable[int]] | None = None,
    ) -> None:
        """Load, and return when that has ended, or when ``grown`` has: with what then serves.

        Raises LateError where neither has in time, or an earlier load still runs, and what
        ``load`` raises. A load that nobody waits for any more goes on.
        """
        try:
            async with asyncio.timeout(EARLIER_WITHIN_S):
                await self._lock.acquire()
        except TimeoutError as error:
            raise LateError(f"an earlier load of {self._name} has not ended yet") from error
        loading = asyncio.ensure_future(load())
        self._running = loading
        loading.add_done_callback(self._ended)
        if not await self._awaited(loading, within_s, grown):
            raise LateError(f"a load of {self._name} has not ended after {within_s:g} s")

    async def _awaited(
        self,
        loading: asyncio.Task[None],
        within_s: float,
        grown: Callable[[], Awaitable[int]] | None,
    ) -> bool:
        """Wait for a load, or for its instances; say whether there are either."""
        seeing = None if grown is None else asyncio.ensure_future(grown())
        waited = {loading} if seeing is None else {loading, seeing}
        try:
            await asyncio.wait(waited, timeout=within_s, return_when=asyncio.FIRST_COMPLETED)
            if loading.done():
                await loading
                return True
            if seeing is not None and seeing.done():
                self.serving = await seeing
                return True
            return False
        finally:
            if seeing is not None:
                seeing.cancel()

    def _ended(self, loading: asyncio.Task[None]) -> None:
        self._running, self.serving = None, None
        self._lock.release()
        if not loading.cancelled() and (error := loading.exception()) is not None:
            # Whoever still waits has it as well; to others the configuration shows what serves.
            _log.info("a load failed", extra={"of": self._name, "why": str(error)})

    async def close(self) -> None:
        """Stop following what still runs."""
        running = self._running
        if running is not None:
            running.cancel()
            await asyncio.wait({running})
