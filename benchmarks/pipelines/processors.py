"""Processor time of a server and of all processes that it started, Linux."""

import os
from pathlib import Path

#: Fields of /proc/PID/stat after the name: session, and times in user and system mode.
_SESSION, _USER, _SYSTEM = 3, 11, 12


def used_s(session: int) -> float:
    """Return the processor seconds of all running processes of a session.

    A server of the tests begins a session of its own. What processes used that have ended, as
    withdrawn workers have, is not in it: the figure may fall.
    """
    ticks = sum(
        int(fields[_USER]) + int(fields[_SYSTEM])
        for fields in _stats()
        if int(fields[_SESSION]) == session
    )
    return ticks / os.sysconf("SC_CLK_TCK")


def _stats() -> list[list[str]]:
    found = []
    for file in Path("/proc").glob("[0-9]*/stat"):
        try:
            text = file.read_text()
        except OSError:  # it has ended
            continue
        found.append(text.rpartition(")")[2].split())
    return found
