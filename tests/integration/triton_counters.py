"""Read the counters of a Triton server when they are complete."""

from __future__ import annotations

import asyncio

import pytest

from ferryman.api.statistics import Statistics

PAUSE_S = 0.1
#: On a busy machine a thread that is to count can wait for longer than one pause.
UNCHANGED_READINGS = 3
READINGS = 40


async def settled(client):
    """Return the counters once they stand still: Triton counts a request after its answer."""
    found, unchanged = await client.statistics(), 0
    for _ in range(READINGS):
        await asyncio.sleep(PAUSE_S)
        before, found = found, await client.statistics()
        unchanged = unchanged + 1 if counted(before) == counted(found) else 0
        if unchanged == UNCHANGED_READINGS:
            return found
    return pytest.fail(f"the counters do not stand still: {found}")


def counted(found: Statistics):
    return found.success_count, found.failure_count, found.rejected_count, found.batches
