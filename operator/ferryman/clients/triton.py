"""One Triton server as the operator uses it: look at a model, count, and change its batching.

Everything that changes something goes over gRPC: a load over HTTP would hold one of the server's
HTTP workers, which answer the clients, for as long as it takes.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sized
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol, TypeVar

import grpc
from tritonclient.grpc import service_pb2, service_pb2_grpc
from tritonclient.grpc.model_config_pb2 import ModelConfig

from ferryman.api.batching import Batching
from ferryman.api.names import CONTROL_KEY_NAME, PORT_GRPC, PORT_METRICS
from ferryman.api.statistics import ServerModel, Statistics
from ferryman.clients import model_config, pbtxt
from ferryman.clients.control.loads import READ_EVERY_S, LateError, Loads, Witness, lock_of
from ferryman.clients.triton_metrics import MetricsPage
from ferryman.clients.triton_statistics import to_statistics

_Answer = TypeVar("_Answer")

#: Triton looks for the key of a restricted protocol in metadata so named (grpc_server.cc).
METADATA_PREFIX: Final = "triton-grpc-protocol-"

#: No server has a model of this name: whoever asks for it gets an answer, and nothing is run.
_NO_MODEL: Final = "ferryman-asks-how-long-a-call-takes"
_MAX_MESSAGE_CHARACTERS: Final = 600
#: Whoever answers may answer anything. Counters of a thousand batch sizes are 70 KB.
_MAX_ANSWER_BYTES: Final = 512 * 1024
#: Parts of one kind in an answer: each is looked at in turn.
_MAX_PARTS: Final = 4096
CHANNEL_OPTIONS: Final = (
    ("grpc.enable_http_proxy", 0),
    # A restarted container comes back on the same address: look again soon.
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 1_000),
    # Channels to equal addresses must not share a connection: each is closed on its own.
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.max_receive_message_length", _MAX_ANSWER_BYTES),
)
#: Answers with a model's outputs are larger, and of no interest: another channel takes them.
_MAX_OUTPUT_BYTES: Final = 8 * 2**20
_ASKING_OPTIONS: Final = (
    *CHANNEL_OPTIONS[:-1],
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", _MAX_OUTPUT_BYTES),
)
_INFER: Final = "/inference.GRPCInferenceService/ModelInfer"
_NO_ANSWER: Final = (
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.CANCELLED,
    grpc.StatusCode.UNAUTHENTICATED,
    grpc.StatusCode.PERMISSION_DENIED,
)


class TritonUnavailable(Exception):  # noqa: N818  the name states the finding
    """The server did not answer, or does not know the model; worth another try."""


class ControlKeyRefused(TritonUnavailable):
    """The server was started with another control key: only a new pod gets the right one."""


class ConfigRefused(Exception):  # noqa: N818  the name states the finding
    """Triton refused the configuration, in its own words; what served before still serves."""


class InferenceRefused(Exception):  # noqa: N818  the name states the finding
    """Triton or the model refused a request, in its own words."""


class TritonServer(Protocol):
    """One model on one Triton server."""

    async def model(self) -> ServerModel:
        """Return whether the model is ready and what is in force; raises TritonUnavailable."""
        ...

    async def statistics(self) -> Statistics:
        """Return the model's counters now; raises TritonUnavailable."""
        ...

    async def apply_batching(self, batching: Batching, *, config_pbtxt: str | None = None) -> None:
        """Put a batching in force and return when it serves.

        Raises ConfigRefused (the old configuration still serves), TritonUnavailable (unknown
        what serves: look again) and pbtxt.ConfigInvalid.
        """
        ...

    async def configuration(self) -> dict[str, Any]:
        """Return the whole configuration that is in force, in JSON; raises TritonUnavailable.

        Other than fields with their default value the bound is always stated.
        """
        ...

    async def call_s(self, payload_bytes: int) -> float:
        """Return how long a call takes that carries so much to a server and has nothing done.

        In seconds, from here and back. Raises TritonUnavailable.
        """
        ...

    async def load(
        self, config_pbtxt: str, *, within_s: float | None = None, more_than: int | None = None
    ) -> None:
        """Load the model with this configuration and return when it serves.

        That is when Triton says so, or when more instances than ``more_than`` are seen to serve.
        ``within_s`` is how long it may take. Raises as ``apply_batching`` does.
        """
        ...

    async def infer(self, request: bytes, *, within_s: float) -> None:
        """Send an encoded ModelInferRequest and wait for the answer, which is not looked at.

        Raises InferenceRefused, and TritonUnavailable also where there is no answer in time.
        """
        ...

    async def close(self) -> None:
        """Close the connections."""
        ...


@dataclass(frozen=True, slots=True)
class Ports:
    """Where the server listens; other than the defaults only in tests."""

    grpc: int = PORT_GRPC
    metrics: int = PORT_METRICS


@dataclass(frozen=True, slots=True)
class Deadlines:
    """How long an answer may take."""

    read_s: float = 5.0
    load_s: float = 300.0
    """A load returns when the model serves: large models read gigabytes first."""


def control_metadata(
    control_key: str, key_name: str = CONTROL_KEY_NAME
) -> tuple[tuple[str, str], ...]:
    """Return the metadata that opens restricted protocols; none for an empty key."""
    return ((f"{METADATA_PREFIX}{key_name}", control_key),) if control_key else ()


def connect(
    pod_ip: str,
    model: str,
    control_key: str,
    *,
    clock: Callable[[], float],
    ports: Ports | None = None,
    deadlines: Deadlines | None = None,
    metrics_url: str = "",
    key_name: str = CONTROL_KEY_NAME,
) -> TritonServer:
    """Return the model on the server of a pod; nothing is sent before the first call.

    ``clock`` gives the seconds of ``Statistics.now_s``. ``metrics_url`` is the whole address of
    the metrics page where it is not the pod's; ``key_name`` is what the server calls the key of
    its restricted protocols. To be called in a running event loop.
    """
    ports = ports or Ports()
    host = f"[{pod_ip}]" if ":" in pod_ip else pod_ip
    return _GrpcServer(
        address=f"{host}:{ports.grpc}",
        metrics_url=metrics_url or f"http://{host}:{ports.metrics}/metrics",
        model=model,
        metadata=control_metadata(control_key, key_name),
        clock=clock,
        deadlines=deadlines or Deadlines(),
    )


class _GrpcServer:
    """A TritonServer over gRPC; statistics that gRPC lacks come from the metrics page."""

    def __init__(
        self,
        *,
        address: str,
        metrics_url: str,
        model: str,
        metadata: tuple[tuple[str, str], ...],
        clock: Callable[[], float],
        deadlines: Deadlines,
    ) -> None:
        self._address = address
        self._metrics = MetricsPage(metrics_url, deadlines.read_s)
        self._model = model
        self._metadata = metadata
        self._clock = clock
        self._deadlines = deadlines
        self._channel = grpc.aio.insecure_channel(address, options=CHANNEL_OPTIONS)
        self._stub = service_pb2_grpc.GRPCInferenceServiceStub(self._channel)
        self._asking: grpc.aio.Channel | None = None
        self._lock = lock_of(address, model)
        self._loads = Loads(address, model)

    async def model(self) -> ServerModel:
        answer = await self._read(
            self._stub.ModelReady, service_pb2.ModelReadyRequest(name=self._model)
        )
        if not answer.ready:
            return ServerModel(ready=False, reason=await self._why_not_ready())
        config = await self._live_config()
        return self._as_serving(
            ServerModel(
                ready=True,
                batching=model_config.batching_of(config),
                batchable=not model_config.not_batchable(config),
                instances_known=model_config.instances_known(config),
                instances=model_config.instances_of(config),
                largest_batch_size=model_config.largest_batch_size(config),
                variable_inputs=model_config.variable_inputs(config),
                shape_tensors=model_config.shape_tensors(config),
            )
        )

    async def statistics(self) -> Statistics:
        request = service_pb2.ModelStatisticsRequest(name=self._model)
        answer = await self._read(self._stub.ModelStatistics, request)
        # Read later, the page has counted all that the statistics have: where it counts nothing,
        # its counters are off. Asked for at once, a model's first request looks the same.
        metrics = await self._metrics.read(self._model)
        parts = [
            answer.model_stats,
            *(each.batch_stats for each in answer.model_stats[:_MAX_PARTS]),
        ]
        self._check_parts(*parts)
        return to_statistics(answer.model_stats, metrics, self._clock())

    async def apply_batching(self, batching: Batching, *, config_pbtxt: str | None = None) -> None:
        """Load the whole configuration with another batching, and read it back.

        ``config_pbtxt`` is the configuration to start from: with the file that the pod started
        from, a change of instances alone is made in place from the first. Without it the live
        configuration is taken, which the server completed after loading the file: Triton
        compares what was *submitted*, so that the first such change after a start reloads.
        """
        batching = batching.canonical()
        async with self._lock:
            if config_pbtxt is None:
                base = await self._live_config()
                if model_config.batching_of(base) == batching:
                    return
                self._check_known(base)
            else:
                base = pbtxt.from_text(config_pbtxt)
            self._check_batchable(base)
            await self._load(model_config.with_batching(base, batching), self._deadlines.load_s)
            in_force = model_config.batching_of(await self._live_config())
        if in_force != batching:
            raise ConfigRefused(
                f"Triton accepted {_words(batching)} but has {_words(in_force)} in force"
            )

    async def configuration(self) -> dict[str, Any]:
        config = await self._live_config()
        return {**pbtxt.to_dict(config), "max_batch_size": config.max_batch_size}

    async def call_s(self, payload_bytes: int) -> float:
        request = service_pb2.ModelInferRequest(model_name=_NO_MODEL)
        request.raw_input_contents.append(bytes(payload_bytes))
        began_s = time.monotonic()
        try:
            await self._stub.ModelInfer(request, timeout=self._deadlines.read_s)
        except grpc.aio.AioRpcError as error:
            took_s = time.monotonic() - began_s
            if error.code() in _NO_ANSWER:
                raise self._unavailable(error) from error
            return took_s
        raise TritonUnavailable(f"Triton at {self._address} has a model {_NO_MODEL}")

    async def load(
        self, config_pbtxt: str, *, within_s: float | None = None, more_than: int | None = None
    ) -> None:
        config = pbtxt.from_text(config_pbtxt)

        async def grown() -> int:
            await self._serve_more_than(more_than or 0)
            return model_config.instances_of(config)

        try:
            await self._loads.carry_out(
                lambda: self._load(config, within_s=None),
                within_s=within_s or self._deadlines.load_s,
                grown=None if more_than is None else grown,
            )
        except LateError as error:
            raise TritonUnavailable(str(error)) from error

    async def infer(self, request: bytes, *, within_s: float) -> None:
        if self._asking is None:
            self._asking = grpc.aio.insecure_channel(self._address, options=_ASKING_OPTIONS)
        try:
            await self._asking.unary_unary(_INFER)(request, timeout=within_s)
        except grpc.aio.AioRpcError as error:
            if error.code() in _NO_ANSWER:
                raise self._unavailable(error) from error
            raise InferenceRefused(_short(error.details() or error.code().name)) from error

    async def close(self) -> None:
        await self._loads.close()
        await self._channel.close()
        if self._asking is not None:
            await self._asking.close()
        await self._metrics.close()

    def _as_serving(self, shown: ServerModel) -> ServerModel:
        """Return what is shown, with instances that serve before the configuration says so."""
        count = self._loads.serving
        if count is None or shown.batching is None:
            return shown if count is None else replace(shown, instances=count)
        return replace(shown, instances=count, batching=shown.batching.with_(instances=count))

    async def _serve_more_than(self, instances: int) -> None:
        """Return when more instances are seen to serve."""
        witness = Witness(instances)
        while True:
            try:
                if witness.sees_more(await self.statistics()):
                    return
            except TritonUnavailable:
                pass  # whether the server is there, the load itself will tell
            await asyncio.sleep(READ_EVERY_S)

    async def _why_not_ready(self) -> str:
        index = await self._read(self._stub.RepositoryIndex, service_pb2.RepositoryIndexRequest())
        self._check_parts(index.models)
        states = [
            f"{model.state or 'not loaded'}{f': {model.reason}' if model.reason else ''}"
            for model in index.models
            if model.name == self._model
        ]
        if not states:
            return f"Triton's model repository has no model {self._model}"
        return _short("; ".join(states))

    async def _live_config(self) -> ModelConfig:
        answer = await self._read(
            self._stub.ModelConfig, service_pb2.ModelConfigRequest(name=self._model)
        )
        config: ModelConfig = answer.config
        self._check_parts(*(part for field, part in config.ListFields() if field.is_repeated))
        return config

    def _check_parts(self, *parts: Sized) -> None:
        """Raise TritonUnavailable for an answer that no Triton gives."""
        found = sum(map(len, parts))
        if found > _MAX_PARTS:
            raise TritonUnavailable(
                f"Triton at {self._address} answers with {found:_} parts, {_MAX_PARTS:_} at most"
            )

    def _check_batchable(self, config: ModelConfig) -> None:
        refusal = model_config.not_batchable(config)
        if refusal:
            raise ConfigRefused(f"the batching of {self._model} cannot be changed: {refusal}")

    def _check_known(self, live: ModelConfig) -> None:
        if model_config.has_unknown_fields(live):
            raise ConfigRefused(
                f"Triton's configuration of {self._model} has fields that this version of "
                "Ferryman does not know and would lose: upgrade Ferryman, or use mode Fixed"
            )

    async def _load(self, config: ModelConfig, within_s: float | None) -> None:
        """Load; ``within_s`` None: however long Triton takes."""
        request = service_pb2.RepositoryModelLoadRequest(model_name=self._model)
        request.parameters["config"].string_param = pbtxt.to_json(config)
        try:
            await self._stub.RepositoryModelLoad(request, timeout=within_s, metadata=self._metadata)
        except grpc.aio.AioRpcError as error:
            if error.code() in _NO_ANSWER:
                raise self._unavailable(error) from error
            raise ConfigRefused(_short(error.details() or error.code().name)) from error

    async def _read(self, method: Callable[..., Awaitable[_Answer]], request: object) -> _Answer:
        try:
            return await method(request, timeout=self._deadlines.read_s, metadata=self._metadata)
        except grpc.aio.AioRpcError as error:
            raise self._unavailable(error) from error

    def _unavailable(self, error: grpc.aio.AioRpcError) -> TritonUnavailable:
        words = _short(error.details() or error.code().name)
        if "restricted" in words and METADATA_PREFIX in words:
            return ControlKeyRefused(
                f"Triton at {self._address} refused the control key: it was started with another; "
                "delete the pod so that it starts with the present one"
            )
        return TritonUnavailable(f"Triton at {self._address}, model {self._model}: {words}")


def _words(batching: Batching | None) -> str:
    if batching is None:
        return "no batching"
    parts = [
        f"max_batch_size {batching.max_batch_size}",
        f"max_queue_delay_microseconds {batching.max_queue_delay_microseconds}",
        f"{batching.instances} instance(s)",
        *(f"preferred_batch_size {size}" for size in batching.preferred_batch_size),
    ]
    if batching.default_timeout_microseconds:
        parts.append(f"default_timeout_microseconds {batching.default_timeout_microseconds}")
    if batching.max_queue_size:
        parts.append(f"max_queue_size {batching.max_queue_size}")
    return ", ".join(parts)


def _short(words: str) -> str:
    """Put a server's words on one line that fits a condition's message beside our own."""
    line = " ".join(words.split())
    if len(line) <= _MAX_MESSAGE_CHARACTERS:
        return line
    return line[: _MAX_MESSAGE_CHARACTERS - 1] + "…"
