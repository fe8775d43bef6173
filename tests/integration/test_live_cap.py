"""The live cap's library: how it is built, what it reads, how fast, and what it survives."""

import asyncio
import os
import re
import shutil
import statistics
import subprocess
import time
from pathlib import Path
from subprocess import PIPE

import grpc
import pytest

from hack import livecap
from hack.models import sleeper
from tests.integration.live_cap import (
    INFER,
    NO_BOUND,
    batches,
    body,
    bound_is_read,
    control,
    put_bound,
)
from tests.integration.tritonserver import TritonServer

MAX_BATCH = 8
#: Long enough for many requests of a busy sender to arrive while a batch is served.
FIXED_US = 60_000
READ_S = 0.3  # more than the library's period
SANITIZERS = ("thread", "address,undefined")
HARNESS_TIMEOUT_S = 120
#: What the library may need: Ubuntu 22.04 and Debian 12 have it, and so has Triton from 23.04 on.
NEWEST_GLIBC = (2, 34)
FUNCTIONS = {
    f"TRITONBACKEND_Model{name}"
    for name in (
        *("BatcherInitialize", "BatcherFinalize", "BatchInitialize", "BatchFinalize"),
        "BatchIncludeRequest",
    )
}
pytestmark = [
    pytest.mark.integration,
    pytest.mark.timeout(180),
    pytest.mark.skipif(livecap.compiler() is None, reason="there is no C compiler here"),
]


@pytest.fixture(scope="module", autouse=True)
def harnesses(tmp_path_factory):
    """Start the harness under each sanitizer at once: it mostly sleeps while others are tested."""
    running = {}
    for sanitizer in SANITIZERS:
        folder = tmp_path_factory.mktemp("harness")
        command = [livecap.build_harness(folder, sanitizer), folder]
        running[sanitizer] = subprocess.Popen(command, stdout=PIPE, stderr=PIPE, text=True)
    yield running
    for harness in running.values():
        harness.kill()
        harness.communicate()


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    return livecap.build(tmp_path_factory.mktemp("library"))


def test_the_library_exports_the_five_functions_and_nothing_else(library):
    table = subprocess.run(["nm", "-D", library], capture_output=True, text=True, check=True).stdout
    exported = {line.split()[2] for line in table.splitlines() if " T " in line}
    assert exported == FUNCTIONS


def test_the_library_needs_only_a_c_library_that_triton_images_have(library):
    dump = subprocess.run(["objdump", "-p", library], capture_output=True, text=True, check=True)
    assert re.findall(r"NEEDED +(\S+)", dump.stdout) == ["libc.so.6"]
    needed = {tuple(map(int, v.split("."))) for v in re.findall(r"GLIBC_([\d.]+)", dump.stdout)}
    assert max(needed) <= NEWEST_GLIBC


def test_the_library_is_the_same_wherever_it_is_built(library, tmp_path, monkeypatch):
    shutil.copytree(livecap.SOURCES, tmp_path / "elsewhere" / "livecap")
    monkeypatch.setattr(livecap, "SOURCES", tmp_path / "elsewhere" / "livecap")
    assert livecap.build(tmp_path / "out").read_bytes() == library.read_bytes()


class Served:
    """A server whose models have the library, and their files of bounds and batches."""

    def __init__(self, server, library, folder):
        self.server, self._library, self.folder = server, library, folder

    def add(self, name, *, start=None, **batching):
        """Write a model; its bound is in `bound(name)`."""
        parameters = {
            "FERRYMAN_LIVE_CAP_FILE": self.bound(name),
            "journal": self.folder / f"{name}.batches",
        }
        if start is not None:
            parameters["FERRYMAN_LIVE_CAP_START"] = start
        model = self.server.model_repository / name
        options = {"fixed_us": FIXED_US, "per_item_us": 100, "max_batch_size": MAX_BATCH} | batching
        sleeper.write(model, sleeper.config(**options, parameters=parameters))
        if not (model / self._library.name).exists():  # a mapped library must not be overwritten
            shutil.copyfile(self._library, model / self._library.name)

    def bound(self, name):
        """Where the model's bound is read from."""
        return self.folder / name

    async def put(self, name, text, bound):
        """Replace what a model's bound is read from; return when the library says what it is now.

        Where it is as before the library says nothing, and is given the time to look.
        """
        put_bound(self.bound(name), text)
        await asyncio.sleep(READ_S)
        await bound_is_read(self.server, name, bound)

    def batches(self, name):
        """Return the batches that the model has executed."""
        return batches(self.folder / f"{name}.batches")

    def channel(self):
        """Return a new channel to the server."""
        return grpc.aio.insecure_channel(self.server.grpc_url)

    def threads(self):
        """Count the server's threads."""
        return len(list(Path(f"/proc/{self.server.pid}/task").iterdir()))

    async def largest(self, channel, name, rows=(1,) * (4 * MAX_BATCH + 1)):
        """Send so many requests at once; return the rows of the largest batch they made.

        By default there are several full batches: on a busy machine they arrive one by one.
        """
        before, call = len(self.batches(name)), channel.unary_unary(INFER)
        await asyncio.gather(*(call(body(name, n), timeout=10) for n in rows))
        return max(sum(batch) for _, batch in self.batches(name)[before:])


@pytest.fixture(scope="module")
def served(library, tmp_path_factory):
    folder = tmp_path_factory.mktemp("live-cap")
    (folder / "models").mkdir()
    with TritonServer(folder / "models") as server:
        yield Served(server, library, folder)


UNREADABLE = (
    Path.exists,  # which leaves it missing
    Path.mkdir,
    lambda path: path.symlink_to("nowhere"),
    os.mkfifo,
    lambda path: path.write_text("2" + " " * 100),
)


async def test_only_a_positive_number_is_a_bound(served):
    served.add("texts", delay_us=2_000)
    async with served.channel() as channel:
        put_bound(served.bound("texts"), "3")
        await control(channel, "Load", "texts")
        assert await served.largest(channel, "texts") == 3  # from the first batch on
        for text in NO_BOUND:
            await served.put("texts", text, None)
            assert await served.largest(channel, "texts") == MAX_BATCH, repr(text)
        await served.put("texts", "2\n", 2)
        assert await served.largest(channel, "texts") == 2


async def test_what_cannot_be_read_is_no_bound(served):
    served.add("unreadable", delay_us=2_000)
    bound = served.bound("unreadable")
    async with served.channel() as channel:
        await control(channel, "Load", "unreadable")
        for make in UNREADABLE:
            make(bound)
            await asyncio.sleep(READ_S)
            assert await served.largest(channel, "unreadable") == MAX_BATCH, make
            bound.rmdir() if bound.is_dir() else bound.unlink(missing_ok=True)


async def test_the_start_value_holds_until_there_is_an_annotation(served):
    served.add("start", start=3, delay_us=2_000)
    async with served.channel() as channel:
        await control(channel, "Load", "start")
        assert await served.largest(channel, "start") == 3  # no file
        for text, bound in (("5", 5), ("0", None), ("five", None), ("", 3)):
            await served.put("start", text, bound)
            assert await served.largest(channel, "start") == (bound or MAX_BATCH), repr(text)


async def test_a_request_larger_than_the_bound_passes_alone(served):
    served.add("large", delay_us=2_000)
    put_bound(served.bound("large"), "2")
    async with served.channel() as channel:
        await control(channel, "Load", "large")
        await served.largest(channel, "large", rows=(1, 5, 1, 1, 5, 5, 1))
        await control(channel, "Unload", "large")
    for _, rows in served.batches("large"):
        assert rows == [5] or sum(rows) <= 2


async def test_batches_that_wait_are_not_merged_past_the_bound(served):
    """Triton merges waiting batches by its own maximum, unless they are marked as complete."""
    served.add("merging", fixed_us=60_000, max_batch_size=16, delay_us=20_000)
    put_bound(served.bound("merging"), "4")
    async with served.channel() as channel:
        await control(channel, "Load", "merging")
        call = channel.unary_unary(INFER)
        for _ in range(5):
            sent = [asyncio.create_task(_answer(call, "merging", 9)) for _ in range(3)]
            await asyncio.sleep(0.075)  # the first was served; the second is, the third waits
            await asyncio.gather(*sent, _answer(call, "merging", 1))
        await control(channel, "Unload", "merging")
    assert sorted(rows for _, rows in served.batches("merging")) == [[1]] * 5 + [[9]] * 15


async def _answer(call, model, rows):
    await call(body(model, rows), timeout=10)


async def test_requests_whose_clients_left_are_not_counted(served):
    """As many as the bound wait for the delay and are cancelled: the next must be answered."""
    served.add("left", delay_us=500_000)
    put_bound(served.bound("left"), "2")
    async with served.channel() as channel:
        await control(channel, "Load", "left")
        call = channel.unary_unary(INFER)
        for _ in range(10):
            leaving = [call(body("left", 1), timeout=10) for _ in range(2)]
            await asyncio.sleep(0.03)
            assert [one.cancel() for one in leaving] == [True, True]
            begun = time.monotonic()
            await asyncio.gather(*(_answer(call, "left", 1) for _ in range(2)))
            assert time.monotonic() - begun < 5
        await control(channel, "Unload", "left")
    assert max(sum(rows) for _, rows in served.batches("left")) == 2


async def test_a_new_bound_reaches_the_batches_within_a_second(served):
    """Measured: from replacing the file to the beginning of the first batch of the new size."""
    served.add("timed", fixed_us=10_000, max_batch_size=16)
    put_bound(served.bound("timed"), "8")
    async with served.channel() as channel:
        await control(channel, "Load", "timed")
        call = channel.unary_unary(INFER)
        stop = asyncio.Event()
        load = [asyncio.create_task(_keep_asking(call, "timed", stop)) for _ in range(32)]
        took_s = [await _change(served, bound) for bound in (2, 8) * 8]
        stop.set()
        await asyncio.gather(*load)
    print(f"to the first batch: median {statistics.median(took_s):.3f} s, max {max(took_s):.3f} s")
    assert statistics.median(took_s) < 0.3
    assert max(took_s) < 2
    assert "loading: timed" in served.server.log
    assert served.server.log.count("loading: timed") == 1  # 0 reloads


async def _keep_asking(call, model, stop):
    while not stop.is_set():
        await _answer(call, model, 1)


async def _change(served, bound):
    """Change the bound; return the seconds to the beginning of the first batch of that size."""
    changed = time.monotonic()
    put_bound(served.bound("timed"), str(bound))
    for _ in range(40):
        await asyncio.sleep(0.25)
        for begun, rows in served.batches("timed"):
            if begun > changed and sum(rows) == bound:
                return begun - changed
    return pytest.fail(f"no batch of {bound} in 10 s")


async def test_reloads_under_load_keep_the_bound_and_leave_no_thread_behind(served):
    served.add("reloaded", fixed_us=2_000)
    put_bound(served.bound("reloaded"), "2")
    async with served.channel() as channel:
        await control(channel, "Load", "reloaded")
        call = channel.unary_unary(INFER)
        stop = asyncio.Event()
        load = [asyncio.create_task(_keep_asking(call, "reloaded", stop)) for _ in range(12)]
        await asyncio.sleep(0.8)
        threads = served.threads()
        for delay_us in range(1, 4):  # another configuration each time, or nothing is reloaded
            served.add("reloaded", fixed_us=2_000, delay_us=delay_us)
            await control(channel, "Load", "reloaded")
            await asyncio.sleep(0.8)
        await _no_more_threads(served, threads)
        stop.set()
        await asyncio.gather(*load)
        await control(channel, "Unload", "reloaded")
    assert max(sum(rows) for _, rows in served.batches("reloaded")) == 2
    assert served.server.log.count("at most 2 rows in a batch") >= 4


async def _no_more_threads(served, before):
    """Wait for the threads of former copies to end: their unloading may take a while."""
    deadline = time.monotonic() + 20
    while (threads := served.threads()) > before:
        assert time.monotonic() < deadline, f"{threads} threads, before the reloads {before}"
        await asyncio.sleep(0.1)


@pytest.mark.parametrize("sanitizer", SANITIZERS)
def test_the_library_is_clean_under_sanitizers(sanitizer, harnesses):
    harness = harnesses[sanitizer]
    said, errors = harness.communicate(timeout=HARNESS_TIMEOUT_S)
    print(said)
    assert harness.returncode == 0, said + errors
    assert "0 over the bound" in said
    assert "WARNING" not in errors
    assert "ERROR" not in errors
