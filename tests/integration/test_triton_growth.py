"""Changes of instances while requests wait all the time, which Triton does not end before they do.

The load of such a change has no answer until the queue was empty for once.
"""

import asyncio
import time
from contextlib import asynccontextmanager

import pytest

from benchmarks import servers
from benchmarks.pipelines import shapes
from benchmarks.pipelines.client import Client
from ferryman.api.batching import Batching
from ferryman.clients import model_config, pbtxt
from ferryman.clients.triton import TritonUnavailable
from tests.integration.tritonserver import TritonServer

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]

STEP = "step-1"
STEP_S = 0.05
CLIENTS = 40


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    shapes.write(shapes.chain("chain", [STEP_S]), folder)
    return folder


@pytest.fixture(scope="module")
def server(repository):
    with TritonServer(repository, models=[STEP, "chain"]) as running:
        yield running


@pytest.fixture
def config(repository):
    """Return what a pod is to load for so many instances."""
    file = pbtxt.from_text((repository / STEP / "config.pbtxt").read_text())

    def of(instances):
        wanted = Batching(max_batch_size=1, instances=instances)
        return pbtxt.to_text(model_config.with_batching(file, wanted))

    return of


@asynccontextmanager
async def flooded(server):
    """Keep requests waiting before the step until told to end; yield what was answered."""
    over, answers = asyncio.Event(), []

    async with Client(server.grpc_url, shapes.chain("chain", [STEP_S])) as client:

        async def ask():
            while not over.is_set():
                answers.append(await client.ask())

        asking = [asyncio.create_task(ask()) for _ in range(CLIENTS)]
        await asyncio.sleep(1)
        try:
            yield answers
        finally:
            over.set()
            await asyncio.gather(*asking)


async def answered_per_s(answers, seconds):
    before, began_s = len(answers), time.monotonic()
    await asyncio.sleep(seconds)
    return (len(answers) - before) / (time.monotonic() - began_s)


async def instances(step):
    return (await step.model()).instances


async def test_a_growth_is_made_when_its_instances_serve_and_a_shrink_is_given_up(server, config):
    async with servers.connected(server, STEP) as step, servers.connected(server, "chain") as whole:
        async with flooded(server) as answers:
            one = await answered_per_s(answers, 2)
            began_s = time.monotonic()
            await step.load(config(3), more_than=1)
            assert time.monotonic() - began_s < 20
            assert await instances(step) == 3
            assert await answered_per_s(answers, 2) > 2 * one

            # Whether the growth has ended meanwhile or not: neither holds up whoever asks.
            began_s = time.monotonic()
            with pytest.raises(TritonUnavailable, match="has not ended"):
                await step.load(config(1), within_s=2)
            assert time.monotonic() - began_s < 9
            assert (await whole.model()).ready
        assert not [answer for answer in answers if answer.failure]

        # Nothing waits any more, so that what was begun ends, and the next is not stuck behind it.
        await step.load(config(2), within_s=20)
        assert await instances(step) == 2
