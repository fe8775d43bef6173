import asyncio
import json
import logging

import aiohttp
import pytest

from ferryman.clients.json_log import JsonFormatter
from ferryman.clients.kubernetes_errors import TemporaryError
from ferryman.handlers.health import CHECK_PERIOD_S, Health, serve
from ferryman.handlers.metrics import Metrics
from tests.fakes import FakeKubernetes, run_virtually, seconds


class Queue:
    """A queue whose oldest key has waited for so long."""

    depth = 3

    def __init__(self, stuck_s):
        self._stuck_s = stuck_s

    def stuck_s(self):
        """Return what the test says."""
        return self._stuck_s


@pytest.mark.parametrize(
    ("silent_s", "queue", "problem"),
    [
        pytest.param(0, Queue(0), None, id="all is well"),
        pytest.param(59, Queue(59), None, id="a minute of patience"),
        pytest.param(61, Queue(0), "the API server has not answered for 61 s", id="silence"),
        pytest.param(0, Queue(61), "work has waited for 61 s", id="work lies untouched"),
        pytest.param(0, None, None, id="waiting for the definitions is no failure"),
    ],
)
def test_health_is_freshness(silent_s, queue, problem):
    clock = iter([0.0, silent_s, silent_s])
    health = Health(lambda: next(clock), queue=queue)
    found = health.problem()
    assert found is None if problem is None else problem in found


def test_the_api_server_is_asked_for_a_sign_of_life():
    async def main():
        api, health = FakeKubernetes(), Health(seconds)
        checking = asyncio.create_task(health.check(api))
        await asyncio.sleep(CHECK_PERIOD_S * 10)
        well = health.problem()
        api.fail_next = [TemporaryError("down")] * 100
        await asyncio.sleep(CHECK_PERIOD_S * 10)
        ill = health.problem()
        api.fail_next = []
        await asyncio.sleep(CHECK_PERIOD_S)
        checking.cancel()
        return well, ill, health.problem()

    well, ill, again = run_virtually(main())
    assert well is None
    assert "has not answered" in ill
    assert again is None


def test_the_pages_are_served():
    async def main():
        metrics, health = Metrics(), Health(seconds, queue=Queue(0))
        metrics.write("apply", "Deployment")
        pages = {}
        async with (
            serve(health, metrics, host="127.0.0.1", port=0) as port,
            aiohttp.ClientSession(f"http://127.0.0.1:{port}") as http,
        ):
            for path in ("/healthz", "/readyz", "/metrics"):
                async with http.get(path) as answer:
                    pages[path] = answer.status, await answer.text()
        return pages

    pages = asyncio.run(main())
    assert pages["/healthz"] == (200, "ok")
    assert pages["/readyz"][0] == 503, "the watches have not listed anything yet"
    assert 'ferryman_api_writes_total{kind="Deployment",verb="apply"} 1.0' in pages["/metrics"][1]
    assert "ferryman_queue_depth 3.0" in pages["/metrics"][1]


def test_a_log_line_is_one_json_object_with_its_fields():
    record = logging.makeLogRecord(
        {"name": "ferryman.x", "levelname": "INFO", "msg": "two\nlines", "model": "a/b"}
    )
    line = JsonFormatter().format(record)
    assert "\n" not in line
    parsed = json.loads(line)
    assert (parsed["message"], parsed["model"], parsed["level"]) == ("two\nlines", "a/b", "info")
