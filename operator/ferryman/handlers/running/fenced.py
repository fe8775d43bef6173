"""A Triton server that is asked by every operator, and changed by the one that leads alone."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ferryman.api.batching import Batching
from ferryman.api.statistics import ServerModel, Statistics
from ferryman.clients.triton import TritonServer, TritonUnavailable


@dataclass(frozen=True, slots=True)
class FencedServer:
    """A ``TritonServer`` whose changes raise TritonUnavailable while they are not allowed."""

    server: TritonServer
    may_write_for_s: Callable[[], float]

    async def model(self) -> ServerModel:
        """Ask."""
        return await self.server.model()

    async def statistics(self) -> Statistics:
        """Ask."""
        return await self.server.statistics()

    async def configuration(self) -> dict[str, Any]:
        """Ask."""
        return await self.server.configuration()

    async def call_s(self, payload_bytes: int) -> float:
        """Ask."""
        return await self.server.call_s(payload_bytes)

    async def apply_batching(self, batching: Batching, *, config_pbtxt: str | None = None) -> None:
        """Change, where this operator leads."""
        self._check()
        await self.server.apply_batching(batching, config_pbtxt=config_pbtxt)

    async def load(
        self, config_pbtxt: str, *, within_s: float | None = None, more_than: int | None = None
    ) -> None:
        """Change, where this operator leads."""
        self._check()
        await self.server.load(config_pbtxt, within_s=within_s, more_than=more_than)

    async def infer(self, request: bytes, *, within_s: float) -> None:
        """Send a request, where this operator leads: no two measure at once."""
        self._check()
        await self.server.infer(request, within_s=within_s)

    async def close(self) -> None:
        """Close the connections."""
        await self.server.close()

    def _check(self) -> None:
        if self.may_write_for_s() <= 0:
            raise TritonUnavailable("not done: this operator does not lead now")
