"""A bound on every execution: CPU time, which a busy machine does not change, and memory."""

from __future__ import annotations

import resource
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

#: Of the address space, beyond what the process has when the first execution begins.
MEMORY_BYTES = 512 * 2**20


class TooSlowError(AssertionError):
    """An execution took longer than its target allows."""


@contextmanager
def bounded(seconds: float) -> Iterator[None]:
    """Raise TooSlowError where what runs inside takes more CPU time than that."""
    began_s = time.thread_time()
    yield
    took_s = time.thread_time() - began_s
    if took_s > seconds:
        raise TooSlowError(f"{took_s:.2f} s of CPU time, {seconds} s at most")


def bound_memory() -> None:
    """Have what takes more memory from here on fail with MemoryError."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * resource.getpagesize() + MEMORY_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (most, resource.getrlimit(resource.RLIMIT_AS)[1]))


@contextmanager
def interrupted(seconds: int) -> Iterator[None]:
    """Interrupt what does not end at all, with the traceback of where it is."""

    def stop(*_: object) -> None:
        raise TooSlowError(f"it has not ended after {seconds} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
