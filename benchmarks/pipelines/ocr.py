"""OCR with trained networks on a real Triton: balanced live, beside the best assignment there is.

The pipeline starts with one worker for each step under a load that saturates it. Which assignment
is best on these processors nobody can compute, as its steps slow each other down: every candidate
is served the same load on the same server, and the best ones again, in turns with what the
balancer chose. Every answer is held against the text that the same steps read in one process.
Then the balancer is not told how many processors there are, so that it tries workers that cannot
help, and must take them back.
"""

import asyncio
import itertools
import os
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from time import monotonic
from typing import Any, ClassVar, Final, Self

import numpy as np
import tritonclient.grpc.aio as grpcclient
from tritonclient.grpc.model_config_pb2 import ModelConfig
from tritonclient.utils import InferenceServerException

from benchmarks import servers
from benchmarks.pipelines import processors
from benchmarks.pipelines.balanced import POD, TIMEOUT_S, Live
from benchmarks.pipelines.client import Answer
from benchmarks.pipelines.shapes import Shape, Step
from ferryman.api.batching import Batching, BatchingLimits, InstanceLimits, WindowSettings
from ferryman.api.conditions import Reason
from ferryman.clients.load import characters
from ferryman.clients.triton import TritonServer as TritonClient
from ferryman.core.balancing.profile import Resources
from ferryman.core.balancing.state import BalancerState, BalancingRules, StepSetup
from ferryman.core.observation.pipeline_window import PipelineReading
from ferryman.core.pipelines.graph import Graph
from hack.models.ocr import one_process, pages, pipeline
from tests.integration.tritonserver import TritonServer

CORES: Final = os.cpu_count() or 1
#: More workers than that of a step are not tried: they only share the processors.
MOST_WORKERS: Final = CORES + 1
#: Steps that take a worthwhile part of a request; the others stay at one worker.
SEARCHED: Final = ("detect", "recognise")


@dataclass(frozen=True)
class Plan:
    """How long everything takes: the whole, or a short form that only shows that it works."""

    pages: int = 200
    windows: int = 5
    search_s: float = 15.0
    duel_s: float = 20.0
    measured_s: float = 30.0
    duels: int = 3
    candidates: tuple[Mapping[str, int], ...] = ()
    """Empty: all."""


WHOLE: Final = Plan()
SHORT: Final = Plan(4, 1, 4.0, 4.0, 5.0, 1, candidates=({"detect": 1, "recognise": 2},))


class PageClient:
    """Asks for one page after the other, and holds each text against the one to be read."""

    def __init__(self, address: str, sent: Sequence[pages.Page], texts: Sequence[str]) -> None:
        self._client = grpcclient.InferenceServerClient(address)
        self._turn = cycle(zip(sent, texts, strict=True))
        self.right: list[float] = []
        """Character accuracy of each answer, against what the page says."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.close()

    async def ask(self) -> Answer:
        """Send the next page."""
        page, text = next(self._turn)
        tensor = grpcclient.InferInput("page", list(page.image.shape), "UINT8")
        tensor.set_data_from_numpy(page.image)
        sent_s = monotonic()
        try:
            answer = await self._client.infer(pipeline.NAME, [tensor], client_timeout=TIMEOUT_S)
        except InferenceServerException as error:
            return Answer(sent_s, monotonic(), str(error.message()))
        done_s, read = monotonic(), answer.as_numpy("text")[0].decode()
        self.right.append(characters.accuracy(page.text, read))
        wrong = "" if read == text else "another text than one process reads"
        return Answer(sent_s, done_s, wrong)


class OcrLive(Live):
    """The pipeline under load."""

    clients: ClassVar[int] = 4 * CORES
    settings: ClassVar[WindowSettings] = WindowSettings(
        max_requests=1_000_000, max_seconds=8, min_seconds=6
    )

    def __init__(
        self,
        folder: Path,
        client: PageClient,
        models: Mapping[str, TritonClient],
        server: TritonServer,
        plan: Plan,
    ) -> None:
        stated = pipeline.resource()
        self._after = Graph.of(stated.spec).after
        order = Graph.of(stated.spec).order
        steps = tuple(Step(name, 0.0, self._after[name]) for name in order)
        super().__init__(Shape(pipeline.NAME, steps), folder, client, models)
        self._server, self._plan, self._told = server, plan, True

    async def run(self) -> dict[str, Any]:
        """Balance, search, and hold one against the other; then balance blindly."""
        balanced = await self._settle()
        ours = {name: each.instances for name, each in self._applied.items()}
        cpu_s = await self._cpu_s_per_request()
        searched = [await self._tried(each) for each in self._candidates(ours)]
        best = max(searched, key=lambda found: float(found["per_s"]))["workers"]
        duels = await self._duels(ours, best, self._plan.duels, self._plan.duel_s)
        await self._put(dict.fromkeys(ours, 1))
        self._told = False
        blind = await self._settle()
        return {
            "cores": CORES,
            "balanced": balanced,
            "workers": ours,
            "searched": searched,
            "best": best,
            "duels": duels,
            "cpu_s_per_request": cpu_s,
            "ceiling_per_s": CORES / cpu_s,
            "blind": blind,
            "reloads": self._reloads,
            "all_requests": len(self._answers),
            "all_failed": sum(bool(answer.failure) for answer in self._answers),
        }

    async def _settle(self) -> dict[str, Any]:
        self._state, self._changes, self._windows = BalancerState(), [], 0
        await self._balance(self._plan.windows)
        workers = {name: each.instances for name, each in self._applied.items()}
        return {"workers": workers, "changes": self._changes, "windows": self._windows}

    async def _cpu_s_per_request(self) -> float:
        began_s = processors.used_s(self._server.pid)
        outcome = await self._measure(self._plan.measured_s)
        used_s = processors.used_s(self._server.pid) - began_s
        return used_s / max(1, outcome.requests - outcome.failed)

    def _candidates(self, ours: Mapping[str, int]) -> list[dict[str, int]]:
        """Return all assignments that could be best, the balancer's among them."""
        counts = itertools.product(range(1, CORES + 1), range(1, MOST_WORKERS + 1))
        wanted = self._plan.candidates or tuple(
            dict(zip(SEARCHED, each, strict=True)) for each in counts
        )
        found = [{**dict.fromkeys(ours, 1), **each} for each in wanted]
        return found if dict(ours) in found else [*found, dict(ours)]

    async def _tried(self, workers: Mapping[str, int]) -> dict[str, Any]:
        outcome = await self._served(workers, self._plan.search_s)
        return {"workers": dict(workers), "per_s": outcome.per_s}

    def _config(self, file: ModelConfig, batching: Batching) -> ModelConfig:
        """Return a step's configuration with so many workers: it forms no batches."""
        changed = ModelConfig()
        changed.CopyFrom(file)
        changed.instance_group[0].count = batching.instances
        return changed

    async def _reading(self) -> PipelineReading:
        found = {name: await model.statistics() for name, model in self._models.items()}
        self._note(found)
        whole = found.pop(self._shape.name)
        steps = {name: {POD: each} for name, each in found.items()}
        cpu_s = processors.used_s(self._server.pid) if self._told else None
        return PipelineReading({POD: whole}, steps, cpu_s)

    def _rules(self) -> BalancingRules:
        limits = BatchingLimits(instances=InstanceLimits(min=1, max=2 * CORES))
        setups = tuple(StepSetup(step.name, step.after, limits) for step in self._shape.steps)
        known = float(CORES) if self._told else None
        return BalancingRules(setups, Resources(processors=known))


def run(plan: Plan = WHOLE) -> dict[str, Any]:
    """Run everything on one server."""
    sent = pages.pages(plan.pages)
    texts = one_process.texts([page.image for page in sent])
    with tempfile.TemporaryDirectory() as folder:
        pipeline.write(Path(folder))
        with TritonServer(Path(folder), models=[pipeline.NAME]) as server:
            return asyncio.run(_play(Path(folder), server, sent, texts, plan))


async def _play(
    folder: Path,
    server: TritonServer,
    sent: Sequence[pages.Page],
    texts: Sequence[str],
    plan: Plan,
) -> dict[str, Any]:
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(PageClient(server.grpc_url, sent, texts))
        names = [pipeline.NAME, *(step.name for step in pipeline.resource().spec.steps)]
        models = {
            name: await stack.enter_async_context(servers.connected(server, name)) for name in names
        }
        live = OcrLive(folder, client, models, server, plan)
        load = asyncio.create_task(live.load())
        try:
            found = await live.run()
        finally:
            live.end()
            await load
        accuracy = float(np.mean(client.right)) if client.right else 0.0
        read = len(client.right)
        return {**found, "pages": len(sent), "read": read, "character_accuracy": accuracy}


def withdrawn_after(found: Mapping[str, Any]) -> list[int]:
    """Return after how many windows each growth was taken back that did not help."""
    changes = found["blind"]["changes"]
    return [
        after["window"] - before["window"]
        for before, after in itertools.pairwise(changes)
        if after["reason"] == Reason.TAKEN_BACK
    ]
