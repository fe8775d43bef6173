import asyncio
import errno
import json
import logging
import socket
import time
from http import HTTPStatus

import aiohttp
import pytest

from ferryman.clients.kubernetes_errors import TemporaryError
from ferryman.handlers.health import CHECK_PERIOD_S, UNREADY_AFTER_S, Health, serve
from ferryman.handlers.metrics import Metrics
from ferryman.json_log import JsonFormatter
from tests.fakes import FakeKubernetes, run_virtually, seconds


class Queue:
    """A queue whose oldest key has waited for so long."""

    depth = 3

    def __init__(self, stuck_s):
        self._stuck_s = stuck_s

    def stuck_s(self):
        """Return what the test says."""
        return self._stuck_s


def ready_health():
    """Return the health of an operator that is at work."""
    health = Health(seconds)
    health.ready = True
    return health


SILENT = "the API server has not answered for 61 s"
STUCK = "work has waited for 61 s and none was handled"
UNASKED = "the API server was not asked for 61 s"
LISTING = "waiting for the watches to list everything"


@pytest.mark.parametrize(
    ("silent_s", "unasked_s", "queue", "ready", "problem", "hindrance"),
    [
        pytest.param(0, 0, Queue(0), True, None, None, id="all is well"),
        pytest.param(59, 59, Queue(59), True, None, None, id="a minute of patience"),
        pytest.param(61, 0, Queue(0), True, None, SILENT, id="silence: a new start does not help"),
        pytest.param(61, 0, Queue(300), True, None, SILENT, id="work that waits for the silent"),
        pytest.param(0, 0, Queue(61), True, STUCK, STUCK, id="work lies untouched"),
        pytest.param(61, 61, Queue(0), True, UNASKED, SILENT, id="nobody asks any more"),
        pytest.param(0, 0, None, False, None, LISTING, id="waiting for the definitions"),
        pytest.param(61, 0, None, False, None, SILENT, id="waiting for them, and silence"),
    ],
)
def test_health_is_freshness(silent_s, unasked_s, queue, ready, problem, hindrance):
    health = Health(lambda: 1000.0, queue=queue)
    health.ready = ready
    health.answered_at_s -= silent_s
    health.asked_at_s -= unasked_s
    assert (health.problem(), health.hindrance()) == (problem, hindrance)


def test_the_api_server_is_asked_for_a_sign_of_life():
    async def main():
        api, health = FakeKubernetes(), ready_health()
        checking = asyncio.create_task(health.check(api))
        found = []
        for errors in ([], [TemporaryError("down")] * 100, []):
            api.fail_next = errors
            await asyncio.sleep(CHECK_PERIOD_S * 10)
            found.append((health.problem(), health.hindrance()))
        checking.cancel()
        return found

    well, ill, again = run_virtually(main())
    assert well == again == (None, None)
    assert ill[0] is None, "a new start would not help"
    assert "has not answered" in ill[1]


def test_a_check_that_broke_is_a_reason_to_start_anew():
    class Broken:
        async def ping(self):
            raise KeyError("nobody foresaw this")

    async def main():
        health = ready_health()
        checking = asyncio.create_task(health.check(Broken()))
        await asyncio.sleep(CHECK_PERIOD_S * 10)
        assert isinstance(checking.exception(), KeyError)
        return health.problem()

    assert "was not asked" in run_virtually(main())


@pytest.mark.parametrize(
    ("at_work", "problem"),
    [
        pytest.param([(0, 400)], None, id="one session that lasts"),
        pytest.param([(0, 100), (130, 250)], None, id="sessions that last, with a pause"),
        pytest.param([(0, 100)], "not been at work for 300 s", id="no session any more"),
        pytest.param(
            [(at_s, at_s + 20) for at_s in range(0, 400, 25)],
            "not been at work for 400 s",
            id="one session after the other that fails",
        ),
    ],
)
def test_an_operator_that_is_not_at_work_for_minutes_is_to_start_anew(at_work, problem):
    async def main():
        health = Health(seconds)
        for begin_s, end_s in at_work:
            await asyncio.sleep(begin_s - seconds())
            health.ready = True
            await asyncio.sleep(end_s - seconds())
            health.ready = False
        await asyncio.sleep(400 - seconds())
        health.answered()
        health.asked_at_s = seconds()
        return health.problem()

    found = run_virtually(main())
    assert problem in found if problem else found is None


def test_waiting_for_the_definitions_is_no_reason_to_start_anew():
    async def main():
        health = Health(seconds)
        await asyncio.sleep(UNREADY_AFTER_S * 2)
        health.answered()
        health.asked_at_s = seconds()
        before = health.problem()
        health.waits()
        return before, health.problem()

    before, after = run_virtually(main())
    assert "not been at work" in before
    assert after is None


def test_a_session_that_left_something_behind_is_a_reason_to_start_anew():
    health = Health(lambda: 0.0)
    health.ready, health.left_behind = True, 1
    assert "did not end" in health.problem()


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
    assert pages["/readyz"] == (503, LISTING)
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


@pytest.mark.parametrize("address", ["127.0.0.1", "[::1]"])
async def test_without_a_host_both_families_are_answered(address):
    async with (
        serve(Health(time.monotonic), Metrics(), host="", port=0) as port,
        aiohttp.ClientSession() as http,
        http.get(f"http://{address}:{port}/healthz") as answer,
    ):
        assert answer.status == HTTPStatus.OK


async def test_a_kernel_without_ipv6_is_answered_over_ipv4(monkeypatch):
    create = socket.create_server

    def without_ipv6(address, **options):
        if options.get("family") == socket.AF_INET6:
            raise OSError(errno.EADDRNOTAVAIL, "switched off")
        return create(address, **options)

    monkeypatch.setattr(socket, "create_server", without_ipv6)
    async with (
        serve(Health(time.monotonic), Metrics(), host="", port=0) as port,
        aiohttp.ClientSession() as http,
        http.get(f"http://127.0.0.1:{port}/healthz") as answer,
    ):
        assert answer.status == HTTPStatus.OK


async def test_a_port_in_use_is_no_lack_of_ipv6():
    async with serve(Health(time.monotonic), Metrics(), host="", port=0) as port:
        with pytest.raises(OSError, match="in use"):
            async with serve(Health(time.monotonic), Metrics(), host="", port=port):
                pass
