"""The Triton client against a real tritonserver: look, count, change, and be refused."""

import asyncio
import os
import re
import signal
import socket
import time
from contextlib import asynccontextmanager

import aiohttp
import grpc
import numpy as np
import pytest
from google.protobuf import message_factory
from tritonclient.grpc import service_pb2

from ferryman.api.batching import Batching
from ferryman.api.names import CONTROL_KEY_NAME, RESTRICTED_APIS
from ferryman.api.statistics import Statistics
from ferryman.clients import inference, load_inputs, triton
from ferryman.clients.load import generator as load
from ferryman.clients.triton import (
    ConfigRefused,
    ControlKeyRefused,
    Deadlines,
    Ports,
    TritonUnavailable,
)
from hack.models import digits, sleeper
from tests.integration.triton_counters import settled
from tests.integration.tritonserver import TritonServer

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]

KEY = "0123456789abcdef"
START = Batching(max_batch_size=16)
FILE = sleeper.config(fixed_us=2_000, per_item_us=500)
RESTRICTED = f"{RESTRICTED_APIS}:{CONTROL_KEY_NAME}={KEY}"
ARGS = (
    f"--http-restricted-api={RESTRICTED}",
    f"--grpc-restricted-protocol={RESTRICTED}",
    "--metrics-config=summary_latencies=true",
)
STATEFUL = re.sub(r"dynamic_batching \{[^}]*\}", "sequence_batching {}", FILE)


def port_of(url):
    return int(re.search(r":(\d+)(/|$)", url.removeprefix("http:"))[1])


@asynccontextmanager
async def connected(server, model="sleeper", key=KEY, **options):
    ports = Ports(port_of(server.grpc_url), port_of(server.metrics_url))
    client = triton.connect("127.0.0.1", model, key, clock=time.monotonic, ports=ports, **options)
    try:
        yield client
    finally:
        await client.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    repository = tmp_path_factory.mktemp("models")
    sleeper.write(repository / "sleeper", FILE)
    sleeper.write(repository / "stateful", STATEFUL)
    sleeper.write(repository / "unloaded", FILE)
    sleeper.write(repository / "broken", FILE)
    with TritonServer(repository, args=ARGS, models=["sleeper", "stateful"]) as running:
        yield running


async def post(server, model, request, status=200):
    url = f"http://{server.http_url}/v2/models/{model}/infer"
    async with (
        aiohttp.ClientSession() as http,
        http.post(url, data=request.body, headers=request.headers) as answer,
    ):
        body = await answer.read()
        assert answer.status == status, body
        return body, answer.headers.get(inference.HEADER_LENGTH)


async def send(server, count, rows=1):
    """Send requests one after another, so that each runs as a batch of its own."""
    array = np.ones((rows, 1), np.float32)
    request = inference.build({"input": array}, [], None)
    for _ in range(count):
        answer = await post(server, "sleeper", request)
        np.testing.assert_array_equal(inference.read_answer(*answer)["output"], array)


# Look


async def test_a_ready_model_shows_what_is_in_force(server):
    async with connected(server) as client:
        await client.apply_batching(START, config_pbtxt=FILE)
        found = await client.model()
    assert (found.ready, found.reason, found.batchable) == (True, "", True)
    assert (found.batching, found.instances_known) == (START, True)


async def test_a_model_that_is_not_loaded_says_so(server):
    async with connected(server, "unloaded") as client:
        found = await client.model()
    assert (found.ready, found.batching, found.reason) == (False, None, "not loaded")


async def test_an_unknown_model_is_named(server):
    async with connected(server, "nobody") as client:
        found = await client.model()
        assert (found.ready, found.reason) == (
            False,
            "Triton's model repository has no model nobody",
        )
        with pytest.raises(TritonUnavailable, match=r"model nobody: .*not available"):
            await client.statistics()


async def test_a_stateful_model_is_not_batchable_and_is_left_alone(server):
    async with connected(server, "stateful") as client:
        found = await client.model()
        assert (found.ready, found.batchable, found.batching) == (True, False, None)
        with pytest.raises(ConfigRefused, match="sequence_batching: a stateful model"):
            await client.apply_batching(START)


# Count


async def test_counters_grow_by_exactly_what_was_sent(server):
    async with connected(server) as client:
        before = await settled(client)
        await send(server, 7, rows=1)
        await send(server, 5, rows=4)
        after = await settled(client)
    assert after.success_count - before.success_count == 12
    assert after.inference_count - before.inference_count == 7 + 5 * 4
    assert after.execution_count - before.execution_count == 12
    assert after.failure_count == before.failure_count
    assert grown(before, after, 1)[0] == 7
    executions, busy_ns = grown(before, after, 4)
    assert executions == 5
    # tau(4) = 2 ms + 4 * 0.5 ms asleep, and what the machine adds.
    assert 4.0e6 <= busy_ns / executions < 400e6
    assert after.success_ns - before.success_ns >= 7 * 2.5e6 + 5 * 4e6
    assert after.now_s > before.now_s


def grown(before: Statistics, after: Statistics, size):
    first = before.batches.get(size, (0, 0))
    return tuple(b - a for a, b in zip(first, after.batches[size], strict=True))


async def test_a_request_that_never_reached_the_model_is_no_success(server):
    async with connected(server) as client:
        before = await settled(client)
        request = inference.build({"wrong": np.ones((1, 1), np.float32)}, [], None)
        await post(server, "sleeper", request, status=400)
        after = await settled(client)
    assert after.success_count == before.success_count


async def test_quantiles_and_queue_length_come_from_the_metrics_page(server):
    async with connected(server) as client:
        await send(server, 10)
        found = await client.statistics()
    assert sorted(found.latency_quantiles_us) == [50, 90, 95, 99]
    assert 2_500 <= found.latency_quantiles_us[50] <= found.latency_quantiles_us[99] < 1e6
    assert found.pending == 0


async def test_without_a_metrics_page_the_counters_are_still_there(server):
    ports = Ports(grpc=port_of(server.grpc_url), metrics=1)
    client = triton.connect("127.0.0.1", "sleeper", KEY, clock=time.monotonic, ports=ports)
    try:
        found = await client.statistics()
    finally:
        await client.close()
    assert (found.latency_quantiles_us, found.pending) == ({}, None)
    assert found.success_count >= 0


# Change


async def test_a_reload_changes_all_three_and_resets_the_counters(server):
    wanted = Batching(max_batch_size=8, max_queue_delay_microseconds=300, instances=2)
    async with connected(server) as client:
        await client.apply_batching(START)
        await send(server, 3)
        assert (await settled(client)).success_count >= 3
        await client.apply_batching(wanted)
        assert (await client.model()).batching == wanted
        assert (await settled(client)).success_count == 0


async def test_a_change_of_instances_alone_is_made_in_place_and_keeps_the_counters(server):
    async with connected(server) as client:
        await client.apply_batching(Batching(max_batch_size=12, instances=1))
        await send(server, 3)
        started = time.monotonic()
        await client.apply_batching(Batching(max_batch_size=12, instances=2))
        print(f"in place, one instance more: {time.monotonic() - started:.2f} s")
        assert (await client.model()).batching == Batching(max_batch_size=12, instances=2)
        assert (await settled(client)).success_count == 3


@pytest.mark.parametrize(
    ("from_file", "kept"),
    [
        pytest.param(True, 1, id="with the file that the pod started from: in place"),
        pytest.param(False, 0, id="without it: Triton reloads once"),
    ],
)
async def test_the_first_change_of_instances_after_a_start(tmp_path, from_file, kept):
    # Not the sleeper: the Python backend leaves a __pycache__ beside model.py at the first load,
    # and Triton reloads a model whose version folder changed.
    file = (
        'backend: "onnxruntime" max_batch_size: 8 dynamic_batching {} instance_group { count: 1 }'
    )
    digits.write(tmp_path / "digits")
    (tmp_path / "digits" / "config.pbtxt").write_text(file)
    with TritonServer(tmp_path, args=ARGS, models=["digits"]) as fresh:
        async with connected(fresh, "digits") as client:
            signature = await load.signature_of(f"http://{fresh.http_url}", "digits")
            (request, *_) = load_inputs.random_requests(signature, 1, 0)
            await post(fresh, "digits", request)
            wanted = Batching(max_batch_size=8, instances=2)
            await client.apply_batching(wanted, config_pbtxt=file if from_file else None)
            assert (await client.model()).batching == wanted
            assert (await settled(client)).success_count == kept


async def test_what_is_already_in_force_is_not_loaded_again(server):
    async with connected(server) as client:
        await client.apply_batching(START)
        await send(server, 2)
        count = (await settled(client)).success_count
        await client.apply_batching(START)
        assert (await settled(client)).success_count == count


async def test_a_refused_config_is_passed_on_and_the_old_one_serves(server):
    async with connected(server) as client:
        await client.apply_batching(START)
        bad = FILE.replace('backend: "python"', 'backend: "nothing"')
        with pytest.raises(ConfigRefused, match=r"unable to find backend library.*'nothing'"):
            await client.apply_batching(Batching(max_batch_size=4), config_pbtxt=bad)
        assert (await client.model()).batching == START
        await send(server, 3)


async def test_a_model_that_failed_to_load_says_why_and_is_repaired_by_a_load(server):
    bad = FILE.replace('key: "fixed_us"', 'key: "unfixed_us"')
    async with connected(server, "broken") as client:
        with pytest.raises(ConfigRefused, match=r"KeyError: 'fixed_us'"):
            await client.apply_batching(START, config_pbtxt=bad)
        failed = await client.model()
        assert not failed.ready
        assert re.search(r"UNAVAILABLE: .*KeyError: 'fixed_us'", failed.reason)
        await client.apply_batching(START, config_pbtxt=FILE)
        assert (await client.model()).batching == START


async def test_loads_of_one_server_wait_for_one_another(server):
    sizes = (4, 6, 10)
    async with connected(server) as one, connected(server) as two:
        clients = (one, two, one)
        await asyncio.gather(
            *(
                client.apply_batching(Batching(max_batch_size=size))
                for client, size in zip(clients, sizes, strict=True)
            )
        )
        # None was superseded: each was read back before the next began, the last one serves.
        assert (await one.model()).batching == Batching(max_batch_size=sizes[-1])


# Be refused


async def test_without_the_right_key_nothing_is_changed(server):
    async with connected(server) as right, connected(server, key="wrong") as wrong:
        before = await right.model()
        with pytest.raises(ControlKeyRefused, match=r"refused the control key.*delete the pod"):
            await wrong.apply_batching(Batching(max_batch_size=3))
        assert await right.model() == before


CLOSED = [
    ("GET", "/v2/models/sleeper/config"),
    ("POST", "/v2/repository/index"),
    ("POST", "/v2/repository/models/sleeper/load"),
    ("POST", "/v2/repository/models/sleeper/unload"),
    ("GET", "/v2/trace/setting"),
    ("POST", "/v2/models/sleeper/trace/setting"),
    ("GET", "/v2/logging"),
    ("POST", "/v2/logging"),
    ("GET", "/v2/systemsharedmemory/status"),
    ("POST", "/v2/systemsharedmemory/region/x/register"),
    ("GET", "/v2/cudasharedmemory/status"),
]
OPEN = [
    "/v2",
    "/v2/health/live",
    "/v2/health/ready",
    "/v2/models/sleeper",
    "/v2/models/sleeper/stats",
]


async def test_clients_can_infer_and_look_but_not_control(server):
    async with aiohttp.ClientSession(f"http://{server.http_url}") as http:
        for method, path in CLOSED:
            for headers in ({}, {CONTROL_KEY_NAME: "wrong"}):
                async with http.request(method, path, headers=headers, data=b"{}") as answer:
                    assert (path, answer.status) == (path, 403)
        for path in OPEN:
            async with http.get(path) as answer:
                assert (path, answer.status) == (path, 200)
        for path in ("/invocations", "/ping"):  # SageMaker's and Vertex AI's ways around
            async with http.post(path, data=b"{}") as answer:
                assert (path, answer.status) == (path, 404)
    await send(server, 1)


async def test_a_killed_server_is_unavailable_and_says_where(tmp_path):
    sleeper.write(tmp_path / "sleeper", FILE)
    doomed = TritonServer(tmp_path, args=ARGS, models=["sleeper"])
    doomed.start()
    try:
        async with connected(doomed) as client:
            assert (await client.model()).ready
            os.kill(doomed.pid, signal.SIGKILL)
            await asyncio.sleep(0.5)
            address = f"Triton at {doomed.grpc_url}, model sleeper: "
            for call in (client.model, client.statistics, lambda: client.apply_batching(START)):
                with pytest.raises(TritonUnavailable, match=re.escape(address)):
                    await call()
    finally:
        doomed.stop()


async def test_a_pod_that_does_not_answer_costs_no_more_than_the_deadline():
    with socket.socket() as silent:  # accepts connections (the kernel does) and says nothing
        silent.bind(("127.0.0.1", 0))
        silent.listen(16)
        port = silent.getsockname()[1]
        client = triton.connect(
            "127.0.0.1",
            "sleeper",
            KEY,
            clock=time.monotonic,
            ports=Ports(port, port),
            deadlines=Deadlines(read_s=1.0),
        )
        started = time.monotonic()
        try:
            with pytest.raises(TritonUnavailable, match="Deadline Exceeded"):
                await client.statistics()
        finally:
            await client.close()
    assert 0.9 < time.monotonic() - started < 4.5


#: What clients may call over gRPC; every other method of the service changes or tells too much.
CALLED = {
    "ServerLive",
    "ServerReady",
    "ModelReady",
    "ServerMetadata",
    "ModelMetadata",
    "ModelInfer",
    "ModelStreamInfer",
    "ModelStatistics",
}
SERVICE = service_pb2.DESCRIPTOR.services_by_name["GRPCInferenceService"]
HEADER = f"triton-grpc-protocol-{CONTROL_KEY_NAME}"


def call_grpc(server, method, metadata=()):
    """Call a method with an empty message about the model; return how it was answered."""
    request = message_factory.GetMessageClass(method.input_type)()
    for field in ("name", "model_name"):
        if field in method.input_type.fields_by_name:
            setattr(request, field, "sleeper")
    with grpc.insecure_channel(server.grpc_url) as channel:
        call = channel.stream_stream if method.client_streaming else channel.unary_unary
        path = f"/{SERVICE.full_name}/{method.name}"
        sent = iter([request.SerializeToString()])
        try:
            if method.client_streaming:
                list(call(path)(sent, timeout=10, metadata=metadata))
            else:
                call(path)(next(sent), timeout=10, metadata=metadata)
        except grpc.RpcError as error:
            return error.code(), error.details()
    return grpc.StatusCode.OK, ""


@pytest.mark.parametrize("method", list(SERVICE.methods), ids=lambda method: method.name)
@pytest.mark.parametrize(
    "metadata",
    [
        pytest.param((), id="without a key"),
        pytest.param(((HEADER, "wrong"),), id="with a wrong key"),
        pytest.param(((CONTROL_KEY_NAME, KEY),), id="with the key under another name"),
    ],
)
def test_over_grpc_a_client_without_the_key_may_infer_and_look(server, method, metadata):
    code, details = call_grpc(server, method, metadata)
    refused = code == grpc.StatusCode.UNAVAILABLE and "protocol is restricted" in details
    assert refused is (method.name not in CALLED), (code, details)


def test_over_grpc_the_key_opens_what_is_restricted(server):
    code, _ = call_grpc(server, SERVICE.methods_by_name["RepositoryIndex"], ((HEADER, KEY),))
    assert code == grpc.StatusCode.OK
