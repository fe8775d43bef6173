"""Preferred sizes, queue policies and rejected requests on a real tritonserver."""

import asyncio
from collections import Counter

import aiohttp
import numpy as np
import pytest

from ferryman.api.batching import Batching, WindowSettings
from ferryman.clients import inference, model_config, pbtxt
from ferryman.clients.triton_metrics import ModelMetrics
from ferryman.core.observation.window import WindowState, observe
from ferryman.core.triton import config as triton_config
from hack.models import sleeper
from tests import factories
from tests.integration.test_triton import ARGS, connected
from tests.integration.triton_counters import settled
from tests.integration.tritonserver import TritonServer

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]

#: 50 ms a batch of at most 4: 80 requests a second, and one that waits 60 ms is too late.
FILE = sleeper.config(fixed_us=50_000, per_item_us=0, max_batch_size=4)
LATE = Batching(max_batch_size=4, default_timeout_microseconds=60_000)
REQUEST = inference.build({"input": np.ones((1, 1), np.float32)}, [], None)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    repository = tmp_path_factory.mktemp("models")
    sleeper.write(repository / "sleeper", FILE)
    with TritonServer(repository, args=ARGS, models=["sleeper"]) as running:
        yield running


async def burst(server, count):
    """Send so many requests at once; return how many got each HTTP status."""
    url = f"http://{server.http_url}/v2/models/sleeper/infer"
    limit = aiohttp.TCPConnector(limit=count)
    async with aiohttp.ClientSession(connector=limit) as http:

        async def one():
            async with http.post(url, data=REQUEST.body, headers=REQUEST.headers) as answer:
                await answer.read()
                return answer.status

        return Counter(await asyncio.gather(*(one() for _ in range(count))))


SEQUENCE = (
    {"preferred_batch_size": (2, 4)},
    {"default_timeout_microseconds": 60_000, "preferred_batch_size": (8,)},
    {"max_queue_size": 100, "preferred_batch_size": (4, 16)},
    {},
)


@pytest.mark.parametrize("from_file", [True, False], ids=["from the file", "from what is live"])
async def test_what_is_applied_is_what_is_then_shown_and_nothing_outlives_it(server, from_file):
    async with connected(server) as client:
        for fields in SEQUENCE:
            wanted = Batching(max_batch_size=8, **fields)
            await client.apply_batching(wanted, config_pbtxt=FILE if from_file else None)
            assert (await client.model()).batching == wanted.canonical()


OVERLAYS = {
    "none": {},
    "preferred sizes, also beyond the bound": {"preferred_batch_size": [2, 4, 32]},
    "a policy that rejects": {"default_queue_policy": {"default_timeout_microseconds": 70_000}},
    "a policy that delays": {
        "default_queue_policy": {
            "timeout_action": "DELAY",
            "default_timeout_microseconds": 70_000,
            "allow_timeout_override": True,
        }
    },
}


@pytest.mark.parametrize("dynamic", OVERLAYS.values(), ids=OVERLAYS.keys())
async def test_what_an_overlay_states_stays_in_force_and_is_no_drift(server, dynamic):
    """Rendered, loaded and read back, a tuner's wish shows as ``in_effect`` says."""
    overlay = {**pbtxt.decode(FILE), "dynamic_batching": dynamic}
    del overlay["backend"]
    source = factories.source(model_format="python", config=overlay)
    entry = factories.runtime_processor(backends={"python": "python"})
    wish = Batching(
        max_batch_size=8, preferred_batch_size=(3,), default_timeout_microseconds=60_000
    )
    wanted = triton_config.in_effect(overlay, wish)
    config = triton_config.model_config("sleeper", entry, source, wanted)
    async with connected(server) as client:
        await client.apply_batching(wanted, config_pbtxt=pbtxt.encode(config))
        live = await client.model()
        assert live.batching == wanted
        assert triton_config.in_effect(overlay, live.batching) == wanted
        in_force = await client._live_config()
        policy = in_force.dynamic_batching.default_queue_policy
        assert policy.allow_timeout_override == ("DELAY" in str(dynamic))
        # A step of the bound alone leaves the user's own words as they are.
        await client.apply_batching(
            triton_config.in_effect(overlay, wanted.with_(max_batch_size=6))
        )
        after = (await client._live_config()).dynamic_batching
    assert after.default_queue_policy == policy
    assert model_config.batching_of(in_force) == wanted


async def test_requests_that_wait_too_long_are_counted_apart_from_failures(server):
    async with connected(server) as client:
        await client.apply_batching(LATE, config_pbtxt=FILE)
        before = await settled(client)
        answers = await burst(server, 60)
        after = await settled(client)
        assert answers[200] > 0
        assert answers[503] > 0
        assert after.rejected_count - before.rejected_count == answers[503]
        assert after.success_count - before.success_count == answers[200]
        assert after.failure_count == before.failure_count

        # A reload resets the statistics but not the metrics: neither shows as a failure.
        await client.apply_batching(LATE.with_(max_batch_size=8))
        reloaded = await settled(client)
        assert (reloaded.success_count, reloaded.rejected_count) == (0, after.rejected_count)
        assert reloaded.failure_count == after.failure_count


async def test_without_a_metrics_page_rejections_count_as_failures(server, monkeypatch):
    async with connected(server) as client:

        async def nothing(_model):
            return ModelMetrics()

        monkeypatch.setattr(client._metrics, "read", nothing)
        await client.apply_batching(LATE, config_pbtxt=FILE)
        before = await settled(client)
        answers = await burst(server, 40)
        after = await settled(client)
    assert after.rejected_count is None
    assert after.failure_count - before.failure_count == answers[503] > 0


async def test_triton_counts_requests_that_find_a_full_queue_nowhere(server):
    """Why a bounded queue must not be what decides: nobody but the clients would know."""
    async with connected(server) as client:
        await client.apply_batching(Batching(max_batch_size=4, max_queue_size=3), config_pbtxt=FILE)
        before = await settled(client)
        answers = await burst(server, 40)
        after = await settled(client)
    assert answers[503] > 0
    assert after.rejected_count == before.rejected_count
    assert after.failure_count == before.failure_count
    assert after.success_count - before.success_count == answers[200]


async def test_a_window_tells_what_was_asked_for_although_most_of_it_is_rejected(server):
    """Bursts of 30 a second for 3 s: every reading accounts for all of its requests."""
    settings = WindowSettings(max_requests=1_000, max_seconds=3, min_seconds=1)
    async with connected(server) as client:
        await client.apply_batching(LATE, config_pbtxt=FILE)
        state, window, sent = WindowState(), None, Counter()
        for turn in range(10):
            reading = {"pod": await settled(client)}
            now_s = reading["pod"].now_s
            state, window = observe(
                state, reading, settings, percentile=99, now_s=now_s, changed_at_s=None
            )
            if window is not None:
                break
            sent += await burst(server, 30)
            await asyncio.sleep(0.2)
            assert turn < 9
    assert window is not None
    assert (window.requests, window.rejected, window.failures) == (sent[200], sent[503], 0)
    assert [count for _, count in window.arrived] == [30] * (sum(sent.values()) // 30)
    assert sum(seconds for seconds, _ in window.arrived) == pytest.approx(window.seconds)
