"""What a computation costs, told so that what else runs does not change the verdict."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable


def cpu_s(action: Callable[[], object], runs: int = 3) -> float:
    """Return the least CPU time of some runs of it on this thread, in seconds.

    The collector does not look through what other tests made while it is measured.
    """
    gc.collect()
    gc.freeze()
    try:
        return min(_once(action) for _ in range(runs))
    finally:
        gc.unfreeze()


def _once(action: Callable[[], object]) -> float:
    began_s = time.thread_time()
    action()
    return time.thread_time() - began_s
