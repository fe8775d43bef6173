"""The models of the scenarios: a sleeper that takes a scenario's service time, or digits."""

import asyncio
import json
import tempfile
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any, Final

import aiohttp

from benchmarks import servers
from ferryman.api.batching import Batching
from ferryman.clients import load_inputs, model_config, pbtxt
from ferryman.clients.inference import Request
from ferryman.clients.load import generator as load
from ferryman.core.queue_model.service_curve import Knot, ServiceTime
from ferryman.core.simulator.scenario import Scenario
from hack.models import digits, sleeper
from tests.integration.tritonserver import TritonServer

SLEEPER: Final = "sleeper"
DIGITS: Final = "digits"
#: As the operator starts Triton: percentiles over the last 60 s.
ARGS: Final = ("--metrics-config=summary_latencies=true",)
#: How long digits takes is the median over so many rounds of so many executions each: a
#: neighbour on the machine delays some of them.
ROUNDS: Final = 7
REPEATS: Final = 20
_ONNX: Final = """
backend: "onnxruntime" max_batch_size: 8 dynamic_batching {}
instance_group { count: 1 kind: KIND_CPU }
"""


def write(repository: Path, model: str, scenario: Scenario, batching: Batching) -> str:
    """Write a scenario's model with a batching into a repository; return its configuration."""
    folder = repository / model
    if model == DIGITS:
        digits.write(folder)
        text = _ONNX
    else:
        largest = scenario.batching.limits.max_batch_size.max
        curve_s = scenario.service_time.curve_s(largest)
        text = sleeper.config(curve_us=[round(tau_s * 1e6) for tau_s in curve_s])
        sleeper.write(folder)
    text = pbtxt.to_text(model_config.with_batching(pbtxt.from_text(text), batching))
    (folder / "config.pbtxt").write_text(text)
    return text


def measure_digits(largest: int) -> ServiceTime:
    """Return how long an idle Triton takes for batches of digits up to a size."""
    batching = Batching(max_batch_size=largest)
    with tempfile.TemporaryDirectory() as folder:
        digits.write(Path(folder) / DIGITS)
        text = pbtxt.to_text(model_config.with_batching(pbtxt.from_text(_ONNX), batching))
        (Path(folder) / DIGITS / "config.pbtxt").write_text(text)
        with TritonServer(Path(folder), args=ARGS, models=[DIGITS]) as server:
            return asyncio.run(_service_time(server, largest))


async def _service_time(server: TritonServer, largest: int) -> ServiceTime:
    url = f"http://{server.http_url}"
    sizes = [2**exponent for exponent in range(largest.bit_length())]
    knots = []
    signature = await load.signature_of(url, DIGITS)
    async with servers.connected(server, DIGITS) as client, aiohttp.ClientSession() as http:
        for size in sizes:
            [request, *_] = load_inputs.random_requests(signature, size, 0)
            readings = []
            for _ in range(1 + ROUNDS):  # before the first reading: the warm-up
                await _repeat(http, url, request, REPEATS)
                readings.append((await client.statistics()).batches[size])
            took_ms = median(
                (after[1] - before[1]) / (after[0] - before[0]) / 1e6
                for before, after in pairwise(readings)
            )
            knots.append(Knot(batch_size=size, milliseconds=round(took_ms, 3)))
    return ServiceTime(knots=tuple(knots))


async def _repeat(http: aiohttp.ClientSession, url: str, request: Request, times: int) -> None:
    for _ in range(times):
        async with http.post(
            f"{url}/v2/models/{DIGITS}/infer", data=request.body, headers=request.headers
        ) as answer:
            answer.raise_for_status()
            await answer.read()


def kept_service_time(path: Path, largest: int, key: Mapping[str, Any]) -> ServiceTime:
    """Return the measured service time of digits from a file; measure it where it is missing.

    ``key`` is what it depends on: with another one it is measured again.
    """
    if path.exists():
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["key"] == key:
            return ServiceTime.model_validate(content["serviceTime"])
    found = measure_digits(largest)
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {"key": key, "serviceTime": found.model_dump(mode="json", by_alias=True)}
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return found
