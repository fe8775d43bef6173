"""So many at once, of one group no more than its share, and the groups in turn.

A semaphore serves whoever comes first: a tenant whose four hundred pods do not answer holds it
until the last of them has timed out. Here whoever waits alone waits for one place to become free,
however many of another group wait before.
"""

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager
from typing import Generic, TypeVar

G = TypeVar("G", bound=Hashable)


class FairLimit(Generic[G]):
    """Places that are held for a while, by groups."""

    def __init__(self, total: int, each: int) -> None:
        """Allow ``total`` at once, and ``each`` of one group."""
        self._total = total
        self._each = each
        self._held: Counter[G] = Counter()
        self._all = 0
        # In the order in which groups get their turn.
        self._waiting: dict[G, deque[asyncio.Future[None]]] = {}

    def has_room(self, group: G) -> bool:
        """Whether a place is free for the group now."""
        return self._all < self._total and self._held[group] < self._each

    def take(self, group: G) -> None:
        """Hold a place, even beyond the limit."""
        self._held[group] += 1
        self._all += 1

    def give(self, group: G) -> None:
        """Give a place back, and have the next who waits take it."""
        self._all -= 1
        self._held[group] -= 1
        if not self._held[group]:
            del self._held[group]
        self._serve()

    async def acquire(self, group: G) -> None:
        """Wait for a place and hold it."""
        if group not in self._waiting and self.has_room(group):
            self.take(group)
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(group, deque()).append(turn)
        self._serve()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.give(group)  # it was served at the same moment
            raise

    @asynccontextmanager
    async def place(self, group: G) -> AsyncIterator[None]:
        """Hold a place while the block runs."""
        await self.acquire(group)
        try:
            yield
        finally:
            self.give(group)

    def _serve(self) -> None:
        """Give free places to those who wait: one to each group, then again."""
        served = True
        while served and self._all < self._total:
            served = False
            for group in list(self._waiting):
                served = self._serve_one(group) or served

    def _serve_one(self, group: G) -> bool:
        """Have the first of a group take a place if there is one; its group is then the last."""
        line = self._waiting[group]
        while line and line[0].done():
            line.popleft()  # given up
        if not line:
            del self._waiting[group]
            return False
        if not self.has_room(group):
            return False
        self.take(group)
        line.popleft().set_result(None)
        del self._waiting[group]
        if line:
            self._waiting[group] = line
        return True
