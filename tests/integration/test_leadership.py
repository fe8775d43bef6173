"""Two operators on one API server: one acts, and the other follows when that one falls silent."""

import asyncio
import contextlib
import socket
import struct
import threading
import time

import pytest

from ferryman.core.election import LEASE_S
from tests.integration.operator_process import NAMESPACE, Operator, wait_for
from tests.integration.operators import await_served

pytestmark = pytest.mark.integration

#: What is promised: a leader that falls silent is followed within this time.
FAILOVER_S = 30.0
#: Closing sends a reset: nothing that was under way arrives later.
RESET = struct.pack("ii", 1, 0)


class Cable:
    """A way to the API server that can be cut, in a thread of its own."""

    def __init__(self, url):
        host, _, port = url.removeprefix("https://").rpartition(":")
        self._there, self._sockets, self._cut = (host, int(port)), set(), threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._loop = asyncio.new_event_loop()
        self._over = asyncio.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    @property
    def url(self):
        """Where it begins."""
        return f"https://127.0.0.1:{self._listener.getsockname()[1]}"

    def cut(self):
        """Break every connection, and let none through."""
        self._cut.set()
        for one in list(self._sockets):
            with contextlib.suppress(OSError):
                one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self._loop.call_soon_threadsafe(self._drop)

    def mend(self):
        """Let connections through again."""
        self._cut.clear()

    def close(self):
        """End it."""
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join(5)
        assert not self._thread.is_alive(), "a connection does not end"

    def _drop(self):
        for task in asyncio.all_tasks(self._loop):
            if task.get_name() == "connection":
                task.cancel()

    def _run(self):
        with contextlib.closing(self._loop):
            self._loop.run_until_complete(self._serve())
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())

    async def _serve(self):
        server = await asyncio.start_server(self._accepted, sock=self._listener)
        await self._over.wait()
        self._drop()
        server.close()
        if left := asyncio.all_tasks() - {asyncio.current_task()}:
            await asyncio.wait(left, timeout=3)

    async def _accepted(self, reader, writer):
        asyncio.current_task().set_name("connection")
        ends = [writer]
        with contextlib.suppress(OSError, asyncio.CancelledError):
            if not self._cut.is_set():
                there_reader, there_writer = await asyncio.open_connection(*self._there)
                ends.append(there_writer)
                self._sockets |= {end.get_extra_info("socket") for end in ends}
                await asyncio.gather(_pump(reader, there_writer), _pump(there_reader, writer))
        for end in ends:
            self._sockets.discard(end.get_extra_info("socket"))
            end.transport.abort()


async def _pump(reader, writer):
    while data := await reader.read(2**16):
        writer.write(data)
        await writer.drain()
    writer.close()


@pytest.fixture(scope="module")
def pair(plane, cluster, tmp_path_factory):
    """Yield two operators, each with a cable of its own; the first leads at the beginning."""
    token = plane.kubectl("create", "token", "ferryman-operator", "-n", NAMESPACE).strip()
    folder = tmp_path_factory.mktemp("pair")
    made = []
    for name in ("one", "two"):
        cable = Cable(plane.url)
        kubeconfig = plane.kubeconfig_for(token, name, cable.url)
        operator = Operator(kubeconfig, folder / f"{name}.log", f"--identity={name}")
        made.append((operator, cable))
        operator.start()
    yield made
    for operator, cable in made:
        operator.close()
        cable.close()


def holder(objects):
    lease = objects.get("lease", "ferryman-operator", NAMESPACE) or {}
    return lease.get("spec", {}).get("holderIdentity", "")


def roles(objects, pair):
    """Return who leads, and who stands by."""
    (one, two) = pair
    return (one, two) if holder(objects) == "one" else (two, one)


def has_followed(operator, objects, before, name):
    """Return after how many seconds another operator led, which then serves a new model."""
    began_s = time.monotonic()
    wait_for("another one leads", lambda: holder(objects) not in {"", before}, FAILOVER_S + 10)
    took_s = time.monotonic() - began_s
    objects.heartbeat("node-1", "node-2")
    objects.model(name)
    wait_for("it acts", lambda: "Deployment" in str(operator.writes()), 60)
    await_served(objects, name, timeout_s=60)
    return took_s


def test_one_acts_and_the_other_stands_by_ready(objects, pair, fresh):
    (leader, _), (other, _) = roles(objects, pair)
    objects.model("first")
    await_served(objects, "first")
    assert "Deployment" in str(leader.writes())
    assert other.writes() == {}
    assert other.get("/readyz") == (200, "ok")


@pytest.mark.parametrize("fault", ["cut", "frozen"])
def test_a_leader_that_falls_silent_is_followed_and_writes_no_more(objects, pair, fault):
    (leader, cable), (other, _) = roles(objects, pair)
    before = holder(objects)
    cable.cut() if fault == "cut" else leader.freeze()
    assert has_followed(other, objects, before, f"after-{fault}") < FAILOVER_S

    # The one that led comes back, with all that it had in mind, and sees that its turn is over.
    written = leader.writes() if fault == "cut" else None
    cable.mend() if fault == "cut" else leader.thaw()
    wait_for("it stands by", lambda: leader.get("/readyz") == (200, "ok"))
    wait_for(
        "it knows",
        lambda: any("this one stands by" in line.get("message", "") for line in leader.lines()),
    )
    since = leader.writes()
    objects.model(f"later-{fault}")
    await_served(objects, f"later-{fault}")
    assert leader.writes() == since
    assert written is None or written == since
    assert leader.alive
    assert other.alive


def test_a_leader_that_ends_is_followed_at_once(objects, pair):
    (leader, _), (other, _) = roles(objects, pair)
    before = holder(objects)
    assert leader.terminate()[0] == 0
    took_s = has_followed(other, objects, before, "handed-over")
    assert took_s < LEASE_S, "it was given back"
