"""Generated cases of the live cap, run on a real tritonserver, and the judgement of each.

A case is one model with the library in its folder, and phases: in each its own bound and load.
The model notes every batch it executes, so nothing is inferred from statistics. Judged are the
two invariants: no batch exceeds the bound once a change has settled, and every request is
answered within delay + queue + service.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import re
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import numpy as np
from tritonclient.grpc import service_pb2

from hack.models import sleeper

INFER = "/inference.GRPCInferenceService/ModelInfer"
POLL_S = 0.1  # how often the library reads the file
READ_TIMEOUT_S = 10.0  # for the library, on a machine that is busy indeed
#: What Triton logs when the bound of a model changes.
SAID = r"live cap of model \W+{}\W+(no bound|at most \d+ rows in a batch)"
NOISE_S = 0.4  # a busy machine wakes threads late
PHASE_S = 1.2
MOST_PER_S = 300.0  # requests to one model: all the load comes from one process
SATURATED = 0.9
GRACE_S = 5.0  # for an answer, on a machine with other work; one that stalls takes GIVE_UP_S
GIVE_UP_S = 25.0
IDLE_WAKE_S = 0.5  # Triton without prefetch looks this often when nothing arrives
DRAINED_ROWS, DRAIN_PAUSE_S = 8, 0.05
#: What the library must read as "no bound".
NO_BOUND = ("", "0", "-4", "many", "8 rows", "4.5", "0x4", "99999999999999999999", "\x00")

POLICIES = {  # Triton's queue policies: from the first on, each switches its prefetch off
    "none": "",
    "long timeout": "default_queue_policy { default_timeout_microseconds: 9000000 }",
    "short timeout": "default_queue_policy { default_timeout_microseconds: 120000 }",
    "expires while it waits": "default_queue_policy { default_timeout_microseconds: 9000 }",
    "late ones last": "default_queue_policy "
    "{ default_timeout_microseconds: 60000 timeout_action: DELAY }",
    "bounded": "default_queue_policy { max_queue_size: 100000 }",
    "priorities": "priority_levels: 2 default_priority_level: 2",
}


@dataclass(frozen=True)
class Phase:
    """One bound (None: the file says none, by `text`) and the load under it."""

    bound: int | None
    text: str
    load: float  # offered rate / capacity at this bound


@dataclass(frozen=True)
class Case:
    """A model's configuration and what is done to it."""

    seed: int
    variable: bool
    delay_us: int
    instances: int
    fixed_us: int
    per_row_us: int
    max_batch_size: int
    preferred: tuple[int, ...]
    policy: str
    rows: tuple[int, ...]  # what a request may carry, drawn evenly
    phases: tuple[Phase, ...]

    @property
    def name(self) -> str:
        """The model's name."""
        return f"case-{self.seed}"

    @property
    def prefetches(self) -> bool:
        """Whether Triton forms batches before an instance is free."""
        return self.policy == "none"

    @property
    def may_reject(self) -> bool:
        """Whether Triton may say that a request waited too long."""
        return self.policy in {"long timeout", "short timeout", "expires while it waits"}

    def service_s(self, rows: int) -> float:
        """Return the service time of a batch."""
        return (self.fixed_us + self.per_row_us * rows) / 1e6

    def rate_per_s(self, phase: Phase) -> float:
        """Return the requests per second that make the phase's load."""
        rows = min(phase.bound or self.max_batch_size, self.max_batch_size)
        capacity = self.instances * rows / self.service_s(rows)
        return min(MOST_PER_S, phase.load * capacity / (sum(self.rows) / len(self.rows)))

    def saturated(self, phase: Phase) -> bool:
        """Whether the phase offers about what the model can serve, or more."""
        return phase.load >= SATURATED and self.rate_per_s(phase) < MOST_PER_S

    def settle_s(self) -> float:
        """Say how long batches formed under the bound before may still begin."""
        waiting = 2 * self.instances + 1
        return POLL_S + NOISE_S + waiting * self.service_s(self.max_batch_size) / self.instances

    def answer_s(self, rows_ahead: int) -> float:
        """Allow for an answer: the delay, the queue (in half full batches), the service."""
        bound = min((phase.bound or self.max_batch_size) for phase in self.phases)
        batches = 2 * rows_ahead / bound + 2 * self.instances + 2
        largest = self.service_s(max(bound, *self.rows))
        if self.policy in {"late ones last", "priorities"}:
            return GIVE_UP_S  # others may overtake
        idle_s = 0.0 if self.prefetches else IDLE_WAKE_S
        return GRACE_S + self.delay_us / 1e6 + batches * (largest + idle_s) / self.instances

    def config(self, journal: Path, bound: Path) -> str:
        """Return the model's config.pbtxt."""
        preferred = f"preferred_batch_size: {list(self.preferred)}" if self.preferred else ""
        return sleeper.config(
            fixed_us=self.fixed_us,
            per_item_us=self.per_row_us,
            variable=self.variable,
            max_batch_size=self.max_batch_size,
            delay_us=self.delay_us,
            instances=self.instances,
            batching=f"{preferred} {POLICIES[self.policy]}",
            parameters={"journal": journal, "FERRYMAN_LIVE_CAP_FILE": bound},
        )


def generate(seed: int) -> Case:
    """Return the case of this number, always the same."""
    draw = random.Random(seed)
    max_batch_size = draw.choice((8, 16, 32))
    small = tuple(range(1, draw.choice((2, 2, 2, 4))))
    large = draw.choice((5, max_batch_size // 2 + 1, max_batch_size))
    delay_us = draw.choice((0, 0, 3_000, 20_000, 60_000))
    return Case(
        seed=seed,
        variable=draw.random() < 0.5,
        delay_us=delay_us,
        instances=draw.choice((1, 1, 1, 2, 2, 3)),
        fixed_us=draw.choice((1_000, 5_000, 15_000)),
        per_row_us=draw.choice((200, 1_000, 2_000)),
        max_batch_size=max_batch_size,
        preferred=draw.choice(((), (), (), (), (4,), (2, 6))),
        policy=draw.choice(("none", "none", "none", "none", *POLICIES)),
        rows=draw.choice((small, small, (*small, large), (1, *small, large))),
        phases=tuple(_phases(draw, max_batch_size)),
    )


def _phases(draw: random.Random, max_batch_size: int) -> Iterator[Phase]:
    for _ in range(4):
        load = draw.choice((0.1, 0.5, 0.8, 0.95, 1.15))
        if draw.random() < 0.15:
            yield Phase(None, draw.choice(NO_BOUND), load)
        else:
            bound = draw.choice((1, 2, 3, 4, 5, 7, max_batch_size // 2, max_batch_size + 3))
            yield Phase(bound, draw.choice((f"{bound}", f"{bound}\n")), load)


def put_bound(path: Path, text: str) -> None:
    """Replace the file as a whole, as the kubelet does."""
    scratch = path.with_suffix(".new")
    scratch.write_text(text)
    scratch.replace(path)


@dataclass
class Observed:
    """What came of a case; times in seconds on the monotonic clock."""

    case: Case
    changes: list[tuple[float, Phase]] = field(default_factory=list)
    batches: list[tuple[float, list[int]]] = field(default_factory=list)  # begun, rows of each
    sent: int = 0
    answered: int = 0
    rejected: int = 0
    faults: list[str] = field(default_factory=list)

    def settled(self) -> Iterator[tuple[Phase, list[int]]]:
        """Yield every batch that belongs to one phase only, with that phase."""
        for begun, rows in self.batches:
            phases = [
                phase
                for (since, phase), (until, _) in itertools.pairwise([*self.changes, (1e12, None)])
                if since <= begun and begun - self.case.settle_s() < until
            ]
            if len(phases) == 1:
                yield phases[0], rows

    def excesses(self) -> list[str]:
        """Describe the batches larger than the bound; one request may be, alone."""
        return [
            f"{rows} under a bound of {phase.bound}"
            for phase, rows in self.settled()
            if phase.bound is not None and sum(rows) > phase.bound and len(rows) > 1
        ]


class Runner:
    """Runs cases on one server, several at a time."""

    def __init__(self, server, library: Path, folder: Path) -> None:
        """Prepare to load models into the server's repository."""
        self._server, self._library, self._folder = server, library, folder

    async def run(self, cases: list[Case], at_once: int) -> list[Observed]:
        """Run the cases and return what was observed, in their order."""
        gate = asyncio.Semaphore(at_once)
        async with grpc.aio.insecure_channel(self._server.grpc_url) as channel:

            async def one(case: Case) -> Observed:
                async with gate:
                    return await self._run_case(channel, case)

            return await asyncio.gather(*(one(case) for case in cases))

    async def _run_case(self, channel: grpc.aio.Channel, case: Case) -> Observed:
        journal, bound = self._folder / f"{case.name}.batches", self._folder / f"{case.name}.bound"
        model = self._server.model_repository / case.name
        put_bound(bound, case.phases[0].text)
        sleeper.write(model, case.config(journal, bound))
        shutil.copyfile(self._library, model / self._library.name)
        await control(channel, "Load", case.name)
        seen = await _Load(channel, case, bound).run()
        await control(channel, "Unload", case.name)
        seen.batches = batches(journal)
        return seen


def body(model: str, rows: int, priority: int | None = None) -> bytes:
    """Make a request of so many rows to a sleeper, for INFER."""
    request = service_pb2.ModelInferRequest(model_name=model)
    tensor = request.inputs.add(name="input", datatype="FP32")
    tensor.shape.extend([rows, 1])
    request.raw_input_contents.append(np.zeros((rows, 1), np.float32).tobytes())
    if priority is not None:
        request.parameters["priority"].uint64_param = priority
    return request.SerializeToString()


def batches(journal: Path) -> list[tuple[float, list[int]]]:
    """Read what a sleeper wrote: when each batch began (seconds), the rows of its requests."""
    return [_batch(line) for line in journal.read_text().splitlines()] if journal.exists() else []


def _batch(line: str) -> tuple[float, list[int]]:
    begun_ns, *rows = map(int, line.split())
    return begun_ns / 1e9, rows


async def bound_is_read(server, model: str, bound: int | None) -> None:
    """Wait until the library has said that this is the model's bound; None: no bound.

    It says so whenever the bound changes, and nothing at first where there is none.
    """
    wanted = "no bound" if bound is None else f"at most {bound} rows in a batch"
    said = re.compile(SAID.format(re.escape(model)))
    deadline = time.monotonic() + READ_TIMEOUT_S
    while (found := ["no bound", *said.findall(server.log)][-1]) != wanted:
        assert time.monotonic() < deadline, f"{model}: {found}, and not {wanted}"
        await asyncio.sleep(0.05)


async def control(channel: grpc.aio.Channel, verb: str, model: str) -> None:
    """Load or unload a model."""
    kind = getattr(service_pb2, f"RepositoryModel{verb}Request")
    call = channel.unary_unary(f"/inference.GRPCInferenceService/RepositoryModel{verb}")
    await call(kind(model_name=model).SerializeToString(), timeout=60)


class _Load:
    """Open-loop requests to one model, while its bound changes."""

    def __init__(self, channel: grpc.aio.Channel, case: Case, bound: Path) -> None:
        self._call = channel.unary_unary(INFER)
        self._case, self._bound = case, bound
        self._draw = random.Random(case.seed)
        self._seen = Observed(case)
        self._rows_inside = 0

    async def run(self) -> Observed:
        """Go through the phases; return when every request has been answered or given up."""
        requests = []
        for phase in self._case.phases:
            put_bound(self._bound, phase.text)
            self._seen.changes.append((time.monotonic(), phase))
            rate_per_s, end = self._case.rate_per_s(phase), time.monotonic() + self._phase_s()
            due = time.monotonic() + self._draw.expovariate(rate_per_s)
            while due < end:
                await asyncio.sleep(max(0.0, due - time.monotonic()))
                requests.append(asyncio.create_task(self._request()))
                due += self._draw.expovariate(rate_per_s)
            await asyncio.sleep(max(0.0, end - time.monotonic()))
        if not self._case.prefetches:
            await self._drain(requests)
        await asyncio.gather(*requests)
        return self._seen

    async def _drain(self, requests: list[asyncio.Task[None]]) -> None:
        """Empty the queue by further arrivals, which alone wake Triton's batcher then."""
        lifted = Phase(None, "", 0.0)
        put_bound(self._bound, lifted.text)
        self._seen.changes.append((time.monotonic(), lifted))
        deadline = time.monotonic() + GIVE_UP_S
        while self._rows_inside > DRAINED_ROWS and time.monotonic() < deadline:
            requests.append(asyncio.create_task(self._request()))
            await asyncio.sleep(DRAIN_PAUSE_S)

    def _phase_s(self) -> float:
        return PHASE_S + self._case.settle_s()

    async def _request(self) -> None:
        rows = self._draw.choice(self._case.rows)
        allowed_s = self._case.answer_s(self._rows_inside)
        self._rows_inside += rows
        self._seen.sent += 1
        begun = time.monotonic()
        try:
            await self._send(rows)
        except grpc.aio.AioRpcError as error:
            self._note(error)
        finally:
            self._rows_inside -= rows
        taken_s = time.monotonic() - begun
        if taken_s > allowed_s:
            self._seen.faults.append(f"answered after {taken_s:.1f} s, allowed {allowed_s:.1f} s")

    async def _send(self, rows: int) -> None:
        priority = self._draw.choice((1, 2)) if self._case.policy == "priorities" else None
        await self._call(body(self._case.name, rows, priority), timeout=GIVE_UP_S)
        self._seen.answered += 1

    def _note(self, error: grpc.aio.AioRpcError) -> None:
        if "timeout expired" in (error.details() or "") and self._case.may_reject:
            self._seen.rejected += 1
        else:
            self._seen.faults.append(f"{error.code().name}: {error.details()}")
