"""The drain library: clients that keep their connections leave a tritonserver that ends."""

import asyncio
import contextlib
import http.client
import json
import re
import subprocess
import time

import grpc
import pytest
from tritonclient.grpc import service_pb2

from ferryman.clients import load_inputs
from ferryman.clients.load import generator as load
from ferryman.clients.load.generator import LoadSettings
from hack import livecap
from hack.models import sleeper
from tests.integration.forwarder import Forwarder
from tests.integration.tritonserver import TritonServer

pytestmark = [
    pytest.mark.integration,
    pytest.mark.timeout(180),
    pytest.mark.skipif(livecap.compiler() is None, reason="no C compiler on this machine"),
]

MODEL, SLOW = "m", "slow"
SLOW_S = 3.0
WINDOW_S = 2.0
#: What the flag, the library's thread and a busy machine add to any of its times.
SLACK_S = 2.0
#: The library looks for its flag every 100 ms.
NOTICED_S = 0.4
RATE_PER_S = 120.0
CASES = 20_000
METADATA = f"GET /v2/models/{MODEL} HTTP/1.1\r\nHost: triton\r\n\r\n".encode()
INFER = {"inputs": [{"name": "input", "shape": [1, 1], "datatype": "FP32", "data": [1.0]}]}

#: Ways to break the library, each of which the generated cases must notice.
BREAKS = {
    "a close while others are in the pipe": ("asked == c->answered + 1", "asked > c->answered"),
    "a close in the middle of a body": ("between(&c->in) && between(&c->out) &&", ""),
    "what a socket did not take is forgotten": ("left, edit.replaced > 0 ? left : 0}", "0, 0}"),
    "bytes of our own count as the server's": ("written - (ssize_t)done;", "written;"),
    "an answer to HEAD has a body": ("(*head || ", "("),
    "chunks end where a length would": ("m->state = CHUNK_SIZE;", "m->state = START;"),
}  # fmt: skip


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    return livecap.build_drain(tmp_path_factory.mktemp("library"))


def test_generated_connections_are_passed_on_and_told_to_close(tmp_path):
    harness = livecap.build_drain_harness(tmp_path)
    done = subprocess.run([harness, str(CASES)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, f"{CASES} cases\n"), done.stderr


@pytest.mark.parametrize(("right", "wrong"), BREAKS.values(), ids=BREAKS)
def test_a_library_that_is_broken_does_not_get_past_the_generated_connections(
    tmp_path, right, wrong
):
    source = (livecap.SOURCES / "drain.c").read_text()
    assert source.count(right) >= 1
    harness = livecap.build_drain_harness(tmp_path, source.replace(right, wrong))
    done = subprocess.run([harness, str(CASES)], capture_output=True, text=True, check=False)
    assert done.returncode != 0


def test_the_same_source_makes_the_same_bytes(tmp_path, library):
    assert livecap.build_drain(tmp_path).read_bytes() == library.read_bytes()


def test_the_library_needs_no_newer_glibc_than_tritons_images_have(library):
    symbols = subprocess.run(
        ["readelf", "--dyn-syms", "--wide", library], capture_output=True, text=True, check=True
    ).stdout
    newest = max(
        tuple(map(int, found.split("."))) for found in re.findall(r"GLIBC_([\d.]+)", symbols)
    )
    assert newest <= (2, 34)


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    sleeper.write(folder / MODEL, sleeper.config(fixed_us=3_000, per_item_us=0, instances=2))
    sleeper.write(folder / SLOW, sleeper.config(fixed_us=int(SLOW_S * 1e6), per_item_us=0))
    return folder


@pytest.fixture(scope="module")
def serve(repository, library, tmp_path_factory):
    """Start servers with the library; return each with the flag that makes it drain."""
    with contextlib.ExitStack() as stack:

        def start(*args, preload=library, models=(MODEL,)):
            flag = tmp_path_factory.mktemp("flag") / "ending"
            environment = {
                "LD_PRELOAD": str(preload),
                "FERRYMAN_DRAIN_FILE": str(flag),
                "FERRYMAN_DRAIN_WINDOW_MS": f"{WINDOW_S * 1e3:.0f}",
            }
            server = TritonServer(repository, args=args, models=models, environment=environment)
            return stack.enter_context(server), flag

        yield start


@pytest.fixture(scope="module")
def shared(serve):
    return serve(models=(MODEL, SLOW))


@pytest.fixture
def server(shared):
    """Return a server that does not drain yet."""
    return shared[0]


@pytest.fixture
def flag(shared):
    """Return the flag of that server, which is down before and after the test."""
    yield shared[1]
    shared[1].unlink(missing_ok=True)
    time.sleep(NOTICED_S)


@pytest.fixture
def connect():
    """Make connections of clients that keep them: each after a first request, unless unused."""
    with contextlib.ExitStack() as stack:

        def made(server, *, unused=False):
            connection = http.client.HTTPConnection(server.http_url, timeout=30)
            stack.enter_context(contextlib.closing(connection))
            connection.connect()
            assert unused or ask(connection) == (200, None)
            return connection

        yield made


def ask(connection, model=MODEL, **headers):
    """Ask for an inference; return the answer's status and what it says of the connection."""
    connection.request("POST", f"/v2/models/{model}/infer", json.dumps(INFER), headers)
    answer = connection.getresponse()
    assert json.loads(answer.read())["outputs"][0]["data"] == [1.0]
    return answer.status, answer.getheader("Connection")


def ended_after_s(connection, limit_s):
    """Return when the server ended a connection, in seconds from now; None: it did not."""
    begun = time.monotonic()
    connection.sock.settimeout(limit_s)
    try:
        assert connection.sock.recv(1) == b""
    except TimeoutError:
        return None
    return time.monotonic() - begun


def receive(connection, until_s):
    """Return what comes within a time, or until the end."""
    got, end = b"", time.monotonic() + until_s
    with contextlib.suppress(TimeoutError):
        while (left_s := end - time.monotonic()) > 0:
            connection.sock.settimeout(left_s)
            more = connection.sock.recv(65536)
            if not more:
                break
            got += more
    return got


def raise_flag(flag):
    flag.touch()
    time.sleep(NOTICED_S)


async def test_a_server_ends_cleanly_under_load_and_no_request_is_lost(serve):
    ending, flag = serve("--grpc-max-connection-age=1000")
    other, _ = serve("--grpc-max-connection-age=1000")
    async with (
        Forwarder(ending.http_url, other.http_url) as http_service,
        Forwarder(ending.grpc_url, other.grpc_url) as grpc_service,
    ):
        url = f"http://{http_service.address}"
        requests = load_inputs.random_requests(await load.signature_of(url, MODEL), 1, 1)
        settings = LoadSettings(RATE_PER_S, duration_s=9.0)
        over_http = asyncio.create_task(load.run(url, MODEL, requests, settings))
        over_grpc = asyncio.create_task(call_repeatedly(grpc_service.address, duration_s=9.0))
        await asyncio.sleep(2)
        flag.touch()
        await asyncio.sleep(0.5)  # endpoints are gone a while after a pod has begun to end
        http_service.endpoints.remove(ending.http_url)
        grpc_service.endpoints.remove(ending.grpc_url)
        await asyncio.sleep(WINDOW_S + SLACK_S)
        assert await asyncio.to_thread(ending.terminate) == 0, "no exit timeout expired"
        result = await over_http
        assert result.summary.failures == {}, result.summary.examples
        assert result.summary.figures.ok > 0.8 * RATE_PER_S * 9
        assert await over_grpc > 0.5 * RATE_PER_S * 9, "it sleeps longer on a busy machine"


async def call_repeatedly(address, duration_s):
    """Call over one gRPC channel as gRPC does it by default; return how many were answered."""
    request = service_pb2.ModelInferRequest(model_name=MODEL)
    tensor = request.inputs.add(name="input", datatype="FP32", shape=[1, 1])
    tensor.contents.fp32_contents.append(1.0)
    async with grpc.aio.insecure_channel(address) as channel:
        call = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
        calls = []
        end = time.monotonic() + duration_s
        while time.monotonic() < end:
            calls.append(asyncio.ensure_future(call(request.SerializeToString(), timeout=5)))
            await asyncio.sleep(1 / RATE_PER_S)
        return len(await asyncio.gather(*calls))


def test_without_the_flag_nothing_is_changed(server, connect):
    connection = connect(server)
    assert [ask(connection) for _ in range(3)] == [(200, None)] * 3
    assert ended_after_s(connection, WINDOW_S + SLACK_S) is None


def test_an_answer_says_close_and_a_client_that_keeps_the_connection_still_loses_it(
    server, flag, connect
):
    connection = connect(server)
    raise_flag(flag)
    connection.sock.sendall(METADATA)
    answers = receive(connection, until_s=1 + SLACK_S)
    assert answers.count(b"HTTP/1.1 200 OK\r\nConnection: close\r\n") == 1
    assert ended_after_s(connection, SLACK_S) is not None


def test_a_flag_that_is_taken_back_ends_the_draining(server, flag, connect):
    connection = connect(server)
    raise_flag(flag)
    assert ask(connection) == (200, "close")
    flag.unlink()
    time.sleep(NOTICED_S)
    assert ask(connection) == (200, None)


def test_keep_alive_of_http_1_0_is_taken_back(server, flag, connect):
    connection = connect(server)
    connection._http_vsn, connection._http_vsn_str = 10, "HTTP/1.0"
    assert ask(connection, Connection="keep-alive") == (200, "keep-alive")
    raise_flag(flag)
    status, said = ask(connection, Connection="keep-alive")
    assert (status, said.strip()) == (200, "close")


def test_an_answer_says_nothing_while_other_requests_are_in_the_pipe(server, flag, connect):
    """Triton answers only the first of them: it must not be this library that cuts them off."""
    connection = connect(server)
    raise_flag(flag)
    connection.sock.sendall(METADATA * 3)
    answers = receive(connection, until_s=WINDOW_S + SLACK_S)
    assert answers.count(b"HTTP/1.1 200") == 1
    assert b"Connection:" not in answers


def test_a_body_sent_in_parts_and_in_chunks_is_one_request(server, flag):
    raise_flag(flag)
    body = json.dumps(INFER).encode()
    with contextlib.closing(http.client.HTTPConnection(server.http_url, timeout=30)) as connection:
        path = f"/v2/models/{MODEL}/infer"
        connection.putrequest("POST", path)
        connection.putheader("Content-Length", str(len(body)))
        connection.endheaders()
        for byte in range(0, len(body), 20):
            connection.send(body[byte : byte + 20])
            time.sleep(0.02)
        answer = connection.getresponse()
        assert (answer.status, answer.getheader("Connection")) == (200, "close")


def test_connections_that_are_idle_end_after_the_window_and_not_those_that_wait(
    server, flag, connect
):
    idle, busy = connect(server), connect(server)
    unused = connect(server, unused=True)
    busy.request("POST", f"/v2/models/{SLOW}/infer", json.dumps(INFER))
    flag.touch()
    assert WINDOW_S - 0.5 < ended_after_s(idle, WINDOW_S + SLACK_S) < WINDOW_S + SLACK_S
    assert ended_after_s(unused, SLACK_S) is not None, "nor those that were never used"
    answer = busy.getresponse()
    assert (answer.status, answer.getheader("Connection")) == (200, "close")
    assert json.loads(answer.read())["model_name"] == SLOW


def test_connections_of_grpc_are_left_alone(server, flag):
    with grpc.insecure_channel(server.grpc_url) as channel:
        live = channel.unary_unary("/inference.GRPCInferenceService/ServerLive")
        states = []
        channel.subscribe(states.append)
        assert live(b"", timeout=5)
        flag.touch()
        time.sleep(WINDOW_S + SLACK_S)
        assert live(b"", timeout=5)
    ready = grpc.ChannelConnectivity.READY
    assert states.count(ready) == 1, "the connection is the one from before"


def test_a_server_with_an_idle_connection_exits_cleanly(serve, connect):
    server, flag = serve()
    connect(server)
    flag.touch()
    time.sleep(WINDOW_S + 1)
    assert server.terminate() == 0


def test_a_library_that_is_missing_costs_a_warning_and_the_clean_exit(serve, connect, tmp_path):
    server, _ = serve("--exit-timeout-secs=3", preload=tmp_path / "missing.so")
    assert "cannot be preloaded" in server.log
    connect(server)
    assert server.terminate() != 0, "Triton waits for kept connections, and then exits hard"


def test_the_model_processes_of_triton_do_not_drain(server):
    assert server.log.count("ferryman drain: ready") == 1
