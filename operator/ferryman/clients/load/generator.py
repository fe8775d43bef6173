"""An open-loop load generator: it sends when it is due, however slow the answers are.

A closed loop (the next request after the last answer) slows down with its server and so hides
the waiting that real clients would see. Here send times are fixed before the run, latency counts
from the intended time, and a request that cannot be sent is a failure, not an omission.
"""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import cycle
from typing import Final, Literal

import numpy as np

from ferryman.clients import inference
from ferryman.clients.inference import AnswerInvalid, Request
from ferryman.clients.load import characters, transports
from ferryman.clients.load.arrivals import Arrivals, send_times_s
from ferryman.clients.load.report import Figures, Interval, Outcome, Record, Summary
from ferryman.clients.load.transports import (
    ConnectionLost,
    RequestRefused,
    TargetUnavailable,
    Transport,
    signature_of,
    words,
)

__all__ = ["LoadResult", "LoadSettings", "TargetUnavailable", "run", "signature_of"]

INTERVAL_S: Final = 1.0
_SHORT_WAIT_S: Final = 0.2


@dataclass(frozen=True, slots=True)
class LoadSettings:
    """What is sent, and what counts as an answer in time."""

    rate_per_s: float
    duration_s: float
    arrivals: Arrivals = "poisson"
    seed: int = 0
    deadline_s: float = 5.0
    """From the intended send time; a later answer is a failed request."""
    max_in_flight: int = 1_024
    clients: int = 1
    """As many take turns. Each has connections of its own: over gRPC one, over HTTP as needed."""
    due_s: tuple[float, ...] = ()
    """When each request is due, ascending, in place of rate, arrivals and seed."""
    new_connections: bool = False
    """Each request opens a connection of its own: a Service balances connections."""
    keepalive_s: float | None = None
    """Over gRPC, a connection on which nothing came for so long is asked whether it is alive."""
    compare: Literal["labels", "characters"] = "labels"
    """What counts as right: a whole label, or of a text the share of characters."""

    def schedule_s(self) -> tuple[float, ...]:
        """Return the intended send times; raises ValueError as ``send_times_s`` does."""
        if self.due_s:
            return self.due_s
        drawn = send_times_s(self.rate_per_s, self.duration_s, self.arrivals, self.seed)
        return tuple(drawn.tolist())


@dataclass(slots=True)
class _Account:
    """What has happened so far; the only mutable state of a run."""

    records: list[Record] = field(default_factory=list)
    due: int = 0
    in_flight: int = 0
    reported: int = 0
    reported_due: int = 0

    def interval(self, t_s: float) -> Interval:
        """Close the interval that ends now."""
        fresh = self.records[self.reported :]
        sent = self.due - self.reported_due
        self.reported, self.reported_due = len(self.records), self.due
        return Interval(t_s, sent, self.in_flight, Figures.of(fresh))


@dataclass(frozen=True, slots=True)
class LoadResult:
    """Every request of a run, and the run in figures."""

    records: tuple[Record, ...]
    summary: Summary


async def run(
    url: str,
    model: str,
    requests: Sequence[Request],
    settings: LoadSettings,
    *,
    on_interval: Callable[[Interval], None] = lambda _: None,
    stop: asyncio.Event | None = None,
) -> LoadResult:
    """Send the requests in turn for the settings' duration and account for every one.

    ``on_interval`` is called once a second. Setting ``stop`` ends the sending early; what is in
    flight is still waited for, at most for the deadline.
    """
    async with transports.opened(
        url,
        model,
        settings.clients,
        new_connections=settings.new_connections,
        keepalive_s=settings.keepalive_s,
    ) as transport:
        generator = _Generator(transport, settings)
        ticker = asyncio.create_task(generator.report_every_second(on_interval))
        try:
            await generator.send_all(requests, stop or asyncio.Event())
        finally:
            ticker.cancel()
            await generator.abandon()
        on_interval(generator.last_interval())
        return generator.result()


class _Generator:
    """One run over one transport."""

    def __init__(self, transport: Transport, settings: LoadSettings) -> None:
        self._transport = transport
        self._settings = settings
        self._account = _Account()
        self._loop = asyncio.get_running_loop()
        self._start_s = self._loop.time()
        self._offered_s = settings.duration_s
        self._tasks: set[asyncio.Task[None]] = set()
        self._defects: list[BaseException] = []

    async def send_all(self, requests: Sequence[Request], stop: asyncio.Event) -> None:
        """Send everything that is due, then wait for the answers."""
        for due_s, request in zip(self._settings.schedule_s(), cycle(requests), strict=False):
            await self._until(due_s, stop)
            if stop.is_set():
                self._offered_s = min(self._now_s(), self._settings.duration_s)
                break
            self._send(due_s, request)
        while self._tasks:
            await asyncio.wait(self._tasks)
        if self._defects:
            raise self._defects[0]

    async def _until(self, due_s: float, stop: asyncio.Event) -> None:
        """Wait until it is due, or until the stop where that is long enough to matter."""
        wait_s = due_s - self._now_s()
        if 0 < wait_s <= _SHORT_WAIT_S:
            await asyncio.sleep(wait_s)
        elif wait_s > 0:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), wait_s)

    async def abandon(self) -> None:
        """Cancel what is still in flight (only after an error or a cancellation)."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def report_every_second(self, on_interval: Callable[[Interval], None]) -> None:
        """Report until cancelled, on the clock of the run."""
        t_s = INTERVAL_S
        while True:
            await asyncio.sleep(t_s - self._now_s())
            on_interval(self._account.interval(t_s))
            t_s += INTERVAL_S

    def last_interval(self) -> Interval:
        """Close the last, perhaps shorter, interval."""
        return self._account.interval(self._now_s())

    def result(self) -> LoadResult:
        """Return the account of the whole run."""
        records = tuple(self._account.records)
        return LoadResult(records, Summary.of(records, self._offered_s))

    def _send(self, due_s: float, request: Request) -> None:
        account, plan = self._account, self._settings
        account.due += 1
        if account.in_flight >= plan.max_in_flight:
            self._note(due_s, Outcome.NOT_SENT, f"{account.in_flight} requests were in flight")
        elif self._now_s() >= due_s + plan.deadline_s:
            self._note(due_s, Outcome.NOT_SENT, "the generator was late by more than the deadline")
        else:
            account.in_flight += 1
            task = self._loop.create_task(self._exchange(due_s, request))
            self._tasks.add(task)
            task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        """Let no request vanish: an error that is no outcome ends the run."""
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._defects.append(error)

    async def _exchange(self, due_s: float, request: Request) -> None:
        try:
            async with asyncio.timeout_at(self._start_s + due_s + self._settings.deadline_s):
                await self._ask(due_s, request)
        except TimeoutError:
            self._note(due_s, Outcome.DEADLINE, f"no answer in {self._settings.deadline_s} s")
        except ConnectionLost as error:
            self._note(due_s, Outcome.CONNECTION, str(error))
        except RequestRefused as error:
            self._note(due_s, Outcome.REFUSED, str(error))
        except AnswerInvalid as error:
            self._note(due_s, Outcome.INVALID, words(error))
        finally:
            self._account.in_flight -= 1

    async def _ask(self, due_s: float, request: Request) -> None:
        outputs = await self._transport.ask(request)
        finished_s = self._now_s()
        rows, correct = _compared(outputs(), request, self._settings.compare)
        self._account.records.append(
            Record(due_s, finished_s, Outcome.OK, rows=rows, correct=correct)
        )

    def _note(self, due_s: float, outcome: Outcome, detail: str) -> None:
        self._account.records.append(Record(due_s, self._now_s(), outcome, detail))

    def _now_s(self) -> float:
        return self._loop.time() - self._start_s


def _compared(
    outputs: dict[str, inference.Array], request: Request, by: Literal["labels", "characters"]
) -> tuple[int, float]:
    """Return how many rows were compared, and how many of them are right."""
    if request.expected_labels is None:
        return 0, 0
    try:
        (output,) = outputs.values()
        found = inference.predicted_labels(output)
    except (ValueError, IndexError) as error:
        raise AnswerInvalid(f"no labels in the answer: {error}") from error
    if len(found) != len(request.expected_labels):
        raise AnswerInvalid(f"{len(found)} labels for {len(request.expected_labels)} rows")
    if by == "characters":
        pairs = zip(map(str, request.expected_labels), map(str, found), strict=True)
        return len(found), sum(characters.accuracy(*pair) for pair in pairs)
    return len(found), int(np.count_nonzero(found == request.expected_labels))
