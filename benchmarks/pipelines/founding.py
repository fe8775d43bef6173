"""The founding documents' examples, on a real Triton, beside what they promise.

(a) k steps of t each and N items: N t + (k - 1) t, where one after the other takes k N t.
(b) Producing takes 1, processing 3, pushing 0: three workers, and the producer never waits.
(c) Branches cost the longest of them, not their sum.
And their two listings, with their timings: results of (b) come at 4, 5, 6 and so on; of two things
to do at home that take 15 and 40 minutes both are done after 40.
"""

import asyncio
import tempfile
from collections.abc import Awaitable, Callable
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Final

from benchmarks.pipelines import shapes
from benchmarks.pipelines.client import Client, require_all
from benchmarks.pipelines.shapes import Shape, Step
from tests.integration.tritonserver import TritonServer

STEPS: Final = 4
STEP_S: Final = 0.050
ITEMS: Final = 200
#: What takes 1 in the listing of producers takes so long here.
PRODUCE_S: Final = 0.100
PROCESS_S: Final = 3 * PRODUCE_S
PRODUCED: Final = 100
WORKERS: Final = 3
BRANCHES_S: Final = (0.100, 0.200)
#: A minute at home.
MINUTE_S: Final = 0.010
HOME_MIN: Final = (15, 40)
ASKED: Final = 50
WARM: Final = 3

Figures = dict[str, float]


def run() -> dict[str, Figures]:
    """Run every example once, each on a server of its own."""
    return {
        "items": _on(_chain(), _items),
        "one after the other": _on(_chain(), _one_by_one),
        "one worker": _on(_producing(1), _producers),
        "three workers": _on(_producing(WORKERS), _producers),
        "branches": _on(_branches("branches", BRANCHES_S), _branch_latency),
        "home": _on(_branches("home", tuple(m * MINUTE_S for m in HOME_MIN)), _branch_latency),
    }


def _on(shape: Shape, measure: Callable[[Client], Awaitable[Figures]]) -> Figures:
    async def within(address: str) -> Figures:
        async with Client(address, shape) as client:
            require_all(await client.ask_one_by_one(WARM))
            return await measure(client)

    with tempfile.TemporaryDirectory() as folder:
        shapes.write(shape, Path(folder))
        with TritonServer(Path(folder), models=[shape.name]) as server:
            return asyncio.run(within(server.grpc_url))


def _chain() -> Shape:
    return shapes.chain("chain", [STEP_S] * STEPS)


def _producing(workers: int) -> Shape:
    return shapes.chain("line", [PRODUCE_S, PROCESS_S, 0.0], [1, workers, 1])


def _branches(name: str, seconds: tuple[float, ...]) -> Shape:
    branches = tuple(Step(f"branch-{n}", each) for n, each in enumerate(seconds, start=1))
    join = Step("join", 0.0, tuple(step.name for step in branches))
    return Shape(name, (*branches, join))


async def _items(client: Client) -> Figures:
    answers = await client.ask_at_once(ITEMS)
    require_all(answers)
    began = min(answer.sent_s for answer in answers)
    took = max(answer.done_s for answer in answers) - began
    return {"took_s": took, "ideal_s": (ITEMS + STEPS - 1) * STEP_S}


async def _one_by_one(client: Client) -> Figures:
    """Measure a tenth of the items: it is the same time for each of them."""
    answers = await client.ask_one_by_one(ITEMS // 10)
    require_all(answers)
    took = answers[-1].done_s - answers[0].sent_s
    return {"took_s": 10 * took, "ideal_s": ITEMS * STEPS * STEP_S}


async def _producers(client: Client) -> Figures:
    """Have all there is to produce wait for the producer, which then never lacks anything."""
    answers = await client.ask_at_once(PRODUCED)
    require_all(answers)
    began, done = answers[0].sent_s, sorted(answer.done_s for answer in answers)
    settled = done[WORKERS:]
    return {
        "per_s": (len(settled) - 1) / (settled[-1] - settled[0]),
        "ideal_per_s": 1 / PRODUCE_S,
        "first_s": done[0] - began,
        "ideal_first_s": PRODUCE_S + PROCESS_S,
        # A result comes later than the producer lets it by as long as an item waited for a worker.
        "waits_share": _waiting(done) / PRODUCE_S,
    }


def _waiting(done_s: list[float]) -> float:
    """Return by how much the gaps between results exceed the producer's period, in the median."""
    gaps = [after - before for before, after in pairwise(done_s)]
    return max(0.0, median(gaps) - PRODUCE_S)


async def _branch_latency(client: Client) -> Figures:
    answers = await client.ask_one_by_one(ASKED)
    require_all(answers)
    return {"p50_s": median(answer.took_s for answer in answers)}
