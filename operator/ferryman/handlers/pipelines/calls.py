"""How long calls to the servers concerned by a pipeline take: a few of them, seldom.

One pipeline is measured at a time, so that measurements do not disturb each other; who finds
another one at it is told what was known, and asks again with the next reconcile.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from ferryman.api.pipelines.execution_status import CallStatus
from ferryman.api.resources import Key
from ferryman.clients.triton import TritonServer, TritonUnavailable
from ferryman.core.pipelines.cutting.calls import LARGE_BYTES, SMALL_BYTES, CallTimes, cost_of
from ferryman.handlers.servers import Connect

#: A measurement counts for so long, and what could not be measured is tried again after so long.
EVERY_S: Final = 600.0
AGAIN_S: Final = 60.0
#: Of one server; the first calls open the connection and do not count.
OPENING, SMALL, LARGE = 2, 7, 5
#: Further servers are not asked.
SERVERS: Final = 8
#: No measurement takes longer.
PATIENCE_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class _Measured:
    cost: CallStatus | None
    until_s: float


class CallMeter:
    """Measures what calls cost, by calls that have nothing done."""

    def __init__(self, connect: Connect, *, clock: Callable[[], float]) -> None:
        self._connect = connect
        self._clock = clock
        self._known: dict[Key, _Measured] = {}
        self._busy = asyncio.Lock()

    async def cost(self, key: Key, ips: Sequence[str]) -> CallStatus | None:
        """Return what a call to the slowest of these servers costs; None: unknown."""
        known = self._known.get(key, _Measured(None, self._clock()))
        if not ips or self._clock() < known.until_s or self._busy.locked():
            return known.cost
        async with self._busy:
            cost = await self._measured(ips[:SERVERS])
        lasts_s = AGAIN_S if cost is None else EVERY_S
        self._known[key] = _Measured(cost, self._clock() + lasts_s)
        return cost

    def forget(self, key: Key) -> None:
        """Forget a pipeline that is gone."""
        self._known.pop(key, None)

    async def _measured(self, ips: Sequence[str]) -> CallStatus | None:
        try:
            async with asyncio.timeout(PATIENCE_S):
                # One after the other: calls at the same time would share what is measured.
                return cost_of([await self._of_server(ip) for ip in ips])
        except (TritonUnavailable, TimeoutError):
            return None

    async def _of_server(self, ip: str) -> CallTimes:
        server = self._connect(ip, "", "")
        try:
            await _times(server, SMALL_BYTES, OPENING)
            small = await _times(server, SMALL_BYTES, SMALL)
            return CallTimes(small, await _times(server, LARGE_BYTES, LARGE))
        finally:
            await server.close()


async def _times(server: TritonServer, payload_bytes: int, count: int) -> list[float]:
    return [await server.call_s(payload_bytes) for _ in range(count)]
