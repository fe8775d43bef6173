"""`ferryman operator` that is killed at a write of one's choice: nothing of it is cleaned up.

A write is one that changes a pipeline, what it renders, or a model on a server. DIE_AT is the
number of the write, counted from 1, and DIE_WHEN says whether it dies "before" the write is sent
or "after" it was answered; every write is told to the file that WRITES names.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

from ferryman.cli import main
from ferryman.clients.control.loads import Loads
from ferryman.clients.kubernetes_transport import Request, Transport

#: What comes and goes whatever becomes of a pipeline.
_ASIDE = {"Lease", "Event", "Secret", "Job", "NodeProfile"}

T = TypeVar("T")


class _Writes:
    """Counts writes, and ends the process at one of them."""

    def __init__(self, die_at: int, when: str, told: Path) -> None:
        self._die_at, self._when, self._told = die_at, when, told
        self._count = 0

    async def made(self, what: str, write: Callable[[], Awaitable[T]]) -> T:
        """Make a write, unless this is where it ends."""
        self._count += 1
        number = self._count
        with self._told.open("a") as told:
            told.write(f"{number} {what}\n")
        self._end_if("before", number)
        answer = await write()
        self._end_if("after", number)
        return answer

    def _end_if(self, when: str, number: int) -> None:
        if (when, number) == (self._when, self._die_at):
            os.kill(os.getpid(), signal.SIGKILL)


def _watch(writes: _Writes) -> None:
    """Have all writes counted."""
    send, carry_out = Transport._send_once, Loads.carry_out

    async def sent(self: Transport, request: Request) -> Any:
        if request.method == "GET" or request.kind in _ASIDE:
            return await send(self, request)
        return await writes.made(f"{request.verb} {request.kind}", lambda: send(self, request))

    async def carried_out(self: Loads, *arguments: Any, **named: Any) -> Any:
        return await writes.made("load", lambda: carry_out(self, *arguments, **named))

    Transport._send_once, Loads.carry_out = sent, carried_out  # type: ignore[method-assign]


if __name__ == "__main__":
    environment = os.environ
    _watch(
        _Writes(int(environment["DIE_AT"]), environment["DIE_WHEN"], Path(environment["WRITES"]))
    )
    sys.exit(main.main(sys.argv[1:]))
