"""The operator's own client of a tritonserver that a benchmark has started."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from ferryman.clients import triton
from ferryman.clients.triton import Ports
from tests.integration.tritonserver import TritonServer


@asynccontextmanager
async def connected(server: TritonServer, model: str) -> AsyncIterator[triton.TritonServer]:
    """Give the operator's own client of a model on a server, on the monotonic clock."""
    urls = (server.grpc_url, server.metrics_url)
    ports = Ports(*(int(url.rpartition(":")[2].split("/")[0]) for url in urls))
    client = triton.connect("127.0.0.1", model, "", clock=time.monotonic, ports=ports)
    try:
        yield client
    finally:
        await client.close()
