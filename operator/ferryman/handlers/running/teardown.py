"""The end of a session: whatever kopf started ends within a bound, or is left behind.

kopf cancels the tasks of a session once and waits for as long as they take. A watcher that is
cancelled waits for its workers' scheduler to close, which needs tasks of its own: where those were
cancelled first, it waits for ever, and nothing of the cluster is seen any more.
"""

import asyncio
import logging
from collections.abc import Collection
from typing import Any, Final

import kopf

_log = logging.getLogger(__name__)

#: kopf gives handlers 5 s to end; what is cancelled then ends at once, or not at all.
PATIENCE_S: Final = 15.0
#: So many times, a second apart, everything is cancelled again: each wait that ignores it ends.
ROUNDS: Final = 10
ROUND_S: Final = 1.0

Tasks = Collection[asyncio.Task[Any]]


class HungError(Exception):
    """Tasks of a session that is over do not end: they are left behind."""


class CutOffError(Exception):
    """kopf's own end was cut off, by us or because it is to stop soon."""


async def run_to_end(tasks: Tasks, ignored: Tasks, over: asyncio.Event) -> None:
    """Run kopf's tasks until one of them ends or ``over`` is set, and then end them all.

    ``ignored`` are the tasks that are none of the session's. Raises what ended kopf, CutOffError
    if that did not end by itself, and HungError if something is left that cannot be ended.
    """
    running = asyncio.create_task(kopf.run_tasks(tasks, ignored=ignored), name="kopf")
    told = asyncio.create_task(over.wait(), name="the session is over")
    try:
        await asyncio.wait({running, told, *tasks}, return_when=asyncio.FIRST_COMPLETED)
        await asyncio.wait({running}, timeout=PATIENCE_S)
    finally:
        told.cancel()
        if not running.done():
            await _end(running, ignored)
    if running.cancelled():
        raise CutOffError("the session was ended by force")
    running.result()


async def wait_for_end(tasks: Tasks) -> None:
    """Wait for tasks that were cancelled; say which had failed before, or do not end."""
    if not tasks:
        return
    ended, hanging = await asyncio.wait(tasks, timeout=PATIENCE_S)
    for task in ended:
        if not task.cancelled() and (error := task.exception()):
            _log.error("a task had ended", exc_info=error)
    for task in hanging:
        _log.error("a task does not end", extra={"task": task.get_name()})


async def _end(running: asyncio.Task[None], ignored: Tasks) -> None:
    """Cancel everything again and again until it ends."""
    for _ in range(ROUNDS):
        left = _left(running, ignored)
        if not left:
            running.cancel()
        for task in left:
            task.cancel()
        await asyncio.wait({running, *left}, timeout=ROUND_S)
        if running.done() and not _left(running, ignored):
            return
    left = _left(running, ignored)
    running.cancel()
    names = sorted(task.get_name() for task in left)
    _log.error("tasks of a session do not end", extra={"tasks": names[:10], "all": len(names)})
    raise HungError(f"{len(left)} tasks of a session that is over do not end")


def _left(running: asyncio.Task[None], ignored: Tasks) -> set[asyncio.Task[Any]]:
    apart = {running, asyncio.current_task(), *ignored}
    return {task for task in asyncio.all_tasks() if task not in apart}
