"""The reference benchmark: the load performance table of the processor that Triton runs on.

It runs in a Job beside the very Triton that would serve (a sidecar in the same pod) and writes
its result to the container's termination message, so that it needs no access to the API server.
Closed loop: one request of the whole batch at a time, the next when the answer is there.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from ferryman.agent.measuring import measurement
from ferryman.agent.measuring.closed_loop import HttpServer
from ferryman.agent.measuring.measurement import Round
from ferryman.api.names import CONTROL_KEY_NAME
from ferryman.api.node_profile import BenchmarkPoint
from ferryman.clients.triton_http import TritonConnection, TritonError, TritonMemoryError

ROUND_S: Final = 1.0
ROUND_REQUESTS: Final = 3
WARM_UP_S: Final = 1.0
#: The rest is for the number of instances.
SWEEP_SHARE: Final = 0.8


@dataclass(frozen=True, slots=True)
class Settings:
    """What to measure; durations in seconds."""

    url: str
    model: str
    max_batch_size: int = 32
    time_limit_s: float = 300.0
    ready_timeout_s: float = 300.0
    max_instances: int = 8
    round_s: float = ROUND_S
    control_key: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """What came out: the rows, and the largest useful number of instances (None: not measured)."""

    points: tuple[BenchmarkPoint, ...]
    max_instances: int | None
    note: str = ""
    """Why the table ends before the largest batch size, if it does."""


class Server(Protocol):
    """The server under measurement; every method may raise TritonError.

    ``play`` raises TritonMemoryError where the batch is what did not fit.
    """

    def largest_batch(self) -> int | None:
        """Return the model's batch size bound; 0 takes no batches, None is not known."""
        ...

    def play(
        self,
        batch_size: int,
        *,
        workers: int,
        least_s: float,
        least_requests: int,
        deadline_s: float,
    ) -> Round:
        """Send requests in a closed loop, at least so long and so many each, until the deadline."""
        ...

    def set_instances(self, count: int) -> None:
        """Run so many instances of the model."""
        ...


Report = Callable[[str], None]
Clock = Callable[[], float]


def measure(
    settings: Settings, server: Server, report: Report, clock: Clock = time.monotonic
) -> Table:
    """Measure the table within the time limit. Raises TritonError when no row could be had."""
    start_s = clock()
    sweep = _Rounds(settings, server, report, clock)
    points, note = sweep.points(start_s + SWEEP_SHARE * settings.time_limit_s)
    best = measurement.peak(points)
    report(f"peak {best.images_per_second:g} images/s at batch size {best.batch_size}")
    return Table(points, sweep.instances(best, start_s + settings.time_limit_s), note)


@dataclass(frozen=True, slots=True)
class _Rounds:
    settings: Settings
    server: Server
    report: Report
    clock: Clock

    def points(self, deadline_s: float) -> tuple[tuple[BenchmarkPoint, ...], str]:
        """Measure batch size after batch size; each may use an equal share of the time left.

        Returns the rows, and why the sweep ended before the largest size ("" where it did not).
        Raises TritonError when not even the first size could be measured, or when a size failed
        for anything but memory.
        """
        sizes = self._sizes()
        points: list[BenchmarkPoint] = []
        for index, size in enumerate(sizes):
            left_s = deadline_s - self.clock()
            if points and left_s <= 0:
                return tuple(points), self._noted(f"time is up before batch size {size}")
            try:
                rounds = self._until_stable(size, 1, self.clock() + left_s / (len(sizes) - index))
            except TritonMemoryError as error:
                if not points:
                    raise
                note = f"batch size {size} does not fit into memory: {error}"
                return tuple(points), self._noted(note)
            points.append(measurement.to_point(size, rounds))
            self.report(_describe(points[-1]))
        return tuple(points), ""

    def _noted(self, note: str) -> str:
        self.report(note)
        return note

    def instances(self, best: BenchmarkPoint, deadline_s: float) -> int | None:
        """Add instances while that raises the throughput; None without model control.

        Each instance has one request in flight, at the batch size of the peak.
        """
        before = 0.0
        for count in range(1, self.settings.max_instances + 1):
            left_s = deadline_s - self.clock()
            if left_s <= 0:
                self.report(f"time is up before {count} instances")
                return None
            try:
                self.server.set_instances(count)
                share_s = left_s / (self.settings.max_instances - count + 1)
                rounds = self._until_stable(best.batch_size, count, self.clock() + share_s)
            except TritonError as error:
                self.report(f"{count} instances cannot be measured: {error}")
                return count - 1 or None
            after = measurement.throughput(rounds)
            self.report(f"{count} instances: {after:.4g} images/s")
            if not measurement.grows(before, after):
                return count - 1
            before = after
        return self.settings.max_instances

    def _sizes(self) -> Sequence[int]:
        largest = self.server.largest_batch()
        bound = self.settings.max_batch_size
        if largest is not None and largest < bound:
            bound = max(1, largest)
            self.report(f"the model's own bound is {largest}")
        return measurement.batch_sizes(bound)

    def _until_stable(self, size: int, workers: int, deadline_s: float) -> list[Round]:
        """Warm up, then repeat rounds until their mean is known or the share of time is spent."""
        self._play(size, workers, WARM_UP_S, 1, deadline_s)
        rounds: list[Round] = []
        while not rounds or (self.clock() < deadline_s and not measurement.is_stable(rounds)):
            rounds.append(
                self._play(size, workers, self.settings.round_s, ROUND_REQUESTS, deadline_s)
            )
        return rounds

    def _play(
        self, size: int, workers: int, least_s: float, least_requests: int, deadline_s: float
    ) -> Round:
        return self.server.play(
            size,
            workers=workers,
            least_s=least_s,
            least_requests=least_requests,
            deadline_s=deadline_s,
        )


def run(settings: Settings, result: Path, report: Report = print) -> int:
    """Measure, write the result, and return the exit status: 1 with an ``error`` in the result."""
    try:
        table = _measure_over_http(settings, report)
        text = measurement.result(table.points, table.max_instances, table.note)
    except (TritonError, ValueError) as error:
        report(f"failed: {error}")
        result.write_text(measurement.failure(str(error)), encoding="utf-8")
        return 1
    result.write_text(text, encoding="utf-8")
    return 0


def _measure_over_http(settings: Settings, report: Report) -> Table:
    headers = {CONTROL_KEY_NAME: settings.control_key} if settings.control_key else {}
    with TritonConnection(settings.url, settings.time_limit_s, headers) as connection:
        report(f"waiting for model {settings.model} at {settings.url}")
        connection.wait_ready(settings.model, settings.ready_timeout_s)
        return measure(settings, HttpServer(connection, settings.model), report)


def _describe(point: BenchmarkPoint) -> str:
    interval = point.images_per_second_half_width
    known = "" if interval is None else f" ± {interval:g}"
    return (
        f"batch size {point.batch_size}: {point.images_per_second:g}{known} images/s, "
        f"p50 {point.latency_p50_milliseconds:g} ms, p99 {point.latency_p99_milliseconds:g} ms, "
        f"{point.ended} after {point.rounds} rounds"
    )
