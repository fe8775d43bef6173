"""One operator of several acts; the others stand by.

Whoever leads may write for a while after each renewal of its Lease, and no longer: what holds
back writes is the time since the last renewal that succeeded, not whether anybody noticed that one
failed. An operator that is cut off from the API server, or held up itself, keeps what it has
learned and goes on where it stopped once the Lease is renewed. Only when another one took the Lease
is its turn over.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from ferryman.clients.kubernetes_errors import ConflictError, KubernetesError
from ferryman.clients.leases import Leases
from ferryman.core.election import RENEW_EVERY_S, WRITES_FOR_S, Lease, Sighting, claimed

_log = logging.getLogger(__name__)

LEASE: Final = "ferryman-operator"
#: A question that takes longer is asked anew.
ANSWER_WITHIN_S: Final = 5.0
#: A renewal that was under way at the end may come in between once, hardly twice.
GIVE_BACK_TRIES: Final = 3


@dataclass
class Leadership:
    """Asks for the Lease, renews it, and knows until when this operator may write."""

    leases: Leases
    identity: str
    clock: Callable[[], float]
    """Seconds; never goes back."""
    now: Callable[[], datetime]
    leads: asyncio.Event = field(default_factory=asyncio.Event)
    """Set while it is this operator's turn."""
    lost: asyncio.Event = field(default_factory=asyncio.Event)
    """Set while it is not."""
    hindrance: str | None = "the Lease was not asked for yet"
    """Why it is not known whose turn it is; None where that is known."""
    _seen: Sighting | None = None
    _writes_until_s: float = float("-inf")

    def __post_init__(self) -> None:
        self.lost.set()

    def may_write_for_s(self) -> float:
        """Return for how many seconds from now this operator may write; not at all below 0."""
        return self._writes_until_s - self.clock()

    def holder(self) -> str:
        """Return who leads, as far as is known."""
        return self._seen.lease.holder if self._seen and self._seen.lease.holder else "nobody"

    async def run(self) -> None:
        """Take part until cancelled."""
        while True:
            try:
                async with asyncio.timeout(ANSWER_WITHIN_S):
                    await self._take_part()
            except (KubernetesError, TimeoutError) as error:
                self._failed(str(error) or f"no answer within {ANSWER_WITHIN_S:.0f} s")
            else:
                self.hindrance = None
            await asyncio.sleep(RENEW_EVERY_S)

    @asynccontextmanager
    async def taking_part(self) -> AsyncIterator[None]:
        """Take part while the block runs; at its end the Lease is given back."""
        task = asyncio.create_task(self.run(), name="leadership")
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait([task])
            await self.release()

    async def release(self) -> None:
        """Give the Lease back, so that the next one need not wait until it lapses."""
        if not self.leads.is_set():
            return
        self._writes_until_s = float("-inf")
        with suppress(KubernetesError, TimeoutError):  # then it lapses
            async with asyncio.timeout(ANSWER_WITHIN_S):
                await self._give_back()

    async def _give_back(self) -> None:
        """Ask what the Lease is now: a renewal that nobody waits for may have changed it."""
        for _ in range(GIVE_BACK_TRIES):
            found = await self.leases.read()
            lease = Lease.of(found) if found is not None else None
            if lease is None or lease.holder != self.identity:
                return
            with suppress(ConflictError):
                await self.leases.change(lease.version, {"holderIdentity": ""})
                return

    async def _take_part(self) -> None:
        """Look at the Lease, and take or renew it where it may be taken."""
        asked_s = self.clock()
        found = await self.leases.read()
        lease = Lease.of(found) if found is not None else None
        if lease is not None:
            before = self._seen or Sighting(lease, asked_s)
            self._seen = before.again(lease, asked_s)
            if not self._seen.may_be_taken(self.identity, asked_s):
                self._stand_by(lease.holder)
                return
        await self._claim(lease)

    async def _claim(self, lease: Lease | None) -> None:
        asked_s, spec = self.clock(), claimed(lease, self.identity, self.now())
        try:
            written = (
                await self.leases.create(spec)
                if lease is None
                else await self.leases.change(lease.version, spec)
            )
        except ConflictError:  # somebody was faster; the next look says who
            return
        self._seen = Sighting(Lease.of(written), asked_s)
        self._writes_until_s = asked_s + WRITES_FOR_S
        if not self.leads.is_set():
            _log.info("this operator leads", extra={"lease": LEASE, "identity": self.identity})
            self.leads.set()
            self.lost.clear()

    def _stand_by(self, holder: str) -> None:
        self._writes_until_s = float("-inf")
        if self.leads.is_set():
            extra = {"lease": LEASE, "holder": holder}
            _log.warning("another operator leads; this one stands by", extra=extra)
            self.leads.clear()
            self.lost.set()
        elif self.hindrance is not None:
            _log.info("another operator leads", extra={"lease": LEASE, "holder": holder})

    def _failed(self, why: str) -> None:
        if self.hindrance != why:
            _log.warning("the Lease was not renewed or read", extra={"lease": LEASE, "why": why})
        self.hindrance = why
