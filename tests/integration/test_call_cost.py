"""Calls that have nothing done, to a real server: they are answered, and count nowhere."""

import asyncio
import time

import pytest

from ferryman.api.resources import pipeline_key
from ferryman.clients import triton
from ferryman.core.pipelines.cutting.calls import LARGE_BYTES, SMALL_BYTES
from ferryman.handlers.pipelines.calls import CallMeter
from tests.integration import arithmetic
from tests.integration.arithmetic import pipeline, step
from tests.integration.tritonserver import TritonServer

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]

KEY = "secret"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    repository = tmp_path_factory.mktemp("called") / "models"
    steps = [step("double", "double", {"x": "x"}, [2], bound=4)]
    arithmetic.write(repository, pipeline("whole", [-1, 2], steps, {"y": "double.y"}))
    with TritonServer(repository, models=["whole"], control_key=KEY) as running:
        yield running


def connect(server, model="", control_key=""):
    host, _, port = server.grpc_url.rpartition(":")
    return triton.connect(
        host,
        model,
        control_key,
        clock=time.monotonic,
        ports=triton.Ports(grpc=int(port)),
        metrics_url=server.metrics_url,
    )


def test_calls_that_carry_much_and_little_are_answered_without_a_key_and_count_nowhere(server):
    async def main():
        named, unnamed = connect(server, "double", KEY), connect(server)
        before = await named.statistics()
        took_s = [await unnamed.call_s(size) for size in (0, SMALL_BYTES, LARGE_BYTES)]
        after = await named.statistics()
        await named.close()
        await unnamed.close()
        return before, took_s, after

    before, took_s, after = asyncio.run(main())
    assert all(0 < each < triton.Deadlines().read_s for each in took_s)
    assert (after.success_count, after.failure_count) == (
        before.success_count,
        before.failure_count,
    )


def test_a_server_that_is_not_there_is_unavailable():
    async def main():
        nobody = triton.connect("127.0.0.1", "", "", clock=time.monotonic, ports=triton.Ports(1, 1))
        try:
            await nobody.call_s(1)
        finally:
            await nobody.close()

    with pytest.raises(triton.TritonUnavailable):
        asyncio.run(main())


def test_what_a_call_costs_is_known_from_a_few(server):
    async def main():
        meter = CallMeter(lambda *_: connect(server), clock=time.monotonic)
        return await meter.cost(pipeline_key("default", "whole"), ["127.0.0.1"])

    cost = asyncio.run(main())
    assert cost is not None
    assert cost.milliseconds > 0
