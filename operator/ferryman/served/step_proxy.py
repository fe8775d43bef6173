"""A step of a pipeline whose server is another one: it hands each request on, and the answer back.

In Triton's ensemble it stands in the step's place. Requests are answered one by one as their
answers come, whatever others wait for, and what waits for a free call waits in Triton's own queue.

*Deadline*: a call that took so long is given up, and the request fails as UNAVAILABLE. *Retries*:
only where a connection failed before an answer began, each time at another address if there is
one; what the step's server answered is passed on, a rejection too. *Cancellation*: what was
cancelled before it is sent is not sent; a call that runs is left to its deadline, as an ensemble
tells no step what is cancelled while it runs. *Spread*: the host's name is resolved again and
again, and each call goes to the address with the fewest calls under way, in turns among equals.
*Bounds*: an answer that claims or has more than a bound fails its request, and takes memory as its
bytes come. HTTP, because the stub of no Triton image has gRPC.
"""

from __future__ import annotations

import http.client
import io
import json
import socket
import struct
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    Array = np.ndarray[Any, Any]

#: Names of the model's parameters.
HOST, PORT, MODEL = "FERRYMAN_STEP_HOST", "FERRYMAN_STEP_PORT", "FERRYMAN_STEP_MODEL"
DEADLINE_MS, CALLS = "FERRYMAN_STEP_DEADLINE_MS", "FERRYMAN_STEP_CALLS"
#: Calls of one request at most.
ATTEMPTS = 3
#: Replicas that come are used after so long.
RESOLVE_S = 2.0
LENGTH = "Inference-Header-Content-Length"
CHUNK_BYTES = 1 << 20
#: A request of at most so many bytes is sent at once.
SMALL_BYTES = 1 << 16
#: Of one answer, and of what is parsed of it: names and shapes of its tensors, or words.
MOST_BYTES, MOST_HEADER_BYTES = 256 << 20, 1 << 20
MOST_CHARACTERS = 1000
#: Triton's words for what its HTTP server answers (http_server.cc, HttpCodeFromError).
CODES = {400: "INVALID_ARG", 404: "NOT_FOUND", 501: "UNSUPPORTED", 503: "UNAVAILABLE"}
NUMBERS: dict[str, Any] = {
    "BOOL": np.bool_, "UINT8": np.uint8, "UINT16": np.uint16, "UINT32": np.uint32,
    "UINT64": np.uint64, "INT8": np.int8, "INT16": np.int16, "INT32": np.int32,
    "INT64": np.int64, "FP16": np.float16, "FP32": np.float32, "FP64": np.float64,
}  # fmt: skip
DATATYPES = {np.dtype(kind): name for name, kind in NUMBERS.items()}


class StepError(Exception):
    """What a request fails with: a word of Triton's, and a sentence."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class Addresses:
    """The addresses of a host, kept up to date by a thread."""

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port
        self._changed = threading.Condition()
        self._known: tuple[str, ...] = ()
        self._why, self._ended = "its name is not resolved yet", False
        threading.Thread(target=self._keep, daemon=True).start()

    def get(self, deadline_s: float) -> tuple[str, ...]:
        """Return the addresses; raise StepError where there are none until the deadline."""
        with self._changed:
            self._changed.wait_for(
                lambda: bool(self._known), max(0.0, deadline_s - time.monotonic())
            )
            if not self._known:
                raise StepError("UNAVAILABLE", f"no server of it is known: {self._why}")
            return self._known

    def end(self) -> None:
        """Resolve no more."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def _keep(self) -> None:
        while True:
            try:
                found = socket.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)
                known, why = tuple(sorted({str(each[4][0]) for each in found})), ""
            except OSError as error:
                # Those of before are as good as any: servers do not end with the DNS.
                known, why = self._known, str(error)
            with self._changed:
                self._known, self._why = known, why
                self._changed.notify_all()
                if self._changed.wait_for(lambda: self._ended, RESOLVE_S):
                    return


class Balance:
    """Which address a call goes to: the one with the fewest under way, in turns among equals."""

    def __init__(self) -> None:
        self._lock, self._turn = threading.Lock(), 0
        self._under_way: dict[str, int] = {}
        self._last: dict[str, int] = {}

    @contextmanager
    def chosen(self, addresses: Collection[str], avoided: Collection[str]) -> Iterator[str]:
        """Choose one, not of the avoided if there is another, and count it as under way."""
        with self._lock:
            able = [each for each in addresses if each not in avoided] or list(addresses)
            address = min(
                able, key=lambda each: (self._under_way.get(each, 0), self._last.get(each, 0))
            )
            self._turn += 1
            self._last[address] = self._turn
            self._under_way[address] = self._under_way.get(address, 0) + 1
            if len(self._last) > 2 * len(addresses) + 1:  # pods have ever new addresses
                self._last = {each: self._last.get(each, 0) for each in addresses}
        try:
            yield address
        finally:
            with self._lock:
                self._under_way[address] -= 1
                if not self._under_way[address]:
                    del self._under_way[address]


class _Timed(io.RawIOBase):
    """What a connection receives until a deadline, however it trickles in."""

    def __init__(self, connected: socket.socket, deadline_s: float) -> None:
        super().__init__()
        self._connected, self._deadline_s = connected, deadline_s
        # It keeps the connection open for what is still to be read of an answer.
        self._received = connected.makefile("rb", buffering=0)

    def readable(self) -> bool:
        """Say that it is for reading."""
        return True

    def readinto(self, buffer: Any) -> int | None:  # noqa: ANN401  any buffer
        """Receive some bytes; raise TimeoutError once there is no more time."""
        left_s = self._deadline_s - time.monotonic()
        if left_s <= 0:
            raise TimeoutError("timed out")
        self._connected.settimeout(left_s)
        return self._received.readinto(buffer)

    def close(self) -> None:
        """Let go of the connection."""
        self._received.close()
        super().close()


class _Connection(http.client.HTTPConnection):
    """A connection whose answers come before a deadline, which each request sets."""

    deadline_s = float("inf")

    def response_class(  # type: ignore[override]
        self,
        connected: socket.socket,
        **more: Any,  # noqa: ANN401
    ) -> http.client.HTTPResponse:
        """Return an answer that begins."""
        response = http.client.HTTPResponse(connected, **more)
        response.fp.close()
        response.fp = io.BufferedReader(_Timed(connected, self.deadline_s))
        return response


class Server:
    """The servers of a step."""

    def __init__(self, host: str, port: int, model: str, deadline_s: float) -> None:
        self._port, self._deadline_s = port, deadline_s
        self._path = f"/v2/models/{model}/infer"
        self.addresses = Addresses(host, port)
        self._balance = Balance()
        self._lock = threading.Lock()
        self._idle: dict[str, list[_Connection]] = {}

    def infer(self, header: bytes, parts: list[bytes], began_s: float) -> tuple[Any, memoryview]:
        """Return the header and the tensors' bytes of an answer; raise StepError."""
        deadline_s, why = began_s + self._deadline_s, ""
        failed: set[str] = set()
        for _ in range(ATTEMPTS):
            addresses = self.addresses.get(deadline_s)
            with self._balance.chosen(addresses, failed) as address:
                try:
                    return self._call(address, header, parts, deadline_s)
                except (OSError, http.client.HTTPException) as error:
                    failed.add(address)
                    why = f"{address}: {error or type(error).__name__}"
            if time.monotonic() >= deadline_s:
                raise StepError("UNAVAILABLE", f"no answer within {self._deadline_s:g} s")
        raise StepError("UNAVAILABLE", f"{ATTEMPTS} calls failed, the last at {why}")

    def _call(
        self, address: str, header: bytes, parts: list[bytes], deadline_s: float
    ) -> tuple[Any, memoryview]:
        connection, response = self._begun(address, header, parts, deadline_s)
        try:
            body = _read(response)
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            if time.monotonic() >= deadline_s:
                raise
            raise StepError("UNAVAILABLE", f"the answer broke off: {error!r}") from error
        except StepError:
            connection.close()
            raise
        if response.will_close:
            connection.close()
        else:
            with self._lock:
                self._idle.setdefault(address, []).append(connection)
        return _answer(response, body)

    def _begun(
        self, address: str, header: bytes, parts: list[bytes], deadline_s: float
    ) -> tuple[_Connection, http.client.HTTPResponse]:
        """Send a request and return the connection and the answer that begins.

        That a connection of before fails says nothing of the server: it gets another one.
        """
        length = len(header) + sum(len(part) for part in parts)
        sent = {LENGTH: str(len(header)), "Content-Length": str(length)}
        while True:
            connection, is_new = self._connection(address, deadline_s)
            try:
                connection.request("POST", self._path, _body(header, parts, length), sent)
                return connection, connection.getresponse()
            except (OSError, http.client.HTTPException):
                connection.close()
                if is_new or time.monotonic() >= deadline_s:
                    raise
                with self._lock:
                    stale = self._idle.pop(address, [])
                for each in stale:
                    each.close()

    def _connection(self, address: str, deadline_s: float) -> tuple[_Connection, bool]:
        with self._lock:
            idle = self._idle.get(address)
            connection = idle.pop() if idle else None
        is_new = connection is None
        left_s = max(0.001, deadline_s - time.monotonic())
        if connection is None:
            connection = _Connection(address, self._port, timeout=left_s)
            connection.connect()
            connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.deadline_s = deadline_s
        connection.sock.settimeout(left_s)
        return connection, is_new


def _body(header: bytes, parts: Sequence[bytes], length: int) -> bytes | Iterable[bytes]:
    """Return what is sent after HTTP's own header: with it at once, where that is a small copy."""
    pieces = (header, *parts)
    return b"".join(pieces) if length <= SMALL_BYTES else pieces


def _read(response: http.client.HTTPResponse) -> memoryview:
    """Return the whole body. What an answer says of its length costs nothing before it is there."""
    length = response.length
    if length is None or length > MOST_BYTES:
        said = "no length" if length is None else f"{length} bytes"
        raise StepError("INTERNAL", f"an answer of {said}, where at most {MOST_BYTES} are taken")
    body, filled = bytearray(), 0
    while filled < length:
        if filled == len(body):
            body.extend(bytes(min(length - filled, max(filled, CHUNK_BYTES))))
        with memoryview(body) as whole, whole[filled:] as free:
            count = response.readinto(free)
        if not count:
            raise http.client.IncompleteRead(b"", length - filled)
        filled += count
    response.read()  # it is at its end, and says so
    return memoryview(body)


def _answer(response: http.client.HTTPResponse, body: memoryview) -> tuple[Any, memoryview]:
    if response.status != http.client.OK:
        raise StepError(CODES.get(response.status, "INTERNAL"), _words(response, body))
    length = int(response.headers.get(LENGTH, len(body)))
    if not 0 <= length <= min(len(body), MOST_HEADER_BYTES):
        raise StepError("INTERNAL", f"an answer whose tensors are named in {length} bytes")
    return json.loads(bytes(body[:length])), body[length:]


def _words(response: http.client.HTTPResponse, body: memoryview) -> str:
    """Return Triton's own words, or what HTTP says where there are none."""
    try:
        words = str(json.loads(bytes(body[:MOST_HEADER_BYTES]))["error"])
    except (ValueError, KeyError, TypeError, RecursionError):
        words = f"HTTP {response.status} {response.reason}"
    return words[:MOST_CHARACTERS]


def request_of(
    tensors: Iterable[tuple[str, Array]], outputs: Iterable[str]
) -> tuple[bytes, list[bytes]]:
    """Return the header and the parts of a request, as the KServe v2 protocol has binary data."""
    inputs, parts = [], []
    for name, values in tensors:
        datatype = DATATYPES.get(values.dtype, "BYTES")
        part = _texts(values) if datatype == "BYTES" else np.ascontiguousarray(values).tobytes()
        size = {"binary_data_size": len(part)}
        shape = list(values.shape)
        inputs.append({"name": name, "shape": shape, "datatype": datatype, "parameters": size})
        parts.append(part)
    wanted = [{"name": name, "parameters": {"binary_data": True}} for name in outputs]
    return json.dumps({"inputs": inputs, "outputs": wanted}).encode(), parts


def tensors_of(header: Mapping[str, Any], data: memoryview) -> dict[str, Array]:
    """Return the tensors of an answer by their names."""
    found: dict[str, Array] = {}
    at = 0
    for each in header["outputs"]:
        size = each["parameters"]["binary_data_size"]
        part, at = data[at : at + size], at + size
        kind = NUMBERS.get(each["datatype"])
        if kind is None and each["datatype"] != "BYTES":
            raise StepError("UNSUPPORTED", f"output {each['name']} is {each['datatype']}")
        values = _of_texts(part) if kind is None else np.frombuffer(part, kind)
        found[each["name"]] = values.reshape(each["shape"])
    return found


def _texts(values: Array) -> bytes:
    texts = [t if isinstance(t, bytes) else str(t).encode() for t in values.ravel().tolist()]
    return b"".join(struct.pack("<I", len(text)) + text for text in texts)


def _of_texts(part: memoryview) -> Array:
    texts: list[bytes] = []
    at = 0
    while at < len(part):
        (length,) = struct.unpack_from("<I", part, at)
        texts.append(bytes(part[at + 4 : at + 4 + length]))
        at += 4 + length
    return np.array(texts, dtype=np.object_)


class TritonPythonModel:
    """What Triton's Python backend runs."""

    def initialize(self, args: Mapping[str, str]) -> None:
        """Read where the step is served; whether it answers shows at the first request."""
        config = json.loads(args["model_config"])
        stated = {key: each["string_value"] for key, each in config["parameters"].items()}
        calls = int(stated[CALLS])
        self._name = args["model_name"]
        self._outputs = [each["name"] for each in config["output"]]
        self._inputs = [each["name"] for each in config["input"]]
        deadline_s = int(stated[DEADLINE_MS]) / 1e3
        self._server = Server(stated[HOST], int(stated[PORT]), stated[MODEL], deadline_s)
        self._free = threading.BoundedSemaphore(calls)
        self._pool = ThreadPoolExecutor(calls)

    def execute(self, requests: Iterable[Any]) -> None:
        """Begin a call for each request; their answers are sent when they come."""
        import triton_python_backend_utils as pb_utils  # noqa: PLC0415  in the stub alone

        for request in requests:
            self._free.acquire()
            sender = request.get_response_sender()
            wanted = set(request.requested_output_names())
            given = [
                (name, tensor.as_numpy())
                for name in self._inputs
                if (tensor := pb_utils.get_input_tensor_by_name(request, name)) is not None
            ]
            # The tensors are Triton's own memory, which it takes back.
            header, parts = request_of(given, [name for name in self._outputs if name in wanted])
            self._pool.submit(self._answer, sender, header, parts, time.monotonic())

    def finalize(self) -> None:
        """Let what is under way end."""
        self._pool.shutdown()
        self._server.addresses.end()

    def _answer(self, sender: Any, header: bytes, parts: list[bytes], began_s: float) -> None:  # noqa: ANN401
        import triton_python_backend_utils as pb_utils  # noqa: PLC0415  in the stub alone

        try:
            response = self._response(pb_utils, sender, header, parts, began_s)
        except StepError as error:
            response = _failed(pb_utils, error.code, f"step {self._name}: {error}")
        except Exception as error:  # noqa: BLE001
            # Whatever it is, the request must be answered.
            response = _failed(pb_utils, "INTERNAL", f"step {self._name}: {error!r}")
        finally:
            self._free.release()
        sender.send(response, flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)

    def _response(
        self,
        pb_utils: Any,  # noqa: ANN401
        sender: Any,  # noqa: ANN401
        header: bytes,
        parts: list[bytes],
        began_s: float,
    ) -> Any:  # noqa: ANN401
        if sender.is_cancelled():
            return _failed(pb_utils, "CANCELLED", "the request was cancelled")
        found = tensors_of(*self._server.infer(header, parts, began_s))
        tensors = [pb_utils.Tensor(name, each) for name, each in found.items()]
        return pb_utils.InferenceResponse(output_tensors=tensors)


def _failed(pb_utils: Any, code: str, message: str) -> Any:  # noqa: ANN401
    error = pb_utils.TritonError(message, getattr(pb_utils.TritonError, code))
    return pb_utils.InferenceResponse(error=error)
