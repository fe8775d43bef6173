"""How load travels: KServe's v2 protocol over HTTP, or over gRPC where the address begins so.

Directly, whatever proxies the environment names: what is measured is the server.
"""

import io
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import replace
from itertools import cycle
from typing import Any, Final, Protocol

import aiohttp
import grpc
from google.protobuf import json_format
from tritonclient.grpc import service_pb2

from ferryman.clients import inference
from ferryman.clients.inference import AnswerInvalid, Array, Request, Signature

GRPC_SCHEME: Final = "grpc://"
METADATA_TIMEOUT_S: Final = 10.0
#: aiohttp warns of larger bodies unless they come as a stream.
_LARGE_BODY_BYTES: Final = 2**20
_MAX_DETAIL_CHARACTERS: Final = 200
_SERVICE: Final = "/inference.GRPCInferenceService"
#: Channels share no connection, and messages are as large as Triton's may be. Without a policy
#: gRPC sends nothing twice that a server may have seen. With grpc.enable_retries=0 some calls fail
#: when their connection is renewed (docs/decisions/0017).
_GRPC_OPTIONS: Final = (
    ("grpc.enable_http_proxy", 0),  # neither do we over HTTP
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
)

#: Reads the answer that has come; raises AnswerInvalid.
Outputs = Callable[[], dict[str, Array]]


class TargetUnavailable(Exception):  # noqa: N818  the name states the finding
    """The server does not answer, or does not serve the model."""


class RequestRefused(Exception):  # noqa: N818  the name states the finding
    """The server answered that it would not."""


class ConnectionLost(Exception):  # noqa: N818  the name states the finding
    """There was no connection, or it ended before the answer."""


class Transport(Protocol):
    """Sends one request and waits for its answer."""

    async def ask(self, request: Request) -> Outputs:
        """Return the answer; raises RequestRefused and ConnectionLost."""


@asynccontextmanager
async def opened(
    url: str,
    model: str,
    clients: int = 1,
    *,
    new_connections: bool = False,
    keepalive_s: float | None = None,
) -> AsyncIterator[Transport]:
    """Yield the transport for an address: so many clients in turn, with their own connections.

    ``new_connections``: over HTTP, one for each request. ``keepalive_s``: over gRPC, a connection
    on which nothing came for so long is asked whether it is alive, and given up after half of that.
    """

    def client() -> AbstractAsyncContextManager[Transport]:
        if url.startswith(GRPC_SCHEME):
            return _over_grpc(url, model, keepalive_s)
        return _over_http(url, model, new_connections=new_connections)

    async with AsyncExitStack() as stack:
        yield _InTurn([await stack.enter_async_context(client()) for _ in range(clients)])


@asynccontextmanager
async def _over_grpc(url: str, model: str, keepalive_s: float | None) -> AsyncIterator[Transport]:
    options = () if keepalive_s is None else _keepalive(keepalive_s)
    async with _channel(url, options) as channel:
        yield _OverGrpc(channel, model)


@asynccontextmanager
async def _over_http(url: str, model: str, *, new_connections: bool) -> AsyncIterator[Transport]:
    # Our own bound decides how many there are, and says so.
    connector = aiohttp.TCPConnector(limit=0, force_close=new_connections)
    timeout = aiohttp.ClientTimeout(total=None)  # each request has its own deadline
    async with aiohttp.ClientSession(
        connector=connector, timeout=timeout, auto_decompress=False
    ) as session:
        yield _OverHttp(session, f"{url}/v2/models/{model}/infer")


async def signature_of(url: str, model: str) -> Signature:
    """Ask a server for a model's inputs and outputs; raises TargetUnavailable."""
    over_grpc = url.startswith(GRPC_SCHEME)
    try:
        return await (_signature_over_grpc if over_grpc else _signature_over_http)(url, model)
    except (aiohttp.ClientError, TimeoutError, ValueError, KeyError) as error:
        raise TargetUnavailable(f"{url} does not answer: {words(error)}") from error


async def _signature_over_http(url: str, model: str) -> Signature:
    timeout = aiohttp.ClientTimeout(total=METADATA_TIMEOUT_S)
    async with aiohttp.ClientSession(timeout=timeout) as http:
        async with http.get(f"{url}/v2/models/{model}") as answer:
            if answer.status != 200:  # noqa: PLR2004  OK
                said = (await answer.text())[:_MAX_DETAIL_CHARACTERS]
                raise TargetUnavailable(f"{url} does not serve {model}: {answer.status} {said}")
            signature = Signature.from_metadata(await answer.json(content_type=None))
        return replace(signature, max_batch_size=await _max_batch_size(http, url, model))


async def _max_batch_size(http: aiohttp.ClientSession, url: str, model: str) -> int | None:
    """Return what the configuration says; None where the server keeps that to itself."""
    async with http.get(f"{url}/v2/models/{model}/config") as answer:
        if answer.status != 200:  # noqa: PLR2004  OK
            return None
        return int((await answer.json(content_type=None)).get("max_batch_size", 0))


async def _signature_over_grpc(url: str, model: str) -> Signature:
    async with _channel(url) as channel:
        try:
            metadata = await _called(channel, "ModelMetadata", model)
        except grpc.aio.AioRpcError as error:
            silent = error.code() == grpc.StatusCode.UNAVAILABLE
            fault = "does not answer" if silent else f"does not serve {model}"
            raise TargetUnavailable(f"{url} {fault}: {_grpc_words(error)}") from error
        signature = Signature.from_metadata(metadata)
        try:
            config = (await _called(channel, "ModelConfig", model))["config"]
        except grpc.aio.AioRpcError:  # the server keeps that to itself
            return signature
        return replace(signature, max_batch_size=int(config.get("maxBatchSize", 0)))


async def _called(channel: grpc.aio.Channel, method: str, model: str) -> Mapping[str, Any]:
    """Return the answer of a method about a model, as JSON has it."""
    request = getattr(service_pb2, f"{method}Request")(name=model).SerializeToString()
    call = channel.unary_unary(f"{_SERVICE}/{method}")
    answer = await call(request, timeout=METADATA_TIMEOUT_S)
    message = getattr(service_pb2, f"{method}Response").FromString(answer)
    found: Mapping[str, Any] = json_format.MessageToDict(message)
    return found


def _keepalive(seconds: float) -> tuple[tuple[str, int], ...]:
    """Return gRPC's settings; in its C core the timeout of pings rules over that of keepalive."""
    return (
        ("grpc.keepalive_time_ms", round(1e3 * seconds)),
        ("grpc.keepalive_timeout_ms", round(500 * seconds)),
        ("grpc.http2.ping_timeout_ms", round(500 * seconds)),
    )


def _channel(url: str, options: Sequence[tuple[str, int]] = ()) -> grpc.aio.Channel:
    return grpc.aio.insecure_channel(
        url.removeprefix(GRPC_SCHEME), options=(*_GRPC_OPTIONS, *options)
    )


class _InTurn:
    def __init__(self, transports: Sequence[Transport]) -> None:
        self._turn = cycle(transports)

    async def ask(self, request: Request) -> Outputs:
        return await next(self._turn).ask(request)


class _OverHttp:
    def __init__(self, http: aiohttp.ClientSession, url: str) -> None:
        self._http = http
        self._url = url

    async def ask(self, request: Request) -> Outputs:
        body: Any = (
            request.body if len(request.body) < _LARGE_BODY_BYTES else io.BytesIO(request.body)
        )
        try:
            async with self._http.post(self._url, data=body, headers=request.headers) as answer:
                content = await answer.read()
        except (aiohttp.ClientError, OSError) as error:
            raise ConnectionLost(words(error)) from error
        if answer.status != 200:  # noqa: PLR2004  OK
            said = content[:_MAX_DETAIL_CHARACTERS].decode(errors="replace")
            raise RequestRefused(f"{answer.status} {said}")
        length = answer.headers.get(inference.HEADER_LENGTH)
        return lambda: inference.read_answer(content, length)


class _OverGrpc:
    """One channel, and so one connection, as most clients have it."""

    def __init__(self, channel: grpc.aio.Channel, model: str) -> None:
        self._call = channel.unary_unary(f"{_SERVICE}/ModelInfer")
        self._model = model
        self._messages: dict[int, bytes] = {}

    async def ask(self, request: Request) -> Outputs:
        if id(request) not in self._messages:
            self._messages[id(request)] = as_message(request, self._model)
        try:
            answer = await self._call(self._messages[id(request)])
        except grpc.aio.AioRpcError as error:
            if error.code() == grpc.StatusCode.UNAVAILABLE:
                raise ConnectionLost(_grpc_words(error)) from error
            raise RequestRefused(_grpc_words(error)) from error
        return lambda: _outputs(answer)


def as_message(request: Request, model: str) -> bytes:
    """Return a request that was built for HTTP as the message of ModelInfer."""
    length = int(request.headers[inference.HEADER_LENGTH])
    header = json.loads(request.body[:length])
    message = service_pb2.ModelInferRequest(model_name=model)
    at = length
    for entry in header["inputs"]:
        message.inputs.add(name=entry["name"], datatype=entry["datatype"], shape=entry["shape"])
        size = entry["parameters"]["binary_data_size"]
        message.raw_input_contents.append(request.body[at : at + size])
        at += size
    for entry in header.get("outputs", ()):
        message.outputs.add(name=entry["name"])
    encoded: bytes = message.SerializeToString()
    return encoded


def _outputs(answer: bytes) -> dict[str, Array]:
    """Read an answer as that over HTTP is read: its tensors' bytes behind a description."""
    message = service_pb2.ModelInferResponse.FromString(answer)
    contents = list(message.raw_output_contents)
    if len(contents) != len(message.outputs):
        raise AnswerInvalid(f"{len(contents)} tensors where {len(message.outputs)} were described")
    outputs = [
        {
            "name": tensor.name,
            "datatype": tensor.datatype,
            "shape": list(tensor.shape),
            "parameters": {"binary_data_size": len(content)},
        }
        for tensor, content in zip(message.outputs, contents, strict=True)
    ]
    header = json.dumps({"outputs": outputs}).encode()
    return inference.read_answer(b"".join([header, *contents]), str(len(header)))


def words(error: BaseException) -> str:
    """Return an error in words that are not too many."""
    return f"{type(error).__name__}: {error}"[:_MAX_DETAIL_CHARACTERS]


def _grpc_words(error: grpc.aio.AioRpcError) -> str:
    return f"{error.code().name} {error.details()}"[:_MAX_DETAIL_CHARACTERS]
