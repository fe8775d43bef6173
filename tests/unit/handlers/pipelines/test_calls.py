"""Calls that tell what calls cost: few, seldom, one pipeline after the other."""

import asyncio

from ferryman.api.pipelines.execution_status import CallStatus
from ferryman.api.pipelines.inference_pipeline import ExecutionSpec
from ferryman.api.pipelines.step import ModelRef
from ferryman.api.resources import pipeline_key
from ferryman.clients.triton import TritonUnavailable
from ferryman.handlers.pipelines import calls
from ferryman.handlers.pipelines.calls import CallMeter
from tests import factories
from tests.fakes import run_virtually, seconds
from tests.unit.handlers.pipelines.scenes import prepare, serve, status

KEY, OTHER = pipeline_key("default", "chain"), pipeline_key("default", "other")


class Servers:
    """Servers that take a millisecond for a call, and one more for each mebibyte."""

    def __init__(self):
        self.called, self.closed, self.takes_s, self.silent = [], [], 0.001, False

    def connect(self, ip, _model, _control_key):
        """Return the server at an address."""
        return _Server(self, ip)


class _Server:
    def __init__(self, servers, ip):
        self.servers, self.ip = servers, ip

    async def call_s(self, payload_bytes):
        self.servers.called.append((self.ip, payload_bytes))
        if self.servers.silent:
            raise TritonUnavailable("no answer")
        await asyncio.sleep(self.servers.takes_s)
        return self.servers.takes_s + payload_bytes / (1 << 20) / 1e3

    async def close(self):
        self.servers.closed.append(self.ip)


def measured(script):
    async def main():
        servers = Servers()
        return await script(servers, CallMeter(servers.connect, clock=seconds))

    return run_virtually(main())


def test_a_few_calls_of_each_size_tell_what_a_call_costs_and_count_for_a_while():
    async def script(servers, meter):
        first = await meter.cost(KEY, ["10.0.0.1", "10.0.0.2"])
        once = len(servers.called)
        again = await meter.cost(KEY, ["10.0.0.1", "10.0.0.2"])
        assert len(servers.called) == once
        await asyncio.sleep(calls.EVERY_S)
        await meter.cost(KEY, ["10.0.0.1"])
        assert len(servers.called) > once
        return first, again, once, servers.closed

    first, again, once, closed = measured(script)
    assert first == again == CallStatus(milliseconds=1.0, mebibytes_per_second=1000.0)
    assert once == 2 * (calls.OPENING + calls.SMALL + calls.LARGE)
    assert closed == ["10.0.0.1", "10.0.0.2", "10.0.0.1"]


def test_what_could_not_be_measured_is_unknown_and_tried_again_soon():
    async def script(servers, meter):
        servers.silent = True
        assert await meter.cost(KEY, ["10.0.0.1"]) is None
        servers.silent = False
        assert await meter.cost(KEY, ["10.0.0.1"]) is None
        await asyncio.sleep(calls.AGAIN_S)
        return await meter.cost(KEY, ["10.0.0.1"]), servers.closed

    cost, closed = measured(script)
    assert cost is not None
    assert closed == ["10.0.0.1"] * 2


def test_a_measurement_that_takes_too_long_is_given_up():
    async def script(servers, meter):
        servers.takes_s = 60.0
        cost = await meter.cost(KEY, ["10.0.0.1"])
        return cost, seconds(), servers.closed

    assert measured(script) == (None, calls.PATIENCE_S, ["10.0.0.1"])


def test_one_pipeline_is_measured_at_a_time_and_few_servers_of_it():
    async def script(servers, meter):
        many = [f"10.0.0.{number}" for number in range(20)]
        first = asyncio.create_task(meter.cost(KEY, many))
        await asyncio.sleep(0)
        assert await meter.cost(OTHER, ["10.9.9.9"]) is None
        assert await meter.cost(KEY, []) is None
        await first
        assert len({ip for ip, _ in servers.called}) == calls.SERVERS
        meter.forget(KEY)
        count = len(servers.called)
        await meter.cost(KEY, ["10.0.0.1"])
        return count, len(servers.called)

    before, after = measured(script)
    assert before < after


def referring(mode="Auto"):
    steps = list(factories.pipeline().spec.steps)
    steps[1] = steps[1].with_(model=None, model_ref=ModelRef(name="detector"))
    return factories.pipeline(steps=steps, execution=ExecutionSpec(mode=mode))


async def served(cluster, pipeline, *ips):
    """Have a pipeline, and the InferenceModel that its step refers to, serve."""
    prepare(cluster, pipeline)
    cluster.model("detector", model=factories.source(model_format="python"))
    await cluster.settle()
    cluster.serve("detector", *ips)
    await cluster.settle()
    serve(cluster, ready=False)
    await cluster.settle(10)
    serve(cluster)
    await cluster.settle(30)


def test_the_status_of_a_pipeline_says_what_a_call_costs(cluster, play):
    async def script(cluster):
        await served(cluster, referring(), "10.0.0.9")

    play(script)
    call = status(cluster)["execution"]["call"]
    assert call == {"milliseconds": 1.0, "mebibytesPerSecond": 954.0}


def test_nobody_is_called_where_nothing_may_be_cut_off(cluster, play):
    async def script(cluster):
        await served(cluster, referring("Ensemble"), "10.0.0.9")

    play(script)
    assert "call" not in status(cluster)["execution"]
