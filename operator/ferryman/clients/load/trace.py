"""One request through an ensemble, and what the server counted of it.

Triton 2.51 writes its traces to a file on its own disk, named when it starts: over the network they
can be switched on and not be had. Its statistics can, and only those are asked here.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from graphlib import TopologicalSorter
from typing import Final, TypeVar

import grpc
from tritonclient.grpc import service_pb2, service_pb2_grpc
from tritonclient.grpc.model_config_pb2 import ModelConfig

from ferryman.api.statistics import Counted
from ferryman.clients import triton
from ferryman.clients.inference import Request
from ferryman.clients.load import transports
from ferryman.clients.load.transports import GRPC_SCHEME, ConnectionLost, RequestRefused
from ferryman.clients.triton import TritonUnavailable

_Answer = TypeVar("_Answer")
#: Step -> the steps that it reads, each after those.
After = Mapping[str, tuple[str, ...]]

_DEADLINE_S: Final = 5.0
#: Others may send requests, too: so often it is tried to send one alone.
_ATTEMPTS: Final = 5
#: A request is counted a moment after its answer was sent.
_COUNTED_WITHIN_S: Final = 2.0
_POLL_S: Final = 0.02
_RESTRICTED: Final = "protocol is restricted"


class NoPipeline(Exception):  # noqa: N818  the name states the finding
    """The model is no ensemble; the text says what it is."""


class NotAnswered(Exception):  # noqa: N818  the name states the finding
    """The pipeline did not answer the request; the text has the server's words."""


@dataclass(frozen=True, slots=True)
class Counts:
    """What was counted between two looks with a request in between."""

    whole: Counted
    steps: Mapping[str, Counted]


class Tracer:
    """Looks at one ensemble on one server. To be made in a running event loop."""

    def __init__(self, url: str, model: str, *, metadata: tuple[tuple[str, str], ...] = ()) -> None:
        self._url, self._model, self._metadata = url, model, metadata
        self._channel = grpc.aio.insecure_channel(
            url.removeprefix(GRPC_SCHEME), options=triton.CHANNEL_OPTIONS
        )
        self._stub = service_pb2_grpc.GRPCInferenceServiceStub(self._channel)

    async def close(self) -> None:
        """Close the connection."""
        await self._channel.close()

    async def steps(self) -> dict[str, tuple[str, ...]]:
        """Return which steps each step reads. Raises TritonUnavailable, NoPipeline."""
        request = service_pb2.ModelConfigRequest(name=self._model)
        config = (await self._ask(self._stub.ModelConfig, request)).config
        if not config.HasField("ensemble_scheduling"):
            raise NoPipeline(f"{self._model} is no ensemble but one model: it has no steps")
        return reads_of(config)

    async def ask(self, request: Request, after: After, deadline_s: float) -> Counts:
        """Send a request alone, if others leave it alone, and return what was counted.

        Raises TritonUnavailable, NotAnswered.
        """
        async with transports.opened(self._url, self._model) as transport:
            for attempt in range(_ATTEMPTS):
                before = await self._counted(after)
                await _answer(transport, request, deadline_s)
                found = await self._counted_since(before, after)
                counts = [found.whole.requests, *(each.requests for each in found.steps.values())]
                if set(counts) == {1} or attempt == _ATTEMPTS - 1:
                    break
        return found

    async def _counted_since(self, before: Counts, after: After) -> Counts:
        """Return what was counted since, once everything that took part has been counted."""
        deadline_s = asyncio.get_running_loop().time() + _COUNTED_WITHIN_S
        while True:
            now = await self._counted(after)
            found = Counts(
                now.whole.since(before.whole),
                {name: each.since(before.steps[name]) for name, each in now.steps.items()},
            )
            all_there = all(each.requests > 0 for each in (found.whole, *found.steps.values()))
            if all_there or asyncio.get_running_loop().time() > deadline_s:
                return found
            await asyncio.sleep(_POLL_S)

    async def _counted(self, after: After) -> Counts:
        whole, *steps = await asyncio.gather(*map(self._statistics, (self._model, *after)))
        return Counts(whole, dict(zip(after, steps, strict=True)))

    async def _statistics(self, model: str) -> Counted:
        request = service_pb2.ModelStatisticsRequest(name=model)
        answer = await self._ask(self._stub.ModelStatistics, request)
        total = Counted()
        for each in answer.model_stats:
            seen = each.inference_stats
            total = Counted(
                total.requests + seen.success.count,
                total.queue_ns + seen.queue.ns,
                total.input_ns + seen.compute_input.ns,
                total.infer_ns + seen.compute_infer.ns,
                total.output_ns + seen.compute_output.ns,
                total.total_ns + seen.success.ns,
            )
        return total

    async def _ask(self, method: Callable[..., Awaitable[_Answer]], request: object) -> _Answer:
        try:
            return await method(request, timeout=_DEADLINE_S, metadata=self._metadata)
        except grpc.aio.AioRpcError as error:
            words = error.details() or error.code().name
            if _RESTRICTED in words:
                words = f"{words}: give the key with --control-key-file"
            raise TritonUnavailable(f"{self._url}, {self._model}: {words}") from error


def reads_of(config: ModelConfig) -> dict[str, tuple[str, ...]]:
    """Return which steps each step of an ensemble reads, each after those that it reads."""
    steps = config.ensemble_scheduling.step
    makes = {tensor: step.model_name for step in steps for tensor in step.output_map.values()}
    reads = {
        step.model_name: tuple(
            dict.fromkeys(makes[wire] for wire in step.input_map.values() if wire in makes)
        )
        for step in steps
    }
    return {name: reads[name] for name in TopologicalSorter(reads).static_order()}


async def _answer(transport: transports.Transport, request: Request, deadline_s: float) -> None:
    try:
        async with asyncio.timeout(deadline_s):
            await transport.ask(request)
    except TimeoutError as error:
        raise NotAnswered(f"no answer in {deadline_s:g} s") from error
    except (ConnectionLost, RequestRefused) as error:
        raise NotAnswered(str(error)) from error
