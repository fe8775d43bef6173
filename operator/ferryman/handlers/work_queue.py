"""A keyed work queue: what changed is looked at soon, once, and by one worker at a time.

The queue holds keys, not events: however often a key is added before a worker takes it, it is
handled once, and never by two workers at once. What somebody waits for comes before what the
cluster reports: hundreds of pods that come up do not hold up the next model. A handler that fails
is tried again with a growing pause. Everything runs on the event loop's clock, so that tests can
run on virtual time.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

K = TypeVar("K")


@dataclass(frozen=True, slots=True)
class Backoff:
    """Pauses between failures: doubled each time, up to a cap."""

    first_s: float = 0.5
    cap_s: float = 60.0

    def pause_s(self, failures: int) -> float:
        """Return the pause after so many failures in a row (1 for the first)."""
        doublings = min(failures - 1, 30)
        return min(self.cap_s, self.first_s * 2.0**doublings)


class WorkQueue(Generic[K]):
    """Keys that wait for a worker, are being handled, or come back later.

    ``handle`` returns after how many seconds the key is to come back, or None. ``on_failure``
    is told of the key, the error and the pause.
    """

    def __init__(
        self,
        handle: Callable[[K], Awaitable[float | None]],
        *,
        workers: int = 8,
        backoff: Backoff | None = None,
        on_failure: Callable[[K, Exception, float], None] = lambda _key, _error, _pause_s: None,
    ) -> None:
        self._handle = handle
        self._workers = workers
        self._backoff = backoff or Backoff()
        self._on_failure = on_failure
        # In order of arrival -> when it arrived; the first lane is emptied before the second.
        self._lanes: tuple[dict[K, float], dict[K, float]] = ({}, {})
        self._running: set[K] = set()
        self._again: set[K] = set()
        self._timers: dict[K, asyncio.TimerHandle] = {}
        self._failures: dict[K, int] = {}
        self._arrived = asyncio.Event()
        self._handled_at_s: float | None = None

    def add(self, key: K, after_s: float = 0.0, *, first: bool = False) -> None:
        """Have a key handled now, or after some seconds unless it is due earlier anyway.

        ``first``: before those that wait and were not added so.
        """
        loop = asyncio.get_running_loop()
        if after_s > 0:
            timer = self._timers.get(key)
            if timer is None or timer.when() > loop.time() + after_s:
                self._disarm(key)
                self._timers[key] = loop.call_later(after_s, self.add, key)
            return
        self._disarm(key)
        if key in self._running:
            self._again.add(key)
            return
        urgent, normal = self._lanes
        if first and key in normal:
            urgent[key] = normal.pop(key)
        elif key not in urgent and key not in normal:
            (urgent if first else normal)[key] = loop.time()
        self._arrived.set()

    async def run(self) -> None:
        """Handle keys until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(self._workers):
                    group.create_task(self._work())
        finally:
            for key in list(self._timers):
                self._disarm(key)

    @property
    def depth(self) -> int:
        """Keys that wait for a worker now."""
        return sum(map(len, self._lanes))

    def stuck_s(self) -> float:
        """Return for how many seconds a key has waited while no other was handled."""
        if not self.depth:
            return 0.0
        oldest_s = min(next(iter(lane.values())) for lane in self._lanes if lane)
        since_s = max(oldest_s, self._handled_at_s or oldest_s)
        return asyncio.get_running_loop().time() - since_s

    def _disarm(self, key: K) -> None:
        timer = self._timers.pop(key, None)
        if timer is not None:
            timer.cancel()

    async def _work(self) -> None:
        while True:
            key = await self._take()
            after_s = await self._attempt(key)
            self._running.discard(key)
            self._handled_at_s = asyncio.get_running_loop().time()
            if key in self._again:
                self._again.discard(key)
                self.add(key)
            elif after_s is not None:
                # Even "at once" goes through the loop: others shall have their turn.
                self.add(key, max(after_s, 0.001))

    async def _take(self) -> K:
        while not self.depth:
            self._arrived.clear()
            await self._arrived.wait()
        lane = next(lane for lane in self._lanes if lane)
        key = next(iter(lane))
        del lane[key]
        self._running.add(key)
        return key

    async def _attempt(self, key: K) -> float | None:
        """Handle a key; return when it is to come back."""
        try:
            after_s = await self._handle(key)
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            # Something that was waited for was cancelled, not this worker.
            return self._failed(key, RuntimeError(f"cancelled from within: {error}"))
        except Exception as error:  # noqa: BLE001  told to on_failure and tried again
            return self._failed(key, error)
        self._failures.pop(key, None)
        return after_s

    def _failed(self, key: K, error: Exception) -> float:
        failures = self._failures.get(key, 0) + 1
        self._failures[key] = failures
        pause_s = self._backoff.pause_s(failures)
        self._on_failure(key, error, pause_s)
        return pause_s
