"""Hundreds of changes of steps under load: for how long is the ensemble away, and what is lost.

Changes are drawn at random, and carried out by the operator's own actuator: another number of
instances (in place), another limit of waiting and another bound (a reload of the step), a
configuration that Triton refuses, and one that it loads although the ensemble does not fit it any
more, after which the step must be put back. Meanwhile the ensemble is asked every 20 ms whether
it is ready.
"""

import asyncio
import random
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import tritonclient.grpc.aio as grpcclient
from tritonclient.grpc.model_config_pb2 import ModelConfig, ModelQueuePolicy
from tritonclient.utils import InferenceServerException

from benchmarks import servers
from benchmarks.pipelines.client import Answer, Client
from benchmarks.pipelines.shapes import Shape, Step, write
from ferryman.actuation.steps import StepActuator
from ferryman.api.batching import Batching
from ferryman.api.conditions import Reason
from ferryman.clients import pbtxt
from ferryman.clients.triton import TritonServer as TritonClient
from ferryman.core.pipelines.journal import PipelineChange, StepMove
from ferryman.core.snapshot import PodView
from tests.integration.tritonserver import TritonServer

CHANGES: Final = 200
CLIENTS: Final = 6
PROBED_EVERY_S: Final = 0.02
PAUSE_S: Final = 0.2
BACK_OFF_S: Final = 0.05
MOST_INSTANCES: Final = 4
MOST_BOUND: Final = 8
POD: Final = "pod"
#: After this one alone the ensemble may be away.
UNFIT: Final = "does not fit the ensemble"

SHAPE: Final = Shape(
    "diamond",
    (
        Step("a", 0.005),
        Step("b", 0.010, ("a",), 2),
        Step("c", 0.020, ("a",), 2),
        Step("d", 0.005, ("b", "c")),
    ),
)

_S_TO_US: Final = 1_000_000

Change = Callable[[ModelConfig, random.Random], None]


def _instances(config: ModelConfig, draw: random.Random) -> None:
    others = set(range(1, MOST_INSTANCES + 1)) - {config.instance_group[0].count}
    config.instance_group[0].count = draw.choice(sorted(others))


def _limit(config: ModelConfig, draw: random.Random) -> None:
    policy = config.dynamic_batching.default_queue_policy
    policy.timeout_action = ModelQueuePolicy.REJECT
    policy.default_timeout_microseconds = draw.randint(20, 60) * _S_TO_US


def _bound(config: ModelConfig, draw: random.Random) -> None:
    others = set(range(1, MOST_BOUND + 1)) - {config.max_batch_size}
    config.max_batch_size = draw.choice(sorted(others))


def _refused(config: ModelConfig, _draw: random.Random) -> None:
    config.backend = "of-another-world"


def _unfit(config: ModelConfig, _draw: random.Random) -> None:
    config.output[0].name = f"{config.output[0].name}-renamed"


KINDS: Final[Mapping[str, Change]] = {
    "instances, in place": _instances,
    "limit of waiting, a reload": _limit,
    "bound, a reload": _bound,
    "refused by Triton": _refused,
    UNFIT: _unfit,
}


@dataclass
class Probe:
    """When the ensemble was seen not to be ready."""

    stretches_s: list[tuple[float, float]] = field(default_factory=list)

    async def watch(self, address: str, over: asyncio.Event) -> None:
        """Ask every 20 ms; a stretch lasts from the last yes to the next one."""
        client = grpcclient.InferenceServerClient(address)
        last_yes_s, away = time.monotonic(), False
        while not over.is_set():
            ready = await _ready(client)
            now_s = time.monotonic()
            if ready and away:
                self.stretches_s.append((last_yes_s, now_s))
            away, last_yes_s = not ready, now_s if ready else last_yes_s
            await asyncio.sleep(PROBED_EVERY_S)
        await client.close()

    def longest_s(self, since_s: float, until_s: float) -> float:
        """Return the longest stretch that began in a time; 0 for none."""
        within = [end - begin for begin, end in self.stretches_s if since_s <= begin < until_s]
        return max(within, default=0.0)


async def _ready(client: grpcclient.InferenceServerClient) -> bool:
    try:
        return bool(await client.is_model_ready(SHAPE.name, client_timeout=10))
    except InferenceServerException:
        return False


@dataclass(frozen=True)
class Made:
    """One change: what it was, what came of it, and when."""

    kind: str
    outcome: str
    began_s: float
    ended_s: float


def run(changes: int = CHANGES, seed: int = 0) -> dict[str, Any]:
    """Make so many changes on a server of its own."""
    with tempfile.TemporaryDirectory() as folder:
        write(SHAPE, Path(folder))
        models = [SHAPE.name, *(step.name for step in SHAPE.steps)]
        with TritonServer(Path(folder), models=models) as server:
            made, probe, answers = asyncio.run(_play(server, Path(folder), changes, seed))
    return figures(made, probe, answers)


async def _play(
    server: TritonServer, folder: Path, changes: int, seed: int
) -> tuple[list[Made], Probe, list[Answer]]:
    over, probe, answers = asyncio.Event(), Probe(), list[Answer]()
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(Client(server.grpc_url, SHAPE))
        models = {
            name: await stack.enter_async_context(servers.connected(server, name))
            for name in [SHAPE.name, *(step.name for step in SHAPE.steps)]
        }

        async def ask() -> None:
            while not over.is_set():
                answers.append(await client.ask())
                # Who is turned away at once must not take the processors from what would help.
                await asyncio.sleep(BACK_OFF_S if answers[-1].failure else 0)

        beside = [asyncio.create_task(ask()) for _ in range(CLIENTS)]
        beside.append(asyncio.create_task(probe.watch(server.grpc_url, over)))
        try:
            made = await _change(models, folder, changes, random.Random(seed))  # noqa: S311  no secret
        finally:
            over.set()
            await asyncio.gather(*beside)
    return made, probe, answers


async def _change(
    models: Mapping[str, TritonClient], folder: Path, changes: int, draw: random.Random
) -> list[Made]:
    """Make one change after the other, each on top of what is in force."""

    async def annotate(_pod: PodView, annotation: str, _bound: int) -> None:
        raise RuntimeError(f"{annotation}: no step has a live cap")

    actuator = StepActuator(SHAPE.name, lambda _, model: models[model], annotate)
    files = {name: (folder / name / "config.pbtxt").read_text() for name in models}
    present = {step.name: pbtxt.from_text(files[step.name]) for step in SHAPE.steps}
    made = []
    for number in range(changes):
        step, kind = draw.choice(SHAPE.steps).name, draw.choice([*KINDS])
        wanted = ModelConfig()
        wanted.CopyFrom(present[step])
        KINDS[kind](wanted, draw)
        began_s = time.monotonic()
        move = _move(step, present[step], wanted)
        change = PipelineChange((move,), Reason.MORE_NEEDED, kind, files[SHAPE.name])
        result = await actuator.carry_out(change)
        if result.outcome == "Applied":
            present[step] = wanted
        await asyncio.sleep(PAUSE_S)
        made.append(Made(kind, result.outcome, began_s, time.monotonic()))
        print(f"  {number + 1} of {changes}: {step}: {kind}: {result.outcome}", flush=True)
    return made


def _move(step: str, before: ModelConfig, after: ModelConfig) -> StepMove:
    had, gets = (
        Batching(max_batch_size=each.max_batch_size, instances=each.instance_group[0].count)
        for each in (before, after)
    )
    pod = PodView(name=POD, ready=True, batching=had)
    texts = {POD: pbtxt.to_text(after)}, {POD: pbtxt.to_text(before)}
    return StepMove(step, had, gets, (pod,), "", *texts)


def figures(made: list[Made], probe: Probe, answers: list[Answer]) -> dict[str, Any]:
    """Return for each kind of change what came of it, and what was lost meanwhile."""
    found = {}
    for kind in KINDS:
        own = [each for each in made if each.kind == kind]
        failures = Counter(
            answer.failure
            for answer in answers
            for each in own
            if answer.failure and each.began_s <= answer.done_s < each.ended_s
        )
        away_s = [probe.longest_s(each.began_s, each.ended_s) for each in own]
        found[kind] = {
            "changes": len(own),
            "outcomes": dict(Counter(each.outcome for each in own)),
            "longest_away_s": max(away_s, default=0.0),
            "failed": failures.total(),
            "failures": dict(failures.most_common(5)),
        }
    return {
        "kinds": found,
        "requests": len(answers),
        "failed": sum(bool(answer.failure) for answer in answers),
    }


def lost(found: Mapping[str, Any]) -> int:
    """Return the failed requests but those of the time in which the ensemble did not fit."""
    excused: int = found["kinds"][UNFIT]["failed"]
    return int(found["failed"]) - excused
