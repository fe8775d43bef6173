"""Pipelines of unequal sleeping steps, balanced live on a real Triton, beside the best assignment.

Each pipeline starts with one worker for each step under a load that saturates it, and the balancer
of the operator (``core.balancing``) has so many workers in all to give. The best assignment is that
of an exhaustive search over all there are, and serves the same load on a server of its own in the
same run. Then a step becomes slower under load.
"""

import asyncio
import itertools
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median
from typing import Any, ClassVar, Final, Protocol

from tritonclient.grpc.model_config_pb2 import ModelConfig

from benchmarks import servers
from benchmarks.pipelines import shapes
from benchmarks.pipelines.client import Answer, Client
from benchmarks.pipelines.shapes import Shape, Step
from ferryman.actuation.actuate import Result
from ferryman.actuation.steps import StepActuator
from ferryman.api.batching import Batching, BatchingLimits, InstanceLimits, WindowSettings
from ferryman.api.statistics import Statistics
from ferryman.clients import model_config, pbtxt
from ferryman.clients.triton import TritonServer as TritonClient
from ferryman.clients.triton import TritonUnavailable
from ferryman.core.balancing.decide import BalancingDecision, balance
from ferryman.core.balancing.profile import Resources
from ferryman.core.balancing.state import BalancerState, BalancingRules, StepSetup
from ferryman.core.observation.pipeline_window import (
    PipelineReading,
    PipelineWindow,
    PipelineWindowState,
    observe_pipeline,
)
from ferryman.core.pipelines.journal import PipelineChange, StepMove
from ferryman.core.snapshot import PodView
from tests.integration.tritonserver import TritonServer

#: Workers in all, as if memory had room for so many of one byte each.
WORKERS: Final = 10
#: Requests that are under way at any time: enough for every worker and a queue before each step.
CLIENTS: Final = 40
WINDOW_S: Final = 4.0
WINDOWS: Final = 3
#: How often, and how long each time, what it came to is held against the best assignment.
DUELS: Final = 3
DUEL_S: Final = 10.0
TIMEOUT_S: Final = 120.0
SLOWER: Final = 3.0
POLL_S: Final = 1.0
POD: Final = "pod"

SETTINGS: Final = WindowSettings(max_requests=1_000_000, max_seconds=int(WINDOW_S), min_seconds=2)

PIPELINES: Final = (
    shapes.chain("chain-of-three", [0.010, 0.030, 0.060]),
    shapes.chain("chain-of-five", [0.008, 0.024, 0.080, 0.016, 0.010]),
    Shape(
        "fork",
        (Step("a", 0.012), Step("b", 0.036, ("a",)), Step("c", 0.100, ("a",))),
    ),
    Shape(
        "join",
        (Step("a", 0.080), Step("b", 0.015), Step("c", 0.045, ("a", "b"))),
    ),
    Shape(
        "diamond",
        (
            Step("a", 0.010),
            Step("b", 0.025, ("a",)),
            Step("c", 0.090, ("a",)),
            Step("d", 0.030, ("b", "c")),
        ),
    ),
)
#: Which step of which pipeline becomes slower.
SLOWED: Final = ("diamond", "d")


@dataclass
class Outcome:
    """What one assignment served."""

    per_s: float = 0.0
    requests: int = 0
    failed: int = 0
    failures: dict[str, int] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Return it for the results."""
        return dict(vars(self))


def best(shape: Shape, workers: int = WORKERS) -> dict[str, int]:
    """Return the assignment that carries most, found by trying all; of equals one with least."""
    names = [step.name for step in shape.steps]
    every = (dict(zip(names, n, strict=True)) for n in _assignments(len(names), workers))
    return max(every, key=lambda each: (carried_per_s(shape, each), -sum(each.values())))


def carried_per_s(shape: Shape, workers: Mapping[str, int]) -> float:
    """Return how many requests a second its steps can sleep for."""
    return min(workers[step.name] / step.seconds for step in shape.steps)


def _assignments(steps: int, workers: int) -> Iterator[tuple[int, ...]]:
    each = range(1, workers - steps + 2)
    return (n for n in itertools.product(each, repeat=steps) if sum(n) <= workers)


def slowed(shape: Shape, step: str) -> Shape:
    """Return a pipeline one of whose steps takes longer."""
    steps = tuple(
        replace(each, seconds=each.seconds * (SLOWER if each.name == step else 1))
        for each in shape.steps
    )
    return Shape(shape.name, steps)


def run_pipeline(shape: Shape, slow: str | None = None) -> dict[str, Any]:
    """Balance a pipeline live; with ``slow`` that step becomes slower once it is balanced.

    What it came to is then served in turns with the best assignment, on the same server.
    """
    ends_as = shape if slow is None else slowed(shape, slow)
    wanted = best(ends_as)
    with tempfile.TemporaryDirectory() as folder:
        shapes.write(shape, Path(folder))
        models = [step.name for step in shape.steps]
        with TritonServer(Path(folder), models=[*models, shape.name]) as server:
            balanced = asyncio.run(_play(shape, Path(folder), server, wanted, slow))
    return {"best": wanted, "carried_per_s": carried_per_s(ends_as, wanted), "balanced": balanced}


async def _play(
    shape: Shape, folder: Path, server: TritonServer, wanted: Mapping[str, int], slow: str | None
) -> dict[str, Any]:
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(Client(server.grpc_url, shape))
        models = {
            name: await stack.enter_async_context(servers.connected(server, name))
            for name in [shape.name, *(step.name for step in shape.steps)]
        }
        live = Live(shape, folder, client, models)
        load = asyncio.create_task(live.load())
        try:
            return await live.balanced(wanted, slow)
        finally:
            live.end()
            await load


class Asking(Protocol):
    """Sends one request at a time and holds the answer against what must come out."""

    async def ask(self) -> Answer:
        """Return what became of the request."""
        ...


class Live:
    """One server under load."""

    clients: ClassVar[int] = CLIENTS
    windows: ClassVar[int] = WINDOWS
    settings: ClassVar[WindowSettings] = SETTINGS

    def __init__(
        self, shape: Shape, folder: Path, client: Asking, models: Mapping[str, TritonClient]
    ) -> None:
        self.over = False
        self.sending = asyncio.Event()
        self.sending.set()
        self._shape, self._folder, self._client, self._models = shape, folder, client, models
        self._answers: list[Answer] = []
        self._applied = {
            step.name: Batching(max_batch_size=1, instances=step.instances) for step in shape.steps
        }
        self._state = BalancerState()
        self._changes: list[dict[str, Any]] = []
        self._windows = 0
        self._reloads = 0
        self._counts: dict[str, int] = {}

    async def load(self) -> None:
        """Keep so many requests under way until it is over."""

        async def one() -> None:
            while not self.over:
                await self.sending.wait()
                self._answers.append(await self._client.ask())

        await asyncio.gather(*(one() for _ in range(self.clients)))

    async def balanced(self, best: Mapping[str, int], slow: str | None) -> dict[str, Any]:
        """Balance for some windows, again once a step became slower; then beside the best."""
        await self._balance()
        if slow is not None:
            seconds = next(step.seconds for step in self._shape.steps if step.name == slow)
            shapes.set_seconds(self._folder, slow, seconds * SLOWER)
            self._changes, self._windows = [], 0
            await self._balance()
        settled = {name: batching.instances for name, batching in self._applied.items()}
        duels = await self._duels(settled, best, DUELS, DUEL_S)
        return {
            "duels": duels,
            "workers": settled,
            "windows_to_settle": max((each["window"] for each in self._changes), default=0),
            "changes": self._changes,
            "reloads": self._reloads,
            "all_requests": len(self._answers),
            "all_failed": sum(bool(answer.failure) for answer in self._answers),
        }

    async def _duels(
        self, ours: Mapping[str, int], best: Mapping[str, int], times: int, seconds: float
    ) -> list[dict[str, float]]:
        """Return what both serve, in turns; an assignment against itself once each time."""
        return [await self._duel(ours, best, seconds) for _ in range(times)]

    async def _duel(
        self, ours: Mapping[str, int], best: Mapping[str, int], seconds: float
    ) -> dict[str, float]:
        ours_per_s = (await self._served(ours, seconds)).per_s
        if ours == best:
            return {"ours_per_s": ours_per_s, "best_per_s": ours_per_s}
        best_per_s = (await self._served(best, seconds)).per_s
        return {"ours_per_s": ours_per_s, "best_per_s": best_per_s}

    async def _served(self, workers: Mapping[str, int], seconds: float) -> Outcome:
        await self._put(workers)
        return await self._measure(seconds)

    async def _put(self, workers: Mapping[str, int]) -> None:
        """Put an assignment in force, and wait until it is.

        Nothing is sent meanwhile: a worker ends only when nothing waits for its step.
        """
        self.sending.clear()
        wanted = {name: each.with_(instances=workers[name]) for name, each in self._applied.items()}
        for name, batching in wanted.items():
            if batching != self._applied[name]:
                await self._apply(name, batching)
        self._applied = wanted
        self.sending.set()

    async def _apply(self, name: str, batching: Batching) -> None:
        file = pbtxt.from_text((self._folder / name / "config.pbtxt").read_text())
        wanted = pbtxt.to_text(self._config(file, batching))
        deadline_s = time.monotonic() + TIMEOUT_S
        while True:
            try:
                return await self._models[name].load(wanted)
            except TritonUnavailable:  # a load that was interrupted ends once nothing waits
                if time.monotonic() > deadline_s:
                    raise
                await asyncio.sleep(POLL_S)

    async def _measure(self, seconds: float) -> Outcome:
        since = len(self._answers)
        began_s = time.monotonic()
        await asyncio.sleep(seconds)
        taken_s, answers = time.monotonic() - began_s, self._answers[since:]
        failures = Counter(answer.failure for answer in answers if answer.failure)
        done = len(answers) - failures.total()
        return Outcome(done / taken_s, len(answers), failures.total(), dict(failures))

    async def _balance(self, windows: int | None = None) -> None:
        state, changed_at_s = PipelineWindowState(), time.monotonic()
        for _ in range(windows or self.windows):
            window = None
            while window is None:
                await asyncio.sleep(POLL_S)
                state, window = observe_pipeline(
                    state,
                    await self._reading(),
                    self.settings,
                    percentile=99,
                    now_s=time.monotonic(),
                    changed_at_s=changed_at_s,
                )
            self._windows += 1
            if await self._decide(window):
                changed_at_s = time.monotonic()

    async def _decide(self, window: PipelineWindow) -> bool:
        """Ask the balancer, and do as it says; say whether anything was done."""
        decision = balance(self._rules(), self._applied, window, self._state)
        if decision.assignment == self._applied:
            self._state = decision.state
            return False
        result = await self._carry_out(decision)
        made = result.outcome == "Applied"
        self._state = decision.state if made else decision.if_refused
        shown = {name: await self._models[name].model() for name in self._applied}
        self._applied = {
            name: batching.with_(instances=shown[name].instances)
            for name, batching in self._applied.items()
        }
        workers = {name: each.instances for name, each in self._applied.items()}
        change = {"window": self._windows, "workers": workers, "reason": decision.reason}
        told = {"message": decision.message, "outcome": result.outcome, "said": result.message}
        self._changes.append({**change, **told})
        return True

    async def _carry_out(self, decision: BalancingDecision) -> Result:
        """Change the steps as the operator does."""

        async def annotate(_pod: PodView, annotation: str, _bound: int) -> None:
            raise RuntimeError(f"{annotation}: no step has a live cap")

        moves = tuple(
            self._move(name, self._applied[name], after)
            for name, after in decision.assignment.items()
            if after != self._applied[name]
        )
        change = PipelineChange(moves, decision.reason, decision.message, "")
        actuator = StepActuator(self._shape.name, lambda _, model: self._models[model], annotate)
        return await actuator.carry_out(change)

    def _move(self, name: str, before: Batching, after: Batching) -> StepMove:
        """Return a step's part, on top of the file that it was started from.

        Triton compares what is submitted, and changes instances in place if they alone differ.
        """
        file = pbtxt.from_text((self._folder / name / "config.pbtxt").read_text())

        def config(batching: Batching) -> dict[str, str]:
            return {POD: pbtxt.to_text(self._config(file, batching))}

        pod = PodView(name=POD, ready=True, batching=before)
        return StepMove(name, before, after, (pod,), "", config(after), config(before))

    def _config(self, file: ModelConfig, batching: Batching) -> ModelConfig:
        """Return a step's configuration with another batching."""
        return model_config.with_batching(file, batching)

    def end(self) -> None:
        """End the load."""
        self.over = True
        self.sending.set()

    async def _reading(self) -> PipelineReading:
        found = {name: await model.statistics() for name, model in self._models.items()}
        self._note(found)
        whole = found.pop(self._shape.name)
        return PipelineReading({POD: whole}, {name: {POD: each} for name, each in found.items()})

    def _note(self, found: Mapping[str, Statistics]) -> None:
        """Count steps whose counters began anew: what is changed in place keeps them."""
        for step in self._shape.steps:
            count = sum(executions for executions, _ in found[step.name].batches.values())
            self._reloads += count < self._counts.get(step.name, 0)
            self._counts[step.name] = count

    def _rules(self) -> BalancingRules:
        limits = BatchingLimits(instances=InstanceLimits(min=1, max=WORKERS))
        setups = tuple(
            StepSetup(step.name, step.after, limits, memory_bytes=1) for step in self._shape.steps
        )
        return BalancingRules(setups, Resources(memory_bytes=WORKERS))


def run() -> dict[str, dict[str, Any]]:
    """Balance every pipeline, and the one whose step becomes slower."""
    found = {shape.name: run_pipeline(shape) for shape in PIPELINES}
    name, step = SLOWED
    shape = next(each for each in PIPELINES if each.name == name)
    return {**found, f"{name}, {step} slower": run_pipeline(shape, step)}


def share(duels: Sequence[Mapping[str, float]]) -> float:
    """Return what the balancer's assignment serves of what the best one does, in the median."""
    return float(median(duel["ours_per_s"] / duel["best_per_s"] for duel in duels))


def of_sleeps(found: Mapping[str, Any]) -> float:
    """Return what the balancer's assignment serves of what the steps' sleeps leave room for."""
    served = median(duel["ours_per_s"] for duel in found["balanced"]["duels"])
    return float(served / found["carried_per_s"])


def totals(found: Sequence[Mapping[str, Any]]) -> tuple[int, int, int]:
    """Return requests, failed ones and reloads of all balanced runs."""
    runs = [each["balanced"] for each in found]
    return (
        sum(run["all_requests"] for run in runs),
        sum(run["all_failed"] for run in runs),
        sum(run["reloads"] for run in runs),
    )
