"""Models are measured before their clients come, and begin to be tuned with what that showed."""

import asyncio

import pytest

from ferryman.api.batching import BatchingSpec
from ferryman.clients.triton import InferenceRefused
from ferryman.handlers.execute import MOST_MEASURED
from tests import factories
from tests.fakes import seconds, wire
from tests.unit.handlers.scenes import prepare, readiness

ASKED = BatchingSpec(warm_start="Benchmark")
IP = "10.0.0.1"


async def begun(cluster, batching=ASKED):
    """Have a model served whose Triton has the largest bound in force, as it starts with."""
    prepare(cluster)
    cluster.model(batching=batching)
    await cluster.settle()
    server = cluster.tritons.at(IP)
    server.batching = server.batching.with_(max_batch_size=64)
    cluster.serve()
    return server


def warm_start(cluster, name="resnet50"):
    return cluster.status(name)["batching"].get("warmStart")


def told(cluster):
    reasons = ("Measuring", "Measured", "RequestsRefused")
    return [(kind, reason) for _, kind, reason, _ in cluster.api.events if reason in reasons]


def test_a_model_is_measured_before_it_is_ready(cluster, play):
    async def script(cluster):
        server = await begun(cluster)
        await cluster.settle(30)
        return server

    server = play(script)
    assert set(server.inferred) == {1, 2, 4, 8, 16, 32, 64}
    assert warm_start(cluster)["outcome"] == "Measured"
    (times,) = cluster.status()["serviceTimes"]
    assert times["nodeType"] == "cpu-small"
    assert {point["batchSize"]: point["milliseconds"] for point in times["points"]} == (
        pytest.approx({size: 2.0 + size for size in (1, 2, 4, 8, 16, 32, 64)}, rel=0.05)
    )
    assert readiness(cluster, 2)[-2:] == [("False", "Measuring"), ("True", "Serving")]
    assert cluster.condition("ObjectivesMet") == ("Unknown", "Observing"), "no window of our own"
    assert told(cluster) == [("Normal", "Measuring"), ("Normal", "Measured")]


def test_it_is_measured_once_even_by_an_operator_that_starts_anew(cluster, play):
    async def script(cluster):
        server = await begun(cluster)
        await cluster.settle(30)
        before = dict(server.inferred)
        await cluster.end()
        await cluster.begin()
        await cluster.settle(30)
        return before, dict(server.inferred)

    before, after = play(script)
    assert before == after


def test_an_operator_that_ends_meanwhile_leaves_it_untried(cluster, play):
    async def script(cluster):
        server = await begun(cluster)
        server.curve_ms = lambda _size: 5_000.0
        await cluster.settle(10)
        during = warm_start(cluster)
        await cluster.end()
        await cluster.begin()
        await cluster.settle(10)
        return during

    assert play(script)["outcome"] == "InProgress"
    found = warm_start(cluster)
    assert (found["outcome"], found["reason"]) == ("NotMeasured", "MeasurementInterrupted")
    assert cluster.condition("Ready") == ("True", "Serving")


def test_the_readiness_of_a_model_that_was_in_use_does_not_wait(cluster, play):
    async def script(cluster):
        server = await begun(cluster, BatchingSpec())
        server.requests_per_s = 50.0
        await cluster.beat(60)
        server.requests, server.requests_per_s = int(50 * seconds()), 0.0
        await cluster.beat(60)
        written = len(cluster.api.statuses)
        cluster.model(batching=ASKED)
        await cluster.beat(30)
        return cluster.api.statuses[written:]

    later = play(script)
    assert warm_start(cluster)["outcome"] == "Measured"
    reasons = {c["reason"] for s in later for c in s["conditions"] if c["type"] == "Ready"}
    assert "Measuring" not in reasons


def test_where_clients_ask_already_nothing_is_sent_and_the_model_is_tuned(cluster, play):
    async def script(cluster):
        prepare(cluster)
        cluster.model(batching=ASKED)
        await cluster.settle()
        server = cluster.tritons.at(IP)
        server.batching = server.batching.with_(max_batch_size=64)
        server.requests_per_s = 50.0
        cluster.serve()
        await cluster.beat(60)
        return server

    server = play(script)
    assert server.inferred == {}
    assert warm_start(cluster)["reason"] == "ClientsAsk"
    assert cluster.condition("Ready") == ("True", "Serving")
    assert cluster.status()["observed"]["inferencesPerSecond"] == 50


def test_a_model_that_refuses_is_ready_and_says_why(cluster, play):
    async def script(cluster):
        server = await begun(cluster)
        server.inference_refusal = InferenceRefused("no such word")
        await cluster.settle(30)

    play(script)
    found = warm_start(cluster)
    assert (found["outcome"], found["reason"]) == ("NotMeasured", "RequestsRefused")
    assert "no such word" in found["message"]
    assert told(cluster)[-1] == ("Warning", "RequestsRefused")
    assert cluster.condition("Ready") == ("True", "Serving")


def test_no_more_models_than_may_be_are_measured_at_once(cluster, play):
    count = MOST_MEASURED + 2
    names = [f"m{number}" for number in range(count)]

    async def script(cluster):
        cluster.api.put("runtimes", wire(factories.runtime()))
        cluster.node()
        most = 0
        for number, name in enumerate(names):
            server = cluster.tritons.at(f"10.0.0.{number + 1}")
            server.batching = server.batching.with_(max_batch_size=64)
            server.curve_ms = lambda _size: 100.0
            cluster.model(name, batching=ASKED)
            await cluster.settle()
        for number, name in enumerate(names):
            cluster.serve(name, f"10.0.0.{number + 1}")
        for _ in range(120):
            await asyncio.sleep(1)
            cluster.heartbeat()
            states = [(warm_start(cluster, name) or {}).get("outcome") for name in names]
            most = max(most, states.count("InProgress"))
        return most, states

    most, states = play(script)
    assert states == ["Measured"] * count
    assert most <= MOST_MEASURED
