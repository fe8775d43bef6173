"""The process that sends the load: one for all runs, and a new one after a run that failed."""

import multiprocessing
import signal
from concurrent.futures import ProcessPoolExecutor
from types import TracebackType
from typing import Self

from benchmarks.real import generator


class Sender:
    """A context manager; leaving it ends the process."""

    def __enter__(self) -> Self:
        self.executor = _started()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        _end(self.executor)

    def renew(self) -> None:
        """End what is being sent."""
        _end(self.executor)
        self.executor = _started()


def _started() -> ProcessPoolExecutor:
    # Spawned, not forked: a server's client and its threads must not be inherited.
    executor = ProcessPoolExecutor(
        1, mp_context=multiprocessing.get_context("spawn"), initializer=_leave_interrupts_to_parent
    )
    executor.submit(generator.ready).result()
    return executor


def _end(executor: ProcessPoolExecutor) -> None:
    for process in multiprocessing.active_children():
        process.terminate()
    executor.shutdown(cancel_futures=True)


def _leave_interrupts_to_parent() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
