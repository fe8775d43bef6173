"""Whatever proxies the environment names, requests to Triton go there directly."""

import asyncio
import time

import pytest

from ferryman.clients import triton
from ferryman.clients.load.transports import ConnectionLost, TargetUnavailable, opened, signature_of
from ferryman.clients.triton import Deadlines, Ports, TritonUnavailable
from tests.unit.clients.load.test_transports import REQUEST

VARIABLES = ("grpc_proxy", "https_proxy", "http_proxy", "all_proxy")


@pytest.fixture
async def ports(monkeypatch):
    """Name a proxy in the environment; yield its port, that of Triton, and who was called."""
    called = []

    def listening(name):
        async def answer(_reader, writer):
            called.append(name)
            writer.close()

        return asyncio.start_server(answer, "127.0.0.1", 0)

    proxy, server = await listening("proxy"), await listening("triton")
    address = f"http://127.0.0.1:{proxy.sockets[0].getsockname()[1]}"
    for name in VARIABLES:
        monkeypatch.setenv(name, address)
        monkeypatch.setenv(name.upper(), address)
    for name in ("no_proxy", "NO_PROXY", "no_grpc_proxy"):
        monkeypatch.delenv(name, raising=False)
    async with proxy, server:
        yield server.sockets[0].getsockname()[1], called


async def send(scheme, port):
    async with opened(f"{scheme}://127.0.0.1:{port}", "m") as transport:
        async with asyncio.timeout(5):
            await transport.ask(REQUEST)


async def count(port):
    connection = triton.connect(
        "127.0.0.1",
        "m",
        "",
        clock=time.monotonic,
        ports=Ports(port, port),
        deadlines=Deadlines(read_s=5.0),
    )
    try:
        await connection.statistics()
    finally:
        await connection.close()


WAYS = {
    "load over HTTP": lambda port: send("http", port),
    "load over gRPC": lambda port: send("grpc", port),
    "signature over HTTP": lambda port: signature_of(f"http://127.0.0.1:{port}", "m"),
    "signature over gRPC": lambda port: signature_of(f"grpc://127.0.0.1:{port}", "m"),
    "the operator's counting": count,
}


@pytest.mark.parametrize("way", WAYS)
async def test_no_proxy_is_asked(ports, way):
    """The stand-in for Triton closes every connection, which each way finds to be no answer."""
    port, called = ports
    with pytest.raises((ConnectionLost, TargetUnavailable, TritonUnavailable)):
        await WAYS[way](port)
    assert set(called) == {"triton"}
