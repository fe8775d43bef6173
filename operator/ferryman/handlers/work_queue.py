"""A keyed work queue: what changed is looked at soon, once, and by one worker at a time.

The queue holds keys, not events: however often a key is added before a worker takes it, it is
handled once, and never by two workers at once. What somebody waits for comes before what the
cluster reports: hundreds of pods that come up do not hold up the next model. Keys belong to groups,
tenants, who get their turns one after the other: thousands of one tenant's do not hold up
another's. A handler that fails is tried again with a growing pause. Everything runs on the event
loop's clock, so that tests can run on virtual time.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass
from math import inf
from typing import Any, Final, Generic, TypeVar

from ferryman.handlers.tenants.fair_limit import FairLimit

K = TypeVar("K")

Aside = Callable[[Any], AbstractAsyncContextManager[None]]
"""What a handler enters while it waits for somebody who may never answer; of its key."""


def nobody_waits(_key: object) -> AbstractAsyncContextManager[None]:
    """Stand in for a queue where there is none."""
    return nullcontext()


#: Keys of one group that are under way at once: what they hold of the operator's memory is bounded.
MOST: Final = 32


@dataclass(frozen=True, slots=True)
class Backoff:
    """Pauses between failures: doubled each time, up to a cap."""

    first_s: float = 0.5
    cap_s: float = 60.0

    def pause_s(self, failures: int) -> float:
        """Return the pause after so many failures in a row (1 for the first)."""
        doublings = min(failures - 1, 30)
        return min(self.cap_s, self.first_s * 2.0**doublings)


class _Lane(Generic[K]):
    """Keys that wait, by group; the groups in the order of their turns."""

    def __init__(self) -> None:
        self._groups: dict[Hashable, dict[K, float]] = {}

    def __len__(self) -> int:
        return sum(map(len, self._groups.values()))

    def __contains__(self, key: tuple[Hashable, K]) -> bool:
        group, wanted = key
        return wanted in self._groups.get(group, ())

    def add(self, group: Hashable, key: K, at_s: float) -> None:
        self._groups.setdefault(group, {})[key] = at_s

    def drop(self, group: Hashable, key: K) -> float:
        """Take a key out; return when it arrived."""
        waiting = self._groups[group]
        at_s = waiting.pop(key)
        if not waiting:
            del self._groups[group]
        return at_s

    def take(self, may: Callable[[Hashable], bool]) -> K | None:
        """Take the first key of the first group that may; the group is then the last."""
        for group, waiting in self._groups.items():
            if may(group):
                key = next(iter(waiting))
                self.drop(group, key)
                if waiting:
                    self._groups[group] = self._groups.pop(group)
                return key
        return None

    def oldest_s(self, of: Callable[[Hashable], bool]) -> float:
        """Return when the oldest key of such groups arrived; infinity without one."""
        arrived = (next(iter(keys.values())) for group, keys in self._groups.items() if of(group))
        return min(arrived, default=inf)


class WorkQueue(Generic[K]):
    """Keys that wait for a worker, are being handled, or come back later.

    ``handle`` returns after how many seconds the key is to come back, or None. ``on_failure``
    is told of the key, the error and the pause. ``group_of`` names whose a key is; for one group no
    more than ``share`` workers work, and no more than ``MOST`` of its keys are under way, those
    included that wait aside.
    """

    def __init__(
        self,
        handle: Callable[[K], Awaitable[float | None]],
        *,
        workers: int = 8,
        backoff: Backoff | None = None,
        on_failure: Callable[[K, Exception, float], None] = lambda _key, _error, _pause_s: None,
        group_of: Callable[[K], Hashable] = lambda _key: None,
        share: int | None = None,
    ) -> None:
        self._handle = handle
        self._slots: FairLimit[Hashable] = FairLimit(workers, share or workers)
        self._backoff = backoff or Backoff()
        self._on_failure = on_failure
        self._group_of = group_of
        # The first lane is emptied before the second.
        self._lanes: tuple[_Lane[K], _Lane[K]] = (_Lane(), _Lane())
        self._running: set[K] = set()
        self._under_way: Counter[Hashable] = Counter()
        self._again: set[K] = set()
        self._timers: dict[K, asyncio.TimerHandle] = {}
        self._failures: dict[K, int] = {}
        self._news = asyncio.Event()
        """That a key arrived, or a place became free."""
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
        group = self._group_of(key)
        if first and (group, key) in normal:
            urgent.add(group, key, normal.drop(group, key))
        elif (group, key) not in urgent and (group, key) not in normal:
            (urgent if first else normal).add(group, key, loop.time())
        self._news.set()

    async def run(self) -> None:
        """Handle keys until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                while True:
                    key = await self._take()
                    group.create_task(self._work(key))
        finally:
            for key in list(self._timers):
                self._disarm(key)

    @asynccontextmanager
    async def aside(self, key: K) -> AsyncIterator[None]:
        """Leave the worker to others while a handler waits for somebody who may not answer."""
        group = self._group_of(key)
        self._slots.give(group)
        self._news.set()
        try:
            yield
        except BaseException:
            self._slots.take(group)  # at once: whatever ends it is to be handled now
            raise
        await self._slots.acquire(group)

    @property
    def depth(self) -> int:
        """Keys that wait for a worker now."""
        return sum(map(len, self._lanes))

    def stuck_s(self) -> float:
        """Return for how many seconds a key has waited while no other was handled.

        A group that has as much under way as it may waits for itself: that is no fault of ours.
        """
        oldest_s = min(lane.oldest_s(self._may_begin) for lane in self._lanes)
        if oldest_s == inf:
            return 0.0
        since_s = max(oldest_s, self._handled_at_s or oldest_s)
        return asyncio.get_running_loop().time() - since_s

    def _disarm(self, key: K) -> None:
        timer = self._timers.pop(key, None)
        if timer is not None:
            timer.cancel()

    def _may_begin(self, group: Hashable) -> bool:
        return self._under_way[group] < MOST

    def _may_work(self, group: Hashable) -> bool:
        return self._may_begin(group) and self._slots.has_room(group)

    async def _work(self, key: K) -> None:
        group = self._group_of(key)
        after_s = await self._attempt(key)
        self._running.discard(key)
        self._under_way[group] -= 1
        if not self._under_way[group]:
            del self._under_way[group]
        self._slots.give(group)
        self._handled_at_s = asyncio.get_running_loop().time()
        self._news.set()
        if key in self._again:
            self._again.discard(key)
            self.add(key)
        elif after_s is not None:
            # Even "at once" goes through the loop: others shall have their turn.
            self.add(key, max(after_s, 0.001))

    async def _take(self) -> K:
        while True:
            for lane in self._lanes:
                key = lane.take(self._may_work)
                if key is not None:
                    group = self._group_of(key)
                    self._running.add(key)
                    self._under_way[group] += 1
                    self._slots.take(group)
                    return key
            self._news.clear()
            await self._news.wait()

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
