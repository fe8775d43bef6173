"""A real tritonserver with the options of serving pods whose addresses are IPv6 ones."""

import socket
import time

import pytest

from ferryman.api.batching import Batching
from ferryman.clients import triton
from ferryman.clients.load.transports import signature_of
from hack.models import sleeper
from tests.integration.tritonserver import TritonServer

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with socket.socket(socket.AF_INET6) as probe:
        try:
            probe.bind(("::1", 0))
        except OSError:
            pytest.skip("this machine has no IPv6")
    repository = tmp_path_factory.mktemp("models")
    sleeper.write(repository / "sleeper", sleeper.config(fixed_us=1_000, per_item_us=100))
    args = ("--metrics-config=summary_latencies=true",)
    with TritonServer(repository, args=args, models=["sleeper"], ipv6=True) as running:
        yield running


def ports(server):
    return (int(url.split("]:")[1].split("/")[0]) for url in (server.grpc_url, server.metrics_url))


async def test_the_operator_changes_and_counts_over_ipv6(server):
    """By the address alone, as a pod's status states it."""
    client = triton.connect(
        "::1", "sleeper", "", clock=time.monotonic, ports=triton.Ports(*ports(server))
    )
    try:
        wanted = Batching(max_batch_size=4, max_queue_delay_microseconds=100)
        await client.apply_batching(wanted)
        assert (await client.model()).batching == wanted
        seen = await client.statistics()
    finally:
        await client.close()
    assert seen.pending == 0  # from the metrics page, which follows the HTTP server


@pytest.mark.parametrize("scheme", ["http", "grpc"])
async def test_clients_reach_both_apis_over_ipv6(server, scheme):
    address = server.http_url if scheme == "http" else server.grpc_url
    signature = await signature_of(f"{scheme}://{address}", "sleeper")
    assert [each.name for each in signature.inputs] == ["input"]


def test_http_then_listens_on_ipv6_alone(server):
    """Which is why a cluster of both families keeps the first of its own."""
    for url in (server.http_url, server.metrics_url):
        port = int(url.split("]:")[1].split("/")[0])
        with pytest.raises(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port)):
            pass
