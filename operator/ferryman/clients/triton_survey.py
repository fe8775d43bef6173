"""What a running Triton allows: whether a model can be tuned, changed, and observed in full.

For servers that Ferryman did not set up. Nothing on the server is changed by asking.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final, TypeVar

import aiohttp
import grpc
from tritonclient.grpc import service_pb2, service_pb2_grpc
from tritonclient.grpc.model_config_pb2 import ModelConfig

from ferryman.clients import model_config, pbtxt, triton, triton_metrics
from ferryman.clients.triton import TritonUnavailable

_Answer = TypeVar("_Answer")

#: To unload a model that is not there does nothing, and is refused where model control is off.
_NO_MODEL: Final = "ferryman-asks-for-model-control"
_DEADLINE_S: Final = 5.0
_RESTRICTED: Final = "protocol is restricted"
_ESTIMATED: Final = "percentiles are estimated from means"


class KeyNeeded(TritonUnavailable):
    """An API that is needed answers only with a key, and not with the one given."""


@dataclass(frozen=True, slots=True)
class Survey:
    """One model on one server; each refusal is a reason in words, or ''."""

    server_version: str
    config_pbtxt: str
    """The whole configuration in force, as Triton completed it."""
    not_tunable: str
    """Why the batching of this model cannot be tuned live."""
    no_control: str
    """Why nothing can be changed."""
    not_observed: tuple[str, ...]
    """What of the metrics page is missing, and what follows from it."""


async def survey(
    address: str,
    model: str,
    *,
    metadata: tuple[tuple[str, str], ...] = (),
    metrics_url: str,
) -> Survey:
    """Look at a model on the server at ``address`` (HOST:PORT of gRPC).

    ``metadata`` carries the key of restricted protocols. Raises TritonUnavailable when the
    server does not answer or does not serve the model, and KeyNeeded.
    """
    async with grpc.aio.insecure_channel(address, options=triton.CHANNEL_OPTIONS) as channel:
        asker = _Asker(address, service_pb2_grpc.GRPCInferenceServiceStub(channel), metadata)
        version = await asker.version()
        await asker.check_ready(model)
        config = await asker.config(model)
        no_control = await asker.why_no_control() or _why_not_changeable(config)
        ended = await asker.ended(model)
        not_tunable = _why_not_tunable(config)
        if config.HasField("ensemble_scheduling"):
            not_tunable = tune_steps(model, await asker.steps(config))
    return Survey(
        server_version=version,
        config_pbtxt=pbtxt.to_text(config),
        not_tunable=not_tunable,
        no_control=no_control,
        not_observed=await missing_metrics(metrics_url, model, ended),
    )


class _Asker:
    """The questions, each with a deadline and with words for what went wrong."""

    def __init__(
        self,
        address: str,
        stub: service_pb2_grpc.GRPCInferenceServiceStub,
        metadata: tuple[tuple[str, str], ...],
    ) -> None:
        self._address = address
        self._stub = stub
        self._metadata = metadata

    async def version(self) -> str:
        request = service_pb2.ServerMetadataRequest()
        return str((await self._ask(self._stub.ServerMetadata, request)).version)

    async def check_ready(self, model: str) -> None:
        request = service_pb2.ModelReadyRequest(name=model)
        if (await self._ask(self._stub.ModelReady, request)).ready:
            return
        index = await self._ask(self._stub.RepositoryIndex, service_pb2.RepositoryIndexRequest())
        found = [entry for entry in index.models if entry.name == model]
        if not found:
            names = ", ".join(sorted({entry.name for entry in index.models})) or "none"
            raise TritonUnavailable(
                f"Triton at {self._address} has no model {model} (it has: {names})"
            )
        states = "; ".join(f"{e.state or 'not loaded'} {e.reason}".strip() for e in found)
        raise TritonUnavailable(f"model {model} at {self._address} is not ready: {states}")

    async def config(self, model: str) -> ModelConfig:
        request = service_pb2.ModelConfigRequest(name=model)
        return (await self._ask(self._stub.ModelConfig, request)).config

    async def steps(self, config: ModelConfig) -> dict[str, str]:
        """Return why each step of an ensemble cannot be tuned, or ''."""
        names = dict.fromkeys(step.model_name for step in config.ensemble_scheduling.step)
        return {name: _why_not_tunable(await self.config(name)) for name in names}

    async def ended(self, model: str) -> int:
        """Return how many requests the model has answered, well or not, since it was loaded."""
        request = service_pb2.ModelStatisticsRequest(name=model)
        versions = (await self._ask(self._stub.ModelStatistics, request)).model_stats
        totals = [version.inference_stats for version in versions]
        return sum(total.success.count + total.fail.count for total in totals)

    async def why_no_control(self) -> str:
        """Return '' where models can be loaded, else the server's words and what would help."""
        request = service_pb2.RepositoryModelUnloadRequest(model_name=_NO_MODEL)
        try:
            await self._stub.RepositoryModelUnload(
                request, timeout=_DEADLINE_S, metadata=self._metadata
            )
        except grpc.aio.AioRpcError as error:
            words = error.details() or error.code().name
            if _RESTRICTED in words:
                raise KeyNeeded(f"Triton at {self._address}: {words}") from error
            return (
                f"its model control is off ({words}): start it with --model-control-mode=explicit"
            )
        return ""

    async def _ask(self, method: Callable[..., Awaitable[_Answer]], request: object) -> _Answer:
        try:
            return await method(request, timeout=_DEADLINE_S, metadata=self._metadata)
        except grpc.aio.AioRpcError as error:
            words = error.details() or error.code().name
            if _RESTRICTED in words:
                raise KeyNeeded(f"Triton at {self._address}: {words}") from error
            raise TritonUnavailable(
                f"no Triton answers over gRPC at {self._address} (its gRPC port is 8001 unless it "
                f"was changed; 8000 is HTTP): {words}"
            ) from error


def tune_steps(model: str, steps: Mapping[str, str]) -> str:
    """Return what to do instead of tuning an ensemble, given why each step cannot be, or ''."""
    said = f"{model} is an ensemble, and its steps batch, not itself"
    tunable = [f"--model {name}" for name, refusal in steps.items() if not refusal]
    refused = "; ".join(f"{name} cannot be: {why}" for name, why in steps.items() if why)
    balanced = "(as an InferencePipeline in Kubernetes it is balanced as a whole)"
    if not tunable:
        return f"{said}; none of these can be tuned: {refused} {balanced}"
    part = "each with its part of the latency target"
    advice = f"tune its steps, {part}: {', '.join(tunable)}"
    return f"{said}; {advice}{f'; {refused}' if refused else ''} {balanced}"


def _why_not_tunable(config: ModelConfig) -> str:
    if model_config.not_batchable(config):
        return model_config.not_batchable(config)
    if not model_config.instances_known(config):
        return "its instance groups differ in their count, which one number cannot say"
    return ""


def _why_not_changeable(config: ModelConfig) -> str:
    if model_config.has_unknown_fields(config):
        return "the model's configuration has fields that this version of Ferryman would lose"
    return ""


async def missing_metrics(url: str, model: str = "", ended: int = 0) -> tuple[str, ...]:
    """Return what the metrics page at ``url`` does not tell, and what follows from it.

    Of one model where it is named, else of any; ``ended`` is how many requests the server has
    answered for it: counters that stand at 0 all the same are switched off.
    """
    timeout = aiohttp.ClientTimeout(total=_DEADLINE_S)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as http,
            http.get(url, raise_for_status=True) as answer,
        ):
            page = await answer.text()
        return unreported(page, model, ended)
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        words = str(error) or type(error).__name__
        no_page = f"no metrics page at {url} ({words})"
        return (f"{no_page}: {_ESTIMATED}, and the length of the queue is not known",)


def unreported(page: str, model: str, ended: int) -> tuple[str, ...]:
    """Return what a metrics page does not tell of a model, and what follows from it.

    A metric whose help is there, but no sample, is not told. Latencies come with the first
    request. Raises ValueError as ``triton_metrics.parse``.
    """
    models = [model] if model else sorted(triton_metrics.models(page))
    shown = [triton_metrics.parse(page, each) for each in models]
    missing = []
    if all(each.summarised is None for each in shown):
        missing.append(
            f"the metrics page has no latency summaries: {_ESTIMATED} (start Triton with "
            "--metrics-config=summary_latencies=true)"
        )
    if all(each.pending is None for each in shown):
        missing.append("the metrics page does not tell the length of the queue")
    if any(each.believed(max(ended, each.summarised or 0)) is not each for each in shown):
        missing.append(
            "Triton's counters are switched off: the length of the queue is not known, and "
            "rejected requests count as failed (start it without "
            "--metrics-config=counter_latencies=false)"
        )
    elif all(each.rejected is None for each in shown):
        missing.append(
            "the metrics page does not tell why requests failed: rejected ones count as failed"
        )
    return tuple(missing)
