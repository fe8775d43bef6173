import json
import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ferryman.agent.measuring import benchmark
from ferryman.agent.measuring.benchmark import Settings
from ferryman.agent.measuring.closed_loop import HttpServer
from ferryman.api.names import CONTROL_KEY_NAME
from ferryman.api.node_profile import BenchmarkPoint
from ferryman.clients.triton_http import TritonConnection, TritonMemoryError
from hack.models import sleeper
from tests.integration.tritonserver import TritonServer

pytestmark = pytest.mark.integration

FIXED_US, PER_ITEM_US = 30_000, 3_000


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    config = sleeper.config(fixed_us=FIXED_US, per_item_us=PER_ITEM_US, max_batch_size=16)
    sleeper.write(folder / "sleeper", config)
    return folder


@pytest.fixture(scope="module")
def server(repository):
    with TritonServer(repository, models=["sleeper"]) as running:
        yield running


def measured(server, tmp_path, **changes):
    """Run the benchmark as its Job does; return its exit status, its result and its report."""
    result, lines = tmp_path / "termination-log", []
    settings = {
        "url": server.http_url,
        "model": "sleeper",
        "max_batch_size": 16,
        "time_limit_s": 60,
        "max_instances": 1,
        "round_s": 0.3,
    }
    status = benchmark.run(Settings(**settings | changes), result, lines.append)
    return status, json.loads(result.read_text()), lines


def rate(batch_size):
    """Return the images per second that tau(b) = fixed + per item * b allows."""
    return batch_size / ((FIXED_US + PER_ITEM_US * batch_size) / 1e6)


def test_the_measured_table_is_the_models_known_curve(server, tmp_path):
    status, result, lines = measured(server, tmp_path)
    assert status == 0, lines
    points = {row["batchSize"]: BenchmarkPoint.model_validate(row) for row in result["points"]}
    assert list(points) == [1, 2, 4, 8, 16]
    for size, point in points.items():
        # A sleep is never short; what a request takes beside it is the machine's affair.
        assert 0.6 * rate(size) <= point.images_per_second <= 1.02 * rate(size), lines
        assert point.latency_p50_milliseconds >= (FIXED_US + PER_ITEM_US * size) / 1_000
        assert point.latency_p99_milliseconds >= point.latency_p50_milliseconds


def test_sleeping_instances_add_up_until_the_bound(server, tmp_path):
    status, result, lines = measured(server, tmp_path, max_batch_size=1, max_instances=3)
    assert (status, result["maxInstances"]) == (0, 3), lines


def test_the_models_own_bound_and_an_open_end_are_respected(server, tmp_path):
    _, result, lines = measured(server, tmp_path, max_batch_size=64, time_limit_s=3, round_s=0.05)
    assert max(row["batchSize"] for row in result["points"]) <= 16
    assert "the model's own bound is 16" in lines


def test_an_unknown_model_is_an_error_in_the_result(server, tmp_path):
    status, result, _ = measured(server, tmp_path, model="absent", ready_timeout_s=0.5)
    assert status == 1
    assert result["error"].startswith("model absent is not ready after ")


@pytest.mark.parametrize(
    ("key", "instances"),
    [
        pytest.param("", None, id="without the key the number of instances stays open"),
        pytest.param("secret", 2, id="with the key instances are measured"),
    ],
)
def test_a_server_with_restricted_control(repository, tmp_path, key, instances):
    restricted = f"--http-restricted-api=model-repository,model-config:{CONTROL_KEY_NAME}=secret"
    with TritonServer(repository, args=[restricted], models=["sleeper"]) as locked:
        status, result, lines = measured(
            locked, tmp_path, max_batch_size=1, max_instances=2, control_key=key
        )
    assert (status, result["maxInstances"]) == (0, instances), lines


def children(pid):
    """Return the processes that a process has started."""
    threads = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for thread in threads for child in thread.read_text().split()]


def test_a_server_that_is_killed_while_it_is_asked_counts_as_out_of_memory(repository):
    # What the kernel's killer does; the kubelet then starts Triton again, as here.
    with (
        TritonServer(repository, models=["sleeper"]) as killed,
        TritonConnection(killed.http_url, 30) as connection,
        ThreadPoolExecutor(1) as pool,
    ):
        asked = pool.submit(
            HttpServer(connection, "sleeper").play,
            4,
            workers=1,
            least_s=20,
            least_requests=1,
            deadline_s=time.monotonic() + 20,
        )
        time.sleep(0.5)
        # A killed container takes all its processes along; here the backend's would stay behind.
        for process in (killed.pid, *children(killed.pid)):
            os.kill(process, signal.SIGKILL)
        killed.restart()
        with pytest.raises(TritonMemoryError, match="Triton was killed and started again"):
            asked.result(60)
        connection.wait_ready("sleeper", 1)
