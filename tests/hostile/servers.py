"""Servers as a hostile tenant would run them: silent, or with loads that never return."""

import asyncio
import socket
import threading
from contextlib import ExitStack, contextmanager

import grpc
from tritonclient.grpc import service_pb2, service_pb2_grpc

from ferryman.clients import pbtxt


class Triton(service_pb2_grpc.GRPCInferenceServiceServicer):
    """Serves models with the configurations that it is given; notes whoever asks."""

    def __init__(self, *, loads_return=True):
        self.loads_return = loads_return
        self.configs = {}
        self.loads = []
        self.callers = []
        """The address and the metadata of each call."""

    async def ModelReady(self, _request, context):  # noqa: N802  gRPC's names
        """Say that the model is ready."""
        self._note(context)
        return service_pb2.ModelReadyResponse(ready=True)

    async def ModelConfig(self, request, context):  # noqa: N802
        """Return the configuration in force."""
        self._note(context)
        return service_pb2.ModelConfigResponse(config=self.configs[request.name])

    async def ModelStatistics(self, _request, context):  # noqa: N802
        """Return no counters."""
        self._note(context)
        return service_pb2.ModelStatisticsResponse()

    async def RepositoryModelLoad(self, request, context):  # noqa: N802
        """Load, or never return."""
        self._note(context)
        self.loads.append(request.model_name)
        if not self.loads_return:
            await asyncio.sleep(3600)
        return service_pb2.RepositoryModelLoadResponse()

    def _note(self, context):
        self.callers.append((context.peer(), dict(context.invocation_metadata())))


@contextmanager
def serving(triton, *addresses):
    """Serve at these addresses while the block runs."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    async def begin():
        server = grpc.aio.server(maximum_concurrent_rpcs=None)
        service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(triton, server)
        for address in addresses:
            server.add_insecure_port(f"{address}:8001")
        await server.start()
        return server

    server = asyncio.run_coroutine_threadsafe(begin(), loop).result(30)
    try:
        yield triton
    finally:
        asyncio.run_coroutine_threadsafe(server.stop(None), loop).result(30)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


@contextmanager
def silent(*addresses):
    """Take connections at these addresses, and say nothing."""
    with ExitStack() as sockets:
        for address in addresses:
            sockets.enter_context(socket.create_server((address, 8001), backlog=16))
        yield


def config_of(objects, name, namespace):
    """Return the configuration that a model's pods start with."""
    data = objects.get("configmap", f"{name}-triton", namespace)["data"]
    return pbtxt.from_text(data["config.pbtxt"])
