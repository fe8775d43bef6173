"""Twice as many requests as a pipeline can answer: all are answered, the accepted ones in time.

Steps reject what has waited for longer than their part of the latency budget lets it. What the
pipeline can answer is measured before, on the same server, with clients that wait for answers:
more than there are workers, and too few for waits to come near their limits.
"""

import asyncio
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks.pipelines import shapes
from benchmarks.pipelines.client import Answer, Client
from tests.integration.tritonserver import TritonServer

#: A chain whose second step limits.
SECONDS: Final = (0.010, 0.040, 0.010)
INSTANCES: Final = (2, 4, 2)
TARGET_MS: Final = 400
OVERLOAD: Final = 2.0
#: How long what can be answered is measured, and how long it is exceeded.
CAPACITY_S: Final = 10.0
OVERLOADED_S: Final = 60.0
#: As Triton words it (PolicyQueue).
REJECTED: Final = "Request timeout expired"
CLIENTS: Final = 2 * sum(INSTANCES)


@dataclass(frozen=True)
class Overload:
    """What became of the requests."""

    capacity_per_s: float
    sent: int
    accepted: int
    rejected: int
    otherwise: int
    """Neither answered nor turned away: there is to be none."""
    goodput_share: float
    """Of what can be answered."""
    p99_ms: float
    """Of what was accepted."""
    limits_us: dict[str, int]
    """How long requests may wait for each step."""


def run(overloaded_s: float = OVERLOADED_S, capacity_s: float = CAPACITY_S) -> dict[str, Any]:
    """Measure once, on a server of its own."""
    shape = shapes.chain("chain", SECONDS, INSTANCES)
    with tempfile.TemporaryDirectory() as folder:
        shapes.write(shape, Path(folder))
        limits_us = shapes.limit_waits(shape, Path(folder), TARGET_MS)
        with TritonServer(Path(folder), models=[shape.name]) as server:
            found = asyncio.run(_measure(server.grpc_url, shape, overloaded_s, capacity_s))
    capacity_per_s, answers = found
    return vars(_outcome(answers, capacity_per_s, overloaded_s, limits_us))


async def _measure(
    address: str, shape: shapes.Shape, overloaded_s: float, capacity_s: float
) -> tuple[float, list[Answer]]:
    async with Client(address, shape) as client:
        capacity_per_s = await _capacity_per_s(client, capacity_s)
        return capacity_per_s, await _overload(client, OVERLOAD * capacity_per_s, overloaded_s)


async def _capacity_per_s(client: Client, seconds: float) -> float:
    began_s, answers = time.monotonic(), list[Answer]()

    async def one() -> None:
        while time.monotonic() < began_s + seconds:
            answers.append(await client.ask())

    await asyncio.gather(*(one() for _ in range(CLIENTS)))
    accepted = [answer for answer in answers if not answer.failure]
    return len(accepted) / (time.monotonic() - began_s)


async def _overload(client: Client, per_s: float, seconds: float) -> list[Answer]:
    """Send so many a second, whatever becomes of them."""
    began_s, asked = time.monotonic(), list[asyncio.Task[Answer]]()
    for number in range(round(per_s * seconds)):
        await asyncio.sleep(max(0.0, began_s + number / per_s - time.monotonic()))
        asked.append(asyncio.create_task(client.ask()))
    return list(await asyncio.gather(*asked))


def _outcome(
    answers: list[Answer], capacity_per_s: float, seconds: float, limits_us: dict[str, int]
) -> Overload:
    accepted = [answer for answer in answers if not answer.failure]
    rejected = sum(REJECTED in answer.failure for answer in answers)
    taken_s = max(seconds, max(answer.done_s for answer in answers) - answers[0].sent_s)
    return Overload(
        capacity_per_s=capacity_per_s,
        sent=len(answers),
        accepted=len(accepted),
        rejected=rejected,
        otherwise=len(answers) - len(accepted) - rejected,
        goodput_share=len(accepted) / taken_s / capacity_per_s,
        p99_ms=1e3 * float(np.percentile([answer.took_s for answer in accepted], 99)),
        limits_us=limits_us,
    )
