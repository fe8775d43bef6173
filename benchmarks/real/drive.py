"""One run: a fresh tritonserver, the load from a process of its own, and a session beside it.

The server is started with the contender's first configuration. Load, session and meter begin at
one moment; the session sees what a Triton shows and nothing of the arrivals.
"""

import asyncio
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks import servers
from benchmarks.real import generator, models
from benchmarks.real.generator import DEADLINE_S, Order, Sent
from benchmarks.real.logbook import Logbook
from benchmarks.real.meter import Meter
from ferryman.actuation.events import Entry
from ferryman.actuation.session import SessionSettings, TuningSession
from ferryman.api.batching import Batching, BatchingSpec
from ferryman.clients.load.report import Outcome, Record
from ferryman.clients.triton import TritonServer as TritonClient
from ferryman.core.simulator.arrivals import Floats
from ferryman.core.simulator.figures import Served, measure
from ferryman.core.simulator.scenario import Scenario
from ferryman.core.simulator.tuned_run import Run
from ferryman.core.tuners.protocol import Algorithm
from tests.integration.tritonserver import TritonServer

#: From the order to the first request: the generator warms the server up meanwhile.
LEAD_S: Final = 2.0
#: A load that begins later than this is not what the session observed.
MAX_LATE_S: Final = 0.5
#: The words of a 503 with which Triton's queue policy rejects; a server that is not
#: ready has others.
REJECTED: Final = ("Request timeout expired", "Exceeds maximum queue size")


@dataclass(frozen=True, slots=True)
class Employed:
    """An algorithm, or none, and how it is employed on this scenario."""

    start: Batching
    spec: BatchingSpec
    algorithm: Algorithm | None = None
    state: Any = None
    guarded: bool = False


@dataclass(frozen=True, slots=True)
class Job:
    """What runs, and under which arrivals."""

    scenario: Scenario
    model: str
    employed: Employed
    arrivals_s: Floats


@dataclass(frozen=True, slots=True)
class Driven:
    """A run, and what only a real one has."""

    run: Run
    failures: dict[str, int]
    """Outcome -> requests; rejected ones are none of them."""
    examples: dict[str, str]
    """Outcome -> the first such failure in words."""
    not_applied: int
    """Changes that the server refused or that were put back."""
    decision_ms: float
    """The longest that the algorithm took."""
    late_ms: float
    """By how much the load began later than it should have."""
    busy_by_window: list[float]
    """Device time in seconds."""
    searching: bool = False
    """Whether the algorithm is a search that had not finished."""

    def extras(self) -> dict[str, Any]:
        """Return for a file what only a real run has."""
        return {
            "failures": self.failures,
            "examples": self.examples,
            "notApplied": self.not_applied,
            "decisionMs": round(self.decision_ms, 1),
            "lateMs": round(self.late_ms, 1),
            "busySeries": self.busy_by_window,
            "searching": self.searching,
        }


def drive(job: Job, sender: Executor) -> Driven:
    """Run one contender.

    Raises ExceptionGroup when the session fails, TargetUnavailable when the load cannot be sent,
    and RuntimeError when the server ends or the load begins late.
    """
    with tempfile.TemporaryDirectory() as folder:
        start = job.scenario.in_effect(job.employed.start)
        text = models.write(Path(folder), job.model, job.scenario, start)
        with TritonServer(Path(folder), args=models.ARGS, models=[job.model]) as server:
            return asyncio.run(_drive(server, job, sender, text))


async def _drive(server: TritonServer, job: Job, sender: Executor, text: str) -> Driven:
    order = Order(
        url=f"http://{server.http_url}",
        model=job.model,
        due_s=tuple(job.arrivals_s.tolist()),
        duration_s=job.scenario.duration_s,
        start_at_s=time.monotonic() + LEAD_S,
        seed=job.scenario.seed,
    )
    sending = asyncio.get_running_loop().run_in_executor(sender, generator.send, order)
    async with servers.connected(server, job.model) as client:
        logbook, meter = Logbook(job.scenario.in_effect(job.employed.start)), Meter(client)
        await asyncio.sleep(max(0.0, order.start_at_s - time.monotonic()))
        stop, session = asyncio.Event(), _session(client, job, text, logbook)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(meter.run(stop))
            if session is not None:
                tasks.create_task(session.run(stop))
            await asyncio.sleep(order.start_at_s + order.duration_s - time.monotonic())
            stop.set()
        sent = await sending
    late_s = sent.began_s - order.start_at_s
    if late_s > MAX_LATE_S:
        raise RuntimeError(f"the load began {late_s:.1f} s late: the machine is too busy")
    driven = _summed_up(job, sent, logbook, meter, late_s)
    searching = session is not None and getattr(session.state, "finished", True) is False
    return replace(driven, searching=searching)


def _session(
    client: TritonClient, job: Job, text: str, tell: Callable[[Entry], None]
) -> TuningSession | None:
    """Return the session; none where nothing ever changes."""
    algorithm = job.employed.algorithm
    if algorithm is None:
        return None
    settings = SessionSettings(
        objectives=job.scenario.objectives,
        spec=job.employed.spec,
        guarded=job.employed.guarded,
        overlay=job.scenario.config,
        config_pbtxt=text,
    )
    return TuningSession(client, algorithm, settings, job.employed.state, tell=tell)


def _summed_up(job: Job, sent: Sent, logbook: Logbook, meter: Meter, late_s: float) -> Driven:
    served = account(sent.records)
    failed = [r for r in sent.records if r.outcome is not Outcome.OK and not is_rejected(r)]
    figures = replace(
        measure(job.scenario, [served]),
        device_busy_s=meter.busy_s,
        mean_batch_size=meter.mean_batch_size,
        failed=len(failed),
    )
    changes, shortage = logbook.shifted(-late_s)
    run = Run(
        batching=logbook.applied,
        figures=figures,
        changes=changes,
        windows=logbook.windows,
        shortage=shortage,
        served=(served,),
    )
    return Driven(
        run=run,
        failures=dict(Counter(record.outcome.value for record in failed)),
        examples={record.outcome.value: record.detail for record in reversed(failed)},
        not_applied=logbook.not_applied,
        decision_ms=logbook.decision_ms,
        late_ms=late_s * 1e3,
        busy_by_window=meter.busy_by_window(job.scenario.window_seconds, job.scenario.windows),
    )


def is_rejected(record: Record) -> bool:
    """Say whether the queue policy rejected a request, which the user asked for."""
    return record.outcome is Outcome.REFUSED and any(words in record.detail for words in REJECTED)


def account(records: tuple[Record, ...]) -> Served:
    """Return what became of the requests, as the client saw it.

    One that was given up at the deadline counts as answered then: too late, and no percentile
    looks better for it. When batches began is unknown here, and their sizes are.
    """
    ordered = sorted(records, key=lambda record: record.due_s)
    answered = [r for r in ordered if r.outcome in {Outcome.OK, Outcome.DEADLINE}]
    others = [r for r in ordered if r.outcome not in {Outcome.OK, Outcome.DEADLINE}]
    ends_s = np.array([_ended_s(record) for record in answered], dtype=np.float64)
    return Served(
        arrivals_s=_due_s(answered),
        starts_s=ends_s,
        ends_s=ends_s,
        sizes=np.ones(len(answered), dtype=np.int64),
        rejected_s=_due_s([record for record in others if is_rejected(record)]),
        failed_s=_due_s([record for record in others if not is_rejected(record)]),
    )


def _ended_s(record: Record) -> float:
    return record.finished_s if record.outcome is Outcome.OK else record.due_s + DEADLINE_S


def _due_s(records: list[Record]) -> Floats:
    return np.array([record.due_s for record in records], dtype=np.float64)
