"""The open loop against a fake server on loopback that is slow, wrong or gone."""

import asyncio
import json
import time
from contextlib import asynccontextmanager

import numpy as np
import pytest
from aiohttp import web

from ferryman.clients import load_inputs
from ferryman.clients.load import generator as load
from ferryman.clients.load.generator import LoadSettings, TargetUnavailable

METADATA = {
    "name": "m",
    "inputs": [{"name": "input", "datatype": "FP32", "shape": [-1, 1]}],
    "outputs": [{"name": "label", "datatype": "INT64", "shape": [-1, 1]}],
}
SEVEN = {"outputs": [{"name": "label", "datatype": "INT64", "shape": [1, 1], "data": [7]}]}


@asynccontextmanager
async def fake(answer, config=None, clients=None):
    """Serve one model whose inference is the coroutine `answer(number)`.

    None hides its config; who connects is noted in ``clients``.
    """
    count = 0

    async def infer(request):
        nonlocal count
        await request.read()
        if clients is not None:
            clients.add(request.transport.get_extra_info("peername"))
        count += 1
        return await answer(count)

    async def metadata(_):
        return web.json_response(METADATA)

    async def configuration(_):
        return web.json_response(config, status=403 if config is None else 200)

    app = web.Application()
    app.add_routes([web.post("/v2/models/m/infer", infer), web.get("/v2/models/m", metadata)])
    app.add_routes([web.get("/v2/models/m/config", configuration)])
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}"
    finally:
        await runner.cleanup()


def after(seconds, payload=SEVEN, status=200):
    async def answer(_):
        await asyncio.sleep(seconds)
        return web.Response(body=json.dumps(payload).encode(), status=status)

    return answer


async def run(url, labels=None, on_interval=lambda _: None, stop=None, **settings):
    signature = await load.signature_of(url, "m")
    requests = load_inputs.random_requests(signature, 1, 0)
    if labels is not None:
        requests = [
            load_inputs.inference.build({"input": np.zeros((1, 1), np.float32)}, ["label"], label)
            for label in np.array(labels).reshape(-1, 1)
        ]
    plan = LoadSettings(arrivals="constant", **settings)
    return await load.run(url, "m", requests, plan, on_interval=on_interval, stop=stop)


async def test_every_due_request_is_answered_and_every_second_is_reported():
    intervals = []
    async with fake(after(0.01)) as url:
        result = await run(
            url, labels=[7, 7, 7, 8], on_interval=intervals.append, rate_per_s=40, duration_s=2
        )
    summary = result.summary
    assert (summary.sent, summary.figures.ok, summary.figures.failed) == (80, 80, 0)
    assert summary.figures.accuracy == 0.75
    assert 10 <= summary.figures.p50_ms < 200
    assert sum(interval.sent for interval in intervals) == 80
    assert sum(interval.figures.ok for interval in intervals) == 80
    assert intervals[0].t == 1.0


async def test_a_request_that_cannot_be_sent_is_a_failure_and_not_an_omission():
    async with fake(after(10)) as url:
        result = await run(url, rate_per_s=50, duration_s=1, max_in_flight=4, deadline_s=1.5)
    summary = result.summary
    assert (summary.sent, summary.figures.ok) == (50, 0)
    assert summary.failures == {"not sent": 46, "deadline": 4}
    assert summary.examples["not sent"] == "4 requests were in flight"
    assert summary.examples["deadline"] == "no answer in 1.5 s"
    assert len(result.records) == 50


async def test_latency_counts_from_when_a_request_was_due_and_not_from_when_it_was_sent():
    blocked_s = 0.5
    stops_s = []

    async def block(number):
        if number == 5:
            begun_s = time.monotonic()
            time.sleep(blocked_s)  # noqa: ASYNC251  stops the generator too: it is sent late
            stops_s.append(time.monotonic() - begun_s)
        return await after(0)(number)

    async with fake(block) as url:
        result = await run(url, rate_per_s=100, duration_s=1)
    slow = [record.latency_ms for record in result.records if record.latency_ms > 100]
    assert result.summary.figures.failed == 0
    # Due evenly over the stop, they waited evenly from its length down to 100 ms; longer where the
    # machine is busy with something else after it. Had they counted from when they were sent, a
    # single one would have been slow.
    (stopped_ms,) = (1e3 * stop_s for stop_s in stops_s)
    assert len(slow) >= 35
    assert max(slow) >= stopped_ms - 50
    assert np.mean(slow) >= (stopped_ms + 100) / 2 - 50


@pytest.mark.parametrize(
    ("answer", "outcome", "words"),
    [
        pytest.param(after(0, {"error": "busy"}, 503), "refused", "503", id="an error status"),
        pytest.param(after(0, {"error": "x"}), "invalid answer", "v2 protocol", id="no tensors"),
    ],
)
async def test_wrong_answers_are_failures(answer, outcome, words):
    async with fake(answer) as url:
        result = await run(url, rate_per_s=20, duration_s=0.5)
    assert result.summary.failures == {outcome: 10}
    assert words in result.summary.examples[outcome]


async def test_a_server_that_goes_away_is_a_failed_connection_without_a_second_try():
    tried = 0

    async def hang_up(_):
        nonlocal tried
        tried += 1
        raise asyncio.CancelledError

    async with fake(hang_up) as url:
        result = await run(url, rate_per_s=20, duration_s=0.5)
    assert result.summary.failures == {"connection": 10}
    assert tried == 10


async def test_a_stop_ends_the_sending_and_still_accounts_for_what_is_in_flight():
    stop = asyncio.Event()
    asyncio.get_running_loop().call_later(0.5, stop.set)
    started = time.monotonic()
    async with fake(after(0.2)) as url:
        result = await run(url, stop=stop, rate_per_s=1, duration_s=600)
    assert time.monotonic() - started < 5
    assert (result.summary.sent, result.summary.figures.ok) == (1, 1)


async def test_an_unknown_model_and_an_absent_server_are_told_apart(unused_tcp_port):
    async with fake(after(0)) as url:
        with pytest.raises(TargetUnavailable, match="does not serve other: 404"):
            await load.signature_of(url, "other")
    with pytest.raises(TargetUnavailable, match="does not answer"):
        await load.signature_of(f"http://127.0.0.1:{unused_tcp_port}", "m")


@pytest.mark.parametrize(
    ("config", "size"),
    [
        pytest.param({"max_batch_size": 8}, 8, id="it batches"),
        pytest.param({"name": "m"}, 0, id="it takes no batches"),
        pytest.param(None, None, id="the server keeps it to itself"),
    ],
)
async def test_whether_a_model_batches_is_asked_of_its_configuration(config, size):
    async with fake(after(0), config) as url:
        assert (await load.signature_of(url, "m")).max_batch_size == size


async def test_a_schedule_of_ones_own_is_kept_to():
    due_s = (0.0, 0.1, 0.1, 0.35)
    async with fake(after(0)) as url:
        result = await run(url, rate_per_s=1_000, duration_s=0.5, due_s=due_s)
    assert sorted(record.due_s for record in result.records) == list(due_s)
    assert result.summary.figures.failed == 0


@pytest.mark.parametrize(
    ("new_connections", "opened"),
    [
        pytest.param(False, 1, id="connections are kept and used again"),
        pytest.param(True, 20, id="each request has a connection of its own, where asked for"),
    ],
)
async def test_connections(new_connections, opened):
    clients = set()
    async with fake(after(0), clients=clients) as url:
        result = await run(url, rate_per_s=40, duration_s=0.5, new_connections=new_connections)

    assert result.summary.figures.failed == 0
    assert len(clients) == opened
