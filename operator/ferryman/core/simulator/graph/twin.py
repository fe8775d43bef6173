"""The digital twin of an ensemble: a discrete-event model of a graph of steps on one server.

A request enters all steps that read nothing but it at once. Each step is a queue, first in, first
out, before its instances: an idle one takes at once what waits, up to the bound (the rule of
queue_model/queueing.py for delay 0), but a request is never divided. A step that reads several
waits for the last of them, and a request is answered when all steps have run. Running batches
share the processors (processors.py).

Not modelled: queue delays, preferred sizes and queue policies, what an ensemble adds for each step
(about 0.25 ms), that a shrink under saturation waits for an empty queue, and that the ensemble's
own statistics begin anew with a change of instances, which are discarded with their window anyway.

All times are in seconds. Everything is deterministic.
"""

from collections import deque
from dataclasses import dataclass, field, replace

from ferryman.api.batching import Batching
from ferryman.core.balancing.state import Assignment
from ferryman.core.observation.pipeline_window import PipelineReading
from ferryman.core.simulator.graph.counters import ModelCounters
from ferryman.core.simulator.graph.processors import Processors, Running
from ferryman.core.simulator.graph.steps import (
    Answered,
    PipelineLoad,
    SimulatedPipeline,
    SimulatedStep,
)

#: The one pod, in readings.
POD = "pod-0"


@dataclass(slots=True)
class _Station:
    """A step as it runs."""

    step: SimulatedStep
    batching: Batching
    readers: tuple[str, ...]
    busy: int = 0
    queue: deque[tuple[int, float]] = field(default_factory=deque)
    """Requests that wait, and since when."""
    counters: ModelCounters = field(default_factory=ModelCounters)


@dataclass(slots=True)
class _Request:
    arrived_s: float
    is_clients: bool
    """Whether a client waits for it to send its next."""
    open_steps: int
    waits_for: dict[str, int]
    """Step -> the steps that it reads which have not run yet."""
    queued_s: dict[str, float] = field(default_factory=dict)
    """Step that runs -> since when it waited for it."""


class PipelineTwin:
    """A pipeline as it goes through a run."""

    def __init__(self, pipeline: SimulatedPipeline, load: PipelineLoad, start: Assignment) -> None:
        """Begin at 0, with nothing under way."""
        self.now_s = 0.0
        self.served: list[tuple[float, float]] = []
        self.cpu_s = 0.0
        self._counters = ModelCounters()
        self._processors = Processors(pipeline.processors)
        self._waits_for = {step.name: len(step.after) for step in pipeline.steps}
        self._stations = {
            step.name: _Station(
                step,
                start[step.name],
                tuple(each.name for each in pipeline.steps if step.name in each.after),
            )
            for step in pipeline.steps
        }
        self._requests: dict[int, _Request] = {}
        self._sent = 0
        self._arrivals = deque((at_s, False) for at_s in load.arrivals_s)
        self._arrivals.extendleft((0.0, True) for _ in range(load.clients))

    @property
    def is_idle(self) -> bool:
        """Whether nothing is under way, and nothing will arrive."""
        return not self._requests and not self._arrivals

    def run(self, until_s: float) -> None:
        """Let all happen that happens up to a moment."""
        while (next_s := self._next_s()) <= until_s and not self.is_idle:
            self.now_s = next_s
            while self._processors.next_end_s() <= next_s:
                self._end_batch()
            while self._arrivals and self._arrivals[0][0] <= next_s:
                self._arrive(*self._arrivals.popleft())
            for station in self._stations.values():
                self._begin_batches(station)
        self.now_s = max(self.now_s, until_s) if until_s < float("inf") else self.now_s

    def change(self, assignment: Assignment, at_s: float) -> None:
        """Put instances and bounds in force; instances that are too many finish their batch."""
        self.run(at_s)
        for name, batching in assignment.items():
            station = self._stations[name]
            station.batching = batching
            self._begin_batches(station)

    def change_service(self, name: str, service_s: tuple[float, ...], at_s: float) -> None:
        """Let batches of a step that begin from a moment on take other times."""
        self.run(at_s)
        station = self._stations[name]
        station.step = replace(station.step, service_s=service_s)

    def look(self) -> PipelineReading:
        """Read all counters as they are now."""
        return PipelineReading(
            requests={POD: self._counters.read(self.now_s, None)},
            steps={
                name: {POD: station.counters.read(self.now_s, len(station.queue))}
                for name, station in self._stations.items()
            },
            cpu_s=self.cpu_s,
        )

    def answered(self) -> Answered:
        """Return when requests were answered so far."""
        return Answered.of(self.served)

    def _next_s(self) -> float:
        arrives_s = self._arrivals[0][0] if self._arrivals else float("inf")
        return min(arrives_s, self._processors.next_end_s())

    def _arrive(self, at_s: float, is_clients: bool) -> None:  # noqa: FBT001  of one pair
        number, self._sent = self._sent, self._sent + 1
        request = _Request(at_s, is_clients, len(self._stations), dict(self._waits_for))
        self._requests[number] = request
        for name, station in self._stations.items():
            if not request.waits_for[name]:
                station.queue.append((number, self.now_s))

    def _begin_batches(self, station: _Station) -> None:
        while station.queue and station.busy < station.batching.instances:
            requests, rows = self._taken(station)
            seconds = station.step.seconds(rows)
            station.busy += 1
            self._processors.begin(
                Running(
                    station.step.name,
                    requests,
                    rows,
                    began_s=self.now_s,
                    work_s=seconds,
                    processors=station.step.processors,
                    left_s=seconds,
                    seen_s=self.now_s,
                )
            )

    def _taken(self, station: _Station) -> tuple[tuple[int, ...], int]:
        """Take from the queue what makes one batch: the first request, and those that fit."""
        requests: list[int] = []
        rows = 0
        while station.queue:
            number, since_s = station.queue[0]
            more = station.step.rows_of(number)
            if requests and rows + more > station.batching.max_batch_size:
                break
            station.queue.popleft()
            requests.append(number)
            rows += more
            self._requests[number].queued_s[station.step.name] = since_s
        return tuple(requests), rows

    def _end_batch(self) -> None:
        batch = self._processors.end()
        station = self._stations[batch.step]
        station.busy -= 1
        self.cpu_s += batch.work_s * batch.processors
        station.counters.batch_ended(batch.rows, self.now_s - batch.began_s)
        for number in batch.requests:
            request = self._requests[number]
            since_s = request.queued_s.pop(batch.step)
            rows = station.step.rows_of(number)
            station.counters.answered(
                self.now_s, rows, self.now_s - since_s, batch.began_s - since_s
            )
            self._pass_on(number, request, station)

    def _pass_on(self, number: int, request: _Request, station: _Station) -> None:
        for reader in station.readers:
            request.waits_for[reader] -= 1
            if not request.waits_for[reader]:
                self._stations[reader].queue.append((number, self.now_s))
        request.open_steps -= 1
        if request.open_steps:
            return
        del self._requests[number]
        self.served.append((request.arrived_s, self.now_s))
        self._counters.answered(self.now_s, 1, self.now_s - request.arrived_s, 0.0)
        if request.is_clients:
            self._arrivals.appendleft((self.now_s, True))
