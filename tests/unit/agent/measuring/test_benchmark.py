# ruff: noqa: D102  the double is described by the protocol it stands in for
import json

import pytest

from ferryman.agent.measuring import benchmark
from ferryman.agent.measuring.benchmark import Settings, measure
from ferryman.agent.measuring.closed_loop import HttpServer, with_instances
from ferryman.agent.measuring.measurement import Round
from ferryman.clients.inference import Signature, Tensor
from ferryman.clients.triton_http import (
    TritonError,
    TritonLostError,
    TritonMemoryError,
    TritonRefusedError,
    is_about_memory,
    random_request,
)


class Curve:
    """A server on virtual time whose batches take 4 + 1 ms for each image."""

    def __init__(self, *, largest=64, cores=2.0, control=True, noise=()):
        self.now_s = 0.0
        self.largest = largest
        self.cores = cores
        self.control = control
        self.noise = list(noise)
        self.instances = 1
        self.played = []

    def clock(self):
        return self.now_s

    def largest_batch(self):
        return self.largest

    def play(self, batch_size, *, workers, least_s, least_requests, deadline_s):
        sharing = max(1.0, min(workers, self.instances) / self.cores)
        tau_s = (0.004 + 0.001 * batch_size) * sharing
        tau_s *= self.noise.pop(0) if self.noise else 1.0
        count = max(least_requests, int(least_s / tau_s), 1)
        count = max(1, min(count, int((deadline_s - self.now_s) / tau_s)))
        self.now_s += count * tau_s
        self.played.append((batch_size, workers))
        latencies = (tau_s * 1_000,) * count * workers
        return Round(batch_size * len(latencies), count * tau_s, latencies)

    def set_instances(self, count):
        if not self.control:
            raise TritonRefusedError("403 forbidden")
        self.now_s += 0.2
        self.instances = count


def settings(**changes):
    return Settings(**{"url": "x", "model": "m", "max_batch_size": 8} | changes)


def table_of(server, lines=None, **changes):
    report = (lambda _: None) if lines is None else lines.append
    return measure(settings(**changes), server, report, server.clock)


def test_every_batch_size_is_measured_with_one_request_in_flight():
    table = table_of(Curve())
    measured = {point.batch_size: point for point in table.points}
    assert list(measured) == [1, 2, 4, 8]
    for size, point in measured.items():
        assert point.images_per_second == pytest.approx(size / (0.004 + 0.001 * size), rel=0.01)
        assert point.latency_p50_milliseconds == pytest.approx(4 + size, rel=0.01)


@pytest.mark.parametrize(
    ("cores", "best"),
    [
        pytest.param(1.0, 1, id="one core: the second instance only shares it"),
        pytest.param(3.0, 3, id="three cores: the fourth instance adds nothing"),
        pytest.param(64.0, 8, id="many cores: as many as were tried"),
    ],
)
def test_instances_are_added_while_the_throughput_grows(cores, best):
    assert table_of(Curve(cores=cores)).max_instances == best


def test_without_model_control_the_number_of_instances_stays_open_and_it_says_why():
    lines = []
    assert table_of(Curve(control=False), lines).max_instances is None
    assert "1 instances cannot be measured: 403 forbidden" in lines


def test_an_instance_that_does_not_fit_ends_the_search_at_the_one_before():
    server = Curve(cores=64)
    play = server.play

    def fail_at_three(size, **how):
        if how["workers"] == 3:
            raise TritonError("connection reset")
        return play(size, **how)

    server.play = fail_at_three
    assert table_of(server).max_instances == 2


def test_the_models_own_bound_limits_the_sizes():
    assert [point.batch_size for point in table_of(Curve(largest=4)).points] == [1, 2, 4]


def test_a_model_that_takes_no_batches_has_one_row():
    assert [point.batch_size for point in table_of(Curve(largest=0)).points] == [1]


def test_rounds_go_on_until_the_mean_is_known():
    # A warm-up, four rounds that differ, and so many that only the last two of them count.
    server = Curve(noise=[1, 1, 2, 1, 1.05])
    table = table_of(server, max_batch_size=1, max_instances=1)
    warm_up, quiet_rounds = 1, 3
    instances = warm_up + quiet_rounds
    assert table.points[0].ended == "Stable"
    assert server.played.count((1, 1)) == warm_up + 4 + 8 + instances


def test_a_server_that_never_agrees_costs_its_share_of_the_time_and_no_more():
    server = Curve(noise=[1, 3] * 10_000)
    table = table_of(server, time_limit_s=60)
    assert [point.ended for point in table.points] == ["TimeUp"] * 4
    assert server.now_s <= 60 * 1.1


def test_time_that_is_up_ends_the_table_with_the_rows_there_are():
    server = Curve()
    server.noise = [1] + [10_000] * 100
    lines = []
    table = table_of(server, lines, time_limit_s=30)
    assert 1 <= len(table.points) < 4
    assert table.max_instances is None
    assert table.note.startswith("time is up before batch size")
    assert table.note in lines


def fail_at(server, size, error):
    """Let the server fail at a batch size and beyond."""
    play = server.play

    def fail(batch_size, **how):
        if batch_size >= size:
            raise error
        return play(batch_size, **how)

    server.play = fail
    return server


def test_a_batch_that_does_not_fit_ends_the_table_with_the_rows_there_are():
    server, lines = Curve(cores=1.0), []
    table = table_of(fail_at(server, 4, TritonMemoryError("CUDA out of memory")), lines)
    assert [point.batch_size for point in table.points] == [1, 2]
    assert table.note == "batch size 4 does not fit into memory: CUDA out of memory"
    assert table.note in lines
    assert table.max_instances == 1, "and the number of instances is measured all the same"


@pytest.mark.parametrize(
    ("size", "error"),
    [
        pytest.param(1, TritonMemoryError("out of memory"), id="not even one image fits"),
        pytest.param(4, TritonRefusedError("400 wrong shape"), id="something else than memory"),
    ],
)
def test_any_other_failure_is_the_benchmarks(size, error):
    with pytest.raises(type(error), match=str(error)):
        table_of(fail_at(Curve(), size, error))


@pytest.mark.parametrize(
    ("words", "about"),
    [
        pytest.param("Failed to allocate memory for requested buffer", True, id="ONNX Runtime"),
        pytest.param("CUDA failure 2: out of memory", True, id="CUDA"),
        pytest.param("cudaErrorMemoryAllocation", True, id="CUDA by name"),
        pytest.param("std::bad_alloc", True, id="the C++ library"),
        pytest.param("OutOfMemory (Requested size was 9 bytes.)", True, id="TensorRT"),
        pytest.param("unexpected shape for input", False, id="a shape"),
        pytest.param("memory type is not supported", False, id="a kind of memory"),
    ],
)
def test_a_refusal_for_want_of_memory_is_recognised(words, about):
    assert is_about_memory(words) is about


class Connection:
    """A connection to a Triton whose inferences fail in a given way."""

    def __init__(self, error, *, returns=True):
        self.error = error
        self.returns = returns
        self.waited = []

    def signature(self, _model):
        return Signature((Tensor("image", "FP32", (-1, 3, 224, 224)),), ())

    def config(self, _model):
        return {"max_batch_size": 1024}

    def infer(self, _model, _request):
        raise self.error

    def wait_ready(self, model, timeout_s):
        self.waited.append((model, timeout_s))
        if not self.returns:
            raise TritonError("model m is not ready")


def ask(connection, batch_size=1):
    server = HttpServer(connection, "m")
    server.play(batch_size, workers=1, least_s=0, least_requests=1, deadline_s=0)


def test_a_server_that_is_killed_and_comes_back_was_out_of_memory():
    connection = Connection(TritonLostError("POST: ConnectionResetError: "))
    with pytest.raises(TritonMemoryError, match="killed and started again: POST: Connection"):
        ask(connection)
    assert connection.waited == [("m", 120.0)]


def test_a_server_that_does_not_come_back_is_lost():
    with pytest.raises(TritonError, match="not ready") as found:
        ask(Connection(TritonLostError("reset"), returns=False))
    assert not isinstance(found.value, TritonMemoryError)


def test_a_batch_that_is_too_large_for_the_client_is_never_built():
    connection = Connection(AssertionError("it was sent"))
    with pytest.raises(TritonMemoryError, match="a request of 294 MiB is too much"):
        ask(connection, batch_size=512)


def test_instances_are_set_in_every_group_and_the_batcher_is_left_out():
    config = {
        "name": "m",
        "dynamic_batching": {},
        "instance_group": [{"kind": "KIND_GPU", "count": 1, "gpus": [0]}],
    }
    assert with_instances(config, 3) == {
        "name": "m",
        "instance_group": [{"kind": "KIND_GPU", "count": 3, "gpus": [0]}],
    }
    assert with_instances({"name": "m"}, 2)["instance_group"] == [{"count": 2}]


def test_a_random_request_has_the_batch_size_in_front_and_no_odd_numbers():
    signature = Signature(
        (Tensor("image", "FP32", (-1, 3, 2)), Tensor("id", "INT64", (-1, -1))), ()
    )
    request = random_request(signature, 4, seed=1)
    header = json.loads(request.body[: int(request.headers["Inference-Header-Content-Length"])])
    assert [tensor["shape"] for tensor in header["inputs"]] == [[4, 3, 2], [4, 1]]
    assert request.body == random_request(signature, 4, seed=1).body


def test_a_type_that_cannot_be_drawn_is_refused_by_name():
    with pytest.raises(ValueError, match="odd has the type FP8"):
        random_request(Signature((Tensor("odd", "FP8", (-1,)),), ()), 1, seed=1)


def test_a_server_that_never_comes_is_one_line_of_error_and_status_1(tmp_path):
    result, lines = tmp_path / "termination-log", []
    status = benchmark.run(
        settings(url="127.0.0.1:9", ready_timeout_s=0.1), result, report=lines.append
    )
    assert status == 1
    error = json.loads(result.read_text())["error"]
    assert error.startswith("model m is not ready after 0 s: GET /v2/models/m/ready: ")
    assert lines[-1] == f"failed: {error}"
