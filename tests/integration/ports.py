"""Loopback ports that no other test run takes between being chosen and being bound.

A free port asked from the kernel is free only until the next connection anywhere on the
machine. These lie below the range that connections use, in blocks leased by a file lock.
"""

from __future__ import annotations

import fcntl
import os
import socket
import tempfile
from pathlib import Path
from typing import IO

FIRST, LAST = 20_000, 32_000  # connections use 32,768 and above on Linux
BLOCK = 4


class PortLease:
    """A few neighbouring free ports, ours until `release` or the end of the process."""

    def __init__(self) -> None:
        """Take the first block that is neither leased nor in use."""
        folder = Path(tempfile.gettempdir()) / f"ferryman-ports-{os.getuid()}"
        folder.mkdir(exist_ok=True)
        for first in range(FIRST, LAST, BLOCK):
            ports = range(first, first + BLOCK)
            if lock := _try_lock(folder / str(first)):
                if all(_is_free(port) for port in ports):
                    self.ports, self._lock = tuple(ports), lock
                    return
                lock.close()
        raise RuntimeError(f"no {BLOCK} free ports between {FIRST} and {LAST}")

    def release(self) -> None:
        """Give the block back; the lock file stays, empty."""
        self._lock.close()


def _try_lock(path: Path) -> IO[str] | None:
    handle = path.open("w")
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        handle.close()
        return None
    return handle


def _is_free(port: int) -> bool:
    """Tell whether a server can bind the port now, on loopback or everywhere."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("", port))
        except OSError:
            return False
    return True
