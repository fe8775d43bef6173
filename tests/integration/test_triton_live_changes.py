"""Live changes of batching under open-loop load: no failed request, every answer correct."""

import asyncio
import time
from collections import Counter

import aiohttp
import numpy as np
import onnxruntime
import pytest

from ferryman.api.inference_model import Batching
from ferryman.clients import load, load_inputs, triton
from ferryman.clients.load import LoadSettings
from ferryman.clients.triton import Ports
from hack.models import digits
from tests.integration.tritonserver import TritonServer

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]

FILE = """
backend: "onnxruntime" max_batch_size: 8 dynamic_batching {}
instance_group { count: 1 kind: KIND_CPU }
"""
RATE_PER_S = 100
POLL_S = 0.02
PAUSE_S = 0.5
#: (bound, delay in microseconds, instances): every second change is of instances alone.
CHANGES = [
    (bound, delay, instances)
    for bound, delay in (
        (16, 0), (4, 2_000), (32, 500), (1, 0), (8, 5_000),
        (64, 0), (2, 100), (24, 1_000), (6, 0), (12, 300),
    )
    for instances in (1, 2)
]  # fmt: skip


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    repository = tmp_path_factory.mktemp("models")
    digits.write(repository / "digits")
    (repository / "digits" / "config.pbtxt").write_text(FILE)
    with TritonServer(repository, models=["digits"]) as running:
        yield running


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Held-out pictures, labelled with what the model itself must say of them."""
    images = digits.data().held_out_images
    session = onnxruntime.InferenceSession(
        digits.build().SerializeToString(), providers=["CPUExecutionProvider"]
    )
    labels = session.run(["label"], {"input": images})[0]
    path = tmp_path_factory.mktemp("pictures") / "in.npz"
    np.savez(path, images=images, labels=labels.ravel())
    return path


class Readiness:
    """What the readiness probe would have seen, asked every 20 ms."""

    def __init__(self, url):
        self.seen = Counter()
        self._url = url

    async def watch(self, done):
        """Ask until done."""
        async with aiohttp.ClientSession(self._url) as http:
            while not done.is_set():
                for path in ("/v2/models/digits/ready", "/v2/health/ready"):
                    async with http.get(path) as answer:
                        self.seen[path, answer.status] += 1
                await asyncio.sleep(POLL_S)


async def change_often(server, done):
    """Make all changes one after another; return how long each took, by what it changed."""
    ports = Ports(*(int(url.rpartition(":")[2].split("/")[0]) for url in (
        server.grpc_url, server.metrics_url,
    )))  # fmt: skip
    client = triton.connect("127.0.0.1", "digits", "", clock=time.monotonic, ports=ports)
    seconds = {"reload": [], "in place": []}
    try:
        for bound, delay, instances in CHANGES:
            await asyncio.sleep(PAUSE_S)
            before = await client.statistics()
            started = time.monotonic()
            wanted = Batching(
                max_batch_size=bound, max_queue_delay_microseconds=delay, instances=instances
            )
            await client.apply_batching(wanted)
            took_s = time.monotonic() - started
            after = await client.statistics()
            assert (await client.model()).batching == wanted
            kept = after.success_count >= before.success_count
            assert kept == (instances == 2), "only a change of instances alone keeps the counters"
            seconds["in place" if kept else "reload"].append(took_s)
    finally:
        done.set()
        await client.close()
    return seconds


async def test_twenty_changes_under_load_fail_no_request_and_keep_the_server_ready(
    server, pictures
):
    url = f"http://{server.http_url}"
    requests = load_inputs.from_file(pictures, await load.signature_of(url, "digits"), 1)
    settings = LoadSettings(RATE_PER_S, duration_s=200, seed=7)
    done = asyncio.Event()
    readiness = Readiness(url)
    result, seconds, _ = await asyncio.gather(
        load.run(url, "digits", requests, settings, stop=done),
        change_often(server, done),
        readiness.watch(done),
    )
    figures = result.summary.figures
    print(
        f"{len(CHANGES)} changes, {result.summary.sent} requests, {figures.failed} failed, "
        f"p50 {figures.p50_ms} p99 {figures.p99_ms} max {figures.max_ms} ms; "
        + "; ".join(
            f"{kind}: median {np.median(times):.2f}, longest {max(times):.2f} s"
            for kind, times in seconds.items()
        )
        + f"; readiness {dict(readiness.seen)}"
    )
    assert (figures.failed, result.summary.examples) == (0, {})
    assert figures.accuracy == 1.0
    assert result.summary.sent > RATE_PER_S * PAUSE_S * len(CHANGES)
    assert {kind: len(times) for kind, times in seconds.items()} == {"reload": 10, "in place": 10}
    assert {status for _, status in readiness.seen} == {200}
    assert min(readiness.seen.values()) > 200
