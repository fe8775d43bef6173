"""The load of one run, sent from a process of its own: nothing else delays it.

It alone knows when requests are due. Clocks are the machine's monotonic one, which all processes
of a machine share (Linux).
"""

import asyncio
import time
from dataclasses import dataclass
from typing import Final

from ferryman.clients import load_inputs
from ferryman.clients.load import generator as load
from ferryman.clients.load.generator import LoadSettings
from ferryman.clients.load.report import Record

#: From the intended send time; a request that is not answered by then has failed.
DEADLINE_S: Final = 5.0
#: More than can be due within the deadline in any scenario.
MAX_IN_FLIGHT: Final = 8_192
WARM_UP: Final = LoadSettings(rate_per_s=20, duration_s=0.5, arrivals="constant")


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be sent, and when."""

    url: str
    model: str
    due_s: tuple[float, ...]
    """After the start."""
    duration_s: float
    start_at_s: float
    """On the monotonic clock."""
    seed: int
    """Of the inputs."""


@dataclass(frozen=True, slots=True)
class Sent:
    """What became of every request; its times are from ``began_s`` on."""

    began_s: float
    """On the monotonic clock; later than ordered where the machine was too slow."""
    records: tuple[Record, ...]


def ready() -> bool:
    """Answer when the process has started and loaded what it needs."""
    return True


def send(order: Order) -> Sent:
    """Send everything and wait for the answers; raises TargetUnavailable."""
    return asyncio.run(_send(order))


async def _send(order: Order) -> Sent:
    signature = await load.signature_of(order.url, order.model)
    requests = load_inputs.random_requests(signature, 1, order.seed)
    await load.run(order.url, order.model, requests, WARM_UP)
    settings = LoadSettings(
        rate_per_s=max(1, len(order.due_s)) / order.duration_s,
        duration_s=order.duration_s,
        deadline_s=DEADLINE_S,
        max_in_flight=MAX_IN_FLIGHT,
        due_s=order.due_s,
    )
    await asyncio.sleep(max(0.0, order.start_at_s - time.monotonic()))
    began_s = time.monotonic()
    result = await load.run(order.url, order.model, requests, settings)
    return Sent(began_s, result.records)
