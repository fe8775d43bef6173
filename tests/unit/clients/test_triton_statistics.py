# ruff: noqa: N802, ARG002, D102  as the protocol names its calls; a stand-in does what its class says
"""What a running server counts, read while it counts."""

import asyncio

import grpc
import pytest
from aiohttp import web
from tritonclient.grpc import service_pb2, service_pb2_grpc

from ferryman.clients import triton
from ferryman.clients.triton_metrics import FAILURE, SUCCESS


class Counting(service_pb2_grpc.GRPCInferenceServiceServicer):
    """A model's first request ends while its statistics are being asked for."""

    def __init__(self):
        self.ended = 0

    async def ModelStatistics(self, request, context):
        await asyncio.sleep(0.1)
        self.ended = 1
        return service_pb2.ModelStatisticsResponse(
            model_stats=[{"inference_stats": {"success": {"count": self.ended}}}]
        )

    async def page(self, request):
        lines = (
            f'{SUCCESS}{{model="m"}} {self.ended}\n',
            f'{FAILURE}{{model="m",reason="REJECTED"}} 0\n',
        )
        return web.Response(text="".join(lines))


@pytest.fixture
async def connection():
    """Yield a connection to such a server."""
    counting = Counting()
    server = grpc.aio.server()
    service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(counting, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    app = web.Application()
    app.add_routes([web.get("/metrics", counting.page)])
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    connection = triton.connect(
        "127.0.0.1",
        "m",
        "",
        clock=lambda: 0.0,
        ports=triton.Ports(grpc=port),
        metrics_url=f"http://127.0.0.1:{runner.addresses[0][1]}/metrics",
    )
    yield connection
    await connection.close()
    await runner.cleanup()
    await server.stop(None)


async def test_a_page_that_counts_is_believed_from_the_first_request(connection):
    found = await connection.statistics()
    assert (found.success_count, found.rejected_count) == (1, 0)
