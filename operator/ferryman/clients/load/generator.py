"""An open-loop load generator: it sends when it is due, however slow the answers are.

A closed loop (the next request after the last answer) slows down with its server and so hides
the waiting that real clients would see. Here send times are fixed before the run, latency counts
from the intended time, and a request that cannot be sent is a failure, not an omission.
"""

import asyncio
import contextlib
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import cycle
from typing import Any, Final

import aiohttp
import numpy as np

from ferryman.clients import inference
from ferryman.clients.inference import AnswerInvalid, Request, Signature
from ferryman.clients.load.arrivals import Arrivals, send_times_s
from ferryman.clients.load.report import Figures, Interval, Outcome, Record, Summary

INTERVAL_S: Final = 1.0
METADATA_TIMEOUT_S: Final = 10.0
#: aiohttp warns of larger bodies unless they come as a stream.
_LARGE_BODY_BYTES: Final = 2**20
_MAX_DETAIL_CHARACTERS: Final = 200
_SHORT_WAIT_S: Final = 0.2


class TargetUnavailable(Exception):  # noqa: N818  the name states the finding
    """The server does not answer, or does not serve the model."""


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
    due_s: tuple[float, ...] = ()
    """When each request is due, ascending, in place of rate, arrivals and seed."""
    new_connections: bool = False
    """Each request opens a connection of its own: a Service balances connections."""

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


async def signature_of(url: str, model: str) -> Signature:
    """Ask a server for a model's inputs and outputs; raises TargetUnavailable."""
    timeout = aiohttp.ClientTimeout(total=METADATA_TIMEOUT_S)
    try:
        async with aiohttp.ClientSession(timeout=timeout) as http:
            async with http.get(f"{url}/v2/models/{model}") as answer:
                if answer.status != 200:  # noqa: PLR2004  OK
                    words = (await answer.text())[:_MAX_DETAIL_CHARACTERS]
                    raise TargetUnavailable(
                        f"{url} does not serve {model}: {answer.status} {words}"
                    )
                signature = Signature.from_metadata(await answer.json(content_type=None))
            return replace(signature, max_batch_size=await _max_batch_size(http, url, model))
    except (aiohttp.ClientError, TimeoutError, ValueError, KeyError) as error:
        raise TargetUnavailable(f"{url} does not answer: {_words(error)}") from error


async def _max_batch_size(http: aiohttp.ClientSession, url: str, model: str) -> int | None:
    """Return what the configuration says; None where the server keeps that to itself."""
    async with http.get(f"{url}/v2/models/{model}/config") as answer:
        if answer.status != 200:  # noqa: PLR2004  OK
            return None
        return int((await answer.json(content_type=None)).get("max_batch_size", 0))


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
    # Without a limit of connections: our own bound decides, and says so.
    connector = aiohttp.TCPConnector(limit=0, force_close=settings.new_connections)
    timeout = aiohttp.ClientTimeout(total=None)  # each request has its own deadline
    async with aiohttp.ClientSession(
        connector=connector, timeout=timeout, auto_decompress=False
    ) as http:
        generator = _Generator(http, f"{url}/v2/models/{model}/infer", settings)
        ticker = asyncio.create_task(generator.report_every_second(on_interval))
        try:
            await generator.send_all(requests, stop or asyncio.Event())
        finally:
            ticker.cancel()
            await generator.abandon()
        on_interval(generator.last_interval())
        return generator.result()


class _Generator:
    """One run over one HTTP session."""

    def __init__(self, http: aiohttp.ClientSession, url: str, settings: LoadSettings) -> None:
        self._http = http
        self._url = url
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
        except (aiohttp.ClientError, OSError) as error:
            self._note(due_s, Outcome.CONNECTION, _words(error))
        except AnswerInvalid as error:
            self._note(due_s, Outcome.INVALID, _words(error))
        finally:
            self._account.in_flight -= 1

    async def _ask(self, due_s: float, request: Request) -> None:
        body: Any = (
            request.body if len(request.body) < _LARGE_BODY_BYTES else io.BytesIO(request.body)
        )
        async with self._http.post(self._url, data=body, headers=request.headers) as answer:
            content = await answer.read()
            if answer.status != 200:  # noqa: PLR2004  OK
                words = content[:_MAX_DETAIL_CHARACTERS].decode(errors="replace")
                self._note(due_s, Outcome.REFUSED, f"{answer.status} {words}")
                return
            finished_s = self._now_s()
            outputs = inference.read_answer(content, answer.headers.get(inference.HEADER_LENGTH))
        rows, correct = _compared(outputs, request)
        self._account.records.append(
            Record(due_s, finished_s, Outcome.OK, rows=rows, correct=correct)
        )

    def _note(self, due_s: float, outcome: Outcome, detail: str) -> None:
        self._account.records.append(Record(due_s, self._now_s(), outcome, detail))

    def _now_s(self) -> float:
        return self._loop.time() - self._start_s


def _compared(outputs: dict[str, inference.Array], request: Request) -> tuple[int, int]:
    if request.expected_labels is None:
        return 0, 0
    try:
        (output,) = outputs.values()
        found = inference.predicted_labels(output)
    except (ValueError, IndexError) as error:
        raise AnswerInvalid(f"no labels in the answer: {error}") from error
    if len(found) != len(request.expected_labels):
        raise AnswerInvalid(f"{len(found)} labels for {len(request.expected_labels)} rows")
    return len(found), int(np.count_nonzero(found == request.expected_labels))


def _words(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:_MAX_DETAIL_CHARACTERS]
