"""The program of a proxy, against small servers: whom it asks, how often, and for how long."""

import contextlib
import json
import socket
import threading
import time
import tracemalloc
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from ferryman.served import step_proxy
from ferryman.served.step_proxy import Balance, Server, StepError

HOSTS = ("127.0.0.1", "127.0.0.2", "127.0.0.3")
ECHO = {"y": np.array([[1.5, 2.5]], dtype=np.float32)}


class Handler(BaseHTTPRequestHandler):
    """Answers as its server was told to."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        """Count the request and answer it."""
        self.server.asked += 1
        self.rfile.read(int(self.headers["Content-Length"]))
        self.server.answer(self)

    def log_message(self, *_):
        """Say nothing."""


def send(handler, status, body, header_length=None, length=None):
    handler.send_response(status)
    handler.send_header("Content-Length", str(len(body) if length is None else length))
    if header_length is not None:
        handler.send_header(step_proxy.LENGTH, str(header_length))
    handler.end_headers()
    handler.wfile.write(body)


def well(handler):
    header, parts = step_proxy.request_of(ECHO.items(), [])
    said = json.loads(header)
    head = json.dumps({"outputs": said["inputs"]}).encode()
    send(handler, 200, head + parts[0], len(head))


def refusing(handler):
    send(handler, 503, b'{"error": "Request timeout expired"}')


def breaking_off(handler):
    send(handler, 200, b"{", length=100)
    handler.close_connection = True


def trickling(handler):
    """Begin an answer that goes on for ever: a header of it, or its body, byte by byte."""
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\nX: ")
    with contextlib.suppress(OSError):
        for _ in range(1000):
            handler.wfile.write(b"a" if handler.server.in_header else b"\r\n\r\n")
            time.sleep(0.02)


def of_length(length):
    """Return an answer that claims a length, and has no bytes."""

    def answer(handler):
        send(handler, 200, b"", length=length)
        handler.close_connection = True

    return answer


def in_chunks(handler):
    """Answer without a length, and without an end."""
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    with contextlib.suppress(OSError):
        for _ in range(1000):
            handler.wfile.write(b"1\r\na\r\n")
            time.sleep(0.02)


#: Longer than any deadline of these tests; nothing waits for its end.
SILENT_S = 10.0


def silent(handler):
    time.sleep(SILENT_S)
    with contextlib.suppress(BrokenPipeError):
        well(handler)


@pytest.fixture
def servers(monkeypatch):
    """Return one server at each of three addresses of one name and port."""
    port, found = 0, []
    for host in HOSTS:
        server = ThreadingHTTPServer((host, port), Handler)
        server.daemon_threads, server.block_on_close = True, False
        server.asked, server.answer, server.in_header = 0, well, False
        port = server.server_port
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        found.append(server)
    resolved, known = [(2, 1, 6, "", (host, port)) for host in HOSTS], socket.getaddrinfo

    def resolve(host, *others, **more):
        return resolved if host == "step.default.svc" else known(host, *others, **more)

    monkeypatch.setattr(step_proxy.socket, "getaddrinfo", resolve)
    yield found
    for server in found:
        server.shutdown()
        server.server_close()


@pytest.fixture
def remote(servers):
    """Return the servers as a proxy sees them."""
    made = Server("step.default.svc", servers[0].server_port, "m", deadline_s=5.0)
    yield made
    made.addresses.end()
    for idle in made._idle.values():
        for connection in idle:
            connection.close()


def ask(remote):
    return step_proxy.tensors_of(*remote.infer(b"{}", [b"xy"], time.monotonic()))


def failure(remote):
    began_s = time.monotonic()
    with pytest.raises(StepError) as caught:
        ask(remote)
    return caught.value.code, str(caught.value), time.monotonic() - began_s


#: One by one they take turns; of many at once the slower address gets fewer.
@pytest.mark.parametrize(("clients", "most"), [(1, 30), (12, 40)])
def test_requests_are_spread_evenly_over_all_addresses(servers, remote, clients, most):
    with ThreadPoolExecutor(clients) as pool:
        answers = list(pool.map(lambda _: ask(remote), range(90)))
    assert all(np.array_equal(each["y"], ECHO["y"]) for each in answers)
    counts = [server.asked for server in servers]
    assert sum(counts) == 90
    assert max(counts) <= most, counts


def test_what_was_answered_is_passed_on_and_asked_once(servers, remote):
    for server in servers:
        server.answer = refusing
    assert failure(remote)[:2] == ("UNAVAILABLE", "Request timeout expired")
    assert sum(server.asked for server in servers) == 1


@pytest.mark.parametrize(
    ("status", "body", "code", "words"),
    [
        (400, b'{"error": "too many rows"}', "INVALID_ARG", "too many rows"),
        (404, b'{"error": "unknown model"}', "NOT_FOUND", "unknown model"),
        (500, b"<html>", "INTERNAL", "HTTP 500 Internal Server Error"),
    ],
)
def test_codes_and_words(servers, remote, status, body, code, words):
    for server in servers:
        server.answer = lambda handler: send(handler, status, body)
    assert failure(remote)[:2] == (code, words)


def test_an_address_that_is_gone_costs_no_request(servers, remote):
    servers[0].shutdown()
    servers[0].server_close()
    for _ in range(12):
        np.testing.assert_array_equal(ask(remote)["y"], ECHO["y"])


def test_where_all_are_gone_it_is_an_error_and_not_a_wait(servers, remote):
    for server in servers:
        server.shutdown()
        server.server_close()
    code, words, took_s = failure(remote)
    assert code == "UNAVAILABLE"
    assert words.startswith("3 calls failed, the last at 127.0.0.")
    assert took_s < 5.0


def test_a_deadline_holds_for_all_of_a_request(servers, remote):
    for server in servers:
        server.answer = silent
    remote._deadline_s = 0.4
    code, words, took_s = failure(remote)
    assert (code, words) == ("UNAVAILABLE", "no answer within 0.4 s")
    assert 0.35 < took_s < SILENT_S / 2, "not as long as the answer takes"


@pytest.mark.parametrize("in_header", [True, False], ids=["its header", "its body"])
def test_a_deadline_holds_for_an_answer_that_trickles(servers, remote, in_header):
    for server in servers:
        server.answer, server.in_header = trickling, in_header
    remote._deadline_s = 0.4
    code, words, took_s = failure(remote)
    assert (code, words) == ("UNAVAILABLE", "no answer within 0.4 s")
    assert took_s < SILENT_S / 2, "not as long as it goes on"


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        pytest.param(of_length(2**40), "an answer of 1099511627776 bytes", id="a length"),
        pytest.param(in_chunks, "an answer of no length", id="chunks"),
    ],
)
def test_an_answer_without_bounds_is_refused_before_it_is_read(servers, remote, answer, words):
    for server in servers:
        server.answer = answer
    code, said, _ = failure(remote)
    assert code == "INTERNAL"
    assert said.startswith(words)
    assert sum(server.asked for server in servers) == 1


def test_a_length_that_is_only_claimed_takes_no_memory(servers, remote):
    for server in servers:
        server.answer = of_length(step_proxy.MOST_BYTES)
    tracemalloc.start()
    code, words, _ = failure(remote)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (code, words[:21]) == ("UNAVAILABLE", "the answer broke off:")
    assert peak_bytes < step_proxy.MOST_BYTES / 16


def test_a_long_answer_comes_whole(servers, remote):
    data = bytes(range(256)) * 20_000
    tensor = {"binary_data_size": len(data)}
    head = {"name": "y", "shape": [len(data)], "datatype": "UINT8", "parameters": tensor}
    header = json.dumps({"outputs": [head]}).encode()
    for server in servers:
        server.answer = lambda handler: send(handler, 200, header + data, len(header))
    assert ask(remote)["y"].tobytes() == data


@pytest.mark.parametrize("length", [-1, 10**9], ids=["less than none", "beyond the body"])
def test_names_of_tensors_that_are_no_part_of_the_answer_are_refused(servers, remote, length):
    for server in servers:
        server.answer = lambda handler: send(handler, 200, b"{}", length)
    assert failure(remote)[:2] == (
        "INTERNAL",
        f"an answer whose tensors are named in {length} bytes",
    )


def test_words_that_have_no_end_are_cut(servers, remote):
    for server in servers:
        body = json.dumps({"error": "x" * 100_000}).encode()
        server.answer = lambda handler, body=body: send(handler, 500, body)
    assert failure(remote)[:2] == ("INTERNAL", "x" * step_proxy.MOST_CHARACTERS)


def test_words_that_are_nested_too_deeply_are_none(servers, remote):
    for server in servers:
        server.answer = lambda handler: send(handler, 500, b'{"error":' + b"[" * 100_000)
    assert failure(remote)[:2] == ("INTERNAL", "HTTP 500 Internal Server Error")


def test_an_answer_that_breaks_off_is_not_asked_for_again(servers, remote):
    for server in servers:
        server.answer = breaking_off
    code, words, _ = failure(remote)
    assert code == "UNAVAILABLE"
    assert words.startswith("the answer broke off: ")
    assert sum(server.asked for server in servers) == 1


def test_a_name_without_addresses_is_waited_for_until_the_deadline(monkeypatch):
    def unknown(*_, **__):
        raise OSError("Name or service not known")

    monkeypatch.setattr(step_proxy.socket, "getaddrinfo", unknown)
    nowhere = Server("step.default.svc", 1, "m", deadline_s=0.1)
    code, words, took_s = failure(nowhere)
    nowhere.addresses.end()
    assert (code, words) == ("UNAVAILABLE", "no server of it is known: Name or service not known")
    assert took_s < 4.0


def test_addresses_that_come_are_used_and_those_that_go_are_forgotten(monkeypatch):
    monkeypatch.setattr(step_proxy, "RESOLVE_S", 0.01)
    known = [["127.0.0.1"], ["127.0.0.1", "127.0.0.2"], OSError("no DNS")]

    def resolve(*_, **__):
        found = known.pop(0) if len(known) > 1 else known[0]
        if isinstance(found, OSError):
            raise found
        return [(2, 1, 6, "", (each, 80)) for each in found]

    monkeypatch.setattr(step_proxy.socket, "getaddrinfo", resolve)
    addresses = step_proxy.Addresses("step", 80)
    until_s = time.monotonic() + 5
    while addresses.get(until_s) != ("127.0.0.1", "127.0.0.2") and time.monotonic() < until_s:
        time.sleep(0.005)
    time.sleep(0.05)
    assert addresses.get(until_s) == ("127.0.0.1", "127.0.0.2"), "kept while there is no DNS"
    addresses.end()


def test_the_least_busy_address_comes_first_and_then_the_one_that_waited_longest():
    balance, found = Balance(), Counter()
    with balance.chosen(("a", "b"), ()) as busy:
        for _ in range(3):
            with balance.chosen(("a", "b"), ()) as chosen:
                found[chosen] += 1
    assert found == {"b" if busy == "a" else "a": 3}
    with balance.chosen(("a", "b"), {"a"}) as chosen:
        assert chosen == "b"
    with balance.chosen(("a",), {"a"}) as chosen:
        assert chosen == "a", "there is no other"
    for number in range(50):
        with balance.chosen((str(number),), ()):
            assert len(balance._last) <= 4, "pods have ever new addresses"


@pytest.mark.parametrize(
    "values",
    [
        np.array([[1, 2], [3, 4]], dtype=np.int64).T,
        np.array([True, False]),
        np.array([1.5], dtype=np.float16),
        np.array([["one", ""], ["zwölf", "x" * 300]], dtype=np.object_),
        np.array([b"\xff\x00"], dtype=np.object_),
        np.zeros((0, 3), dtype=np.float32),
    ],
    ids=["strides", "bool", "half", "texts", "bytes", "no rows"],
)
def test_tensors_come_back_as_they_were(values):
    header, parts = step_proxy.request_of([("t", values)], ["y"])
    said = json.loads(header)
    assert said["outputs"] == [{"name": "y", "parameters": {"binary_data": True}}]
    found = step_proxy.tensors_of({"outputs": said["inputs"]}, memoryview(parts[0]))["t"]
    wanted = values
    if values.dtype == np.object_:
        texts = [t if isinstance(t, bytes) else t.encode() for t in values.ravel()]
        wanted = np.array(texts, dtype=np.object_).reshape(values.shape)
    assert found.shape == values.shape
    assert np.array_equal(found, wanted)


def test_a_type_that_numpy_lacks_is_said():
    tensor = {"name": "y", "datatype": "BF16", "shape": [1], "parameters": {"binary_data_size": 2}}
    with pytest.raises(StepError, match="output y is BF16"):
        step_proxy.tensors_of({"outputs": [tensor]}, memoryview(b"ab"))
