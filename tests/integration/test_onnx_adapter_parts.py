"""The parts of the ONNX Runtime adapter that know nothing of Triton: threads, batches, states."""

from __future__ import annotations

import dataclasses
import os

import numpy as np
import pytest

from tests.integration.onnx_serving import adapter_parts


@pytest.fixture(scope="module")
def parts():
    return adapter_parts()


@pytest.fixture
def many_cpus(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(64))


@pytest.mark.parametrize(
    ("files", "own", "cpus"),
    [
        pytest.param({}, "", 64, id="no cgroups: what we may run on"),
        pytest.param({"cpu.max": "max 100000"}, "0::/", 64, id="version 2 without a quota"),
        pytest.param({"cpu.max": "150000 100000"}, "0::/", 2, id="version 2: rounded up"),
        pytest.param({"cpu.max": "20000 100000"}, "0::/", 1, id="version 2: at least one"),
        pytest.param(
            {"a/cpu.max": "300000 100000", "a/b/cpu.max": "max 100000"},
            "0::/a/b", 3, id="version 2: a quota above us binds",
        ),
        pytest.param(
            {"cpu/cpu.cfs_quota_us": "250000", "cpu/cpu.cfs_period_us": "100000"},
            "4:memory:/x\n3:cpu,cpuacct:/docker/0123", 3, id="version 1: the root of the mount",
        ),
        pytest.param(
            {"cpu/pod/cpu.cfs_quota_us": "50000", "cpu/pod/cpu.cfs_period_us": "100000"},
            "3:cpu:/pod", 1, id="version 1: our own folder",
        ),
        pytest.param(
            {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"},
            "3:cpu:/", 64, id="version 1 without a quota",
        ),
    ],
)  # fmt: skip
@pytest.mark.usefixtures("many_cpus")
def test_threads_are_the_cpu_quota_rounded_up(parts, tmp_path, files, own, cpus):
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    (tmp_path / "own").write_text(own)
    assert parts["cpu_budget"].available_cpus(tmp_path, tmp_path / "own") == cpus


@pytest.mark.parametrize(
    ("answers", "faults"),
    [
        pytest.param([ValueError("a"), ValueError("b"), ValueError("a")], ["a", "b"], id="all"),
        pytest.param([ValueError("a"), []], [], id="but one"),
        pytest.param([], [], id="nothing was asked"),
    ],
)
def test_a_batch_failed_where_nothing_of_it_succeeded(parts, answers, faults):
    assert parts["request_batching"].faults(answers) == faults


def test_a_thread_count_that_is_not_a_number_is_refused(parts):
    wrong = {"intra_op_thread_count": {"string_value": "many"}}
    with pytest.raises(ValueError, match="'intra_op_thread_count' must be a whole number"):
        parts["cpu_budget"].Threads.of(wrong)


class Recorder:
    """A graph that doubles its input, remembers each run and refuses negative values."""

    def __init__(self):
        self.runs = []

    def __call__(self, feeds):
        """Run once."""
        self.runs.append(len(feeds["x"]))
        if (feeds["x"] < 0).any():
            raise ValueError("negative")
        return [feeds["x"] * 2]


def requests_of(*shapes):
    return [{"x": np.full(shape, i, np.float32)} for i, shape in enumerate(shapes)]


def test_requests_of_one_shape_run_once_and_are_split_again(parts):
    run, requests = Recorder(), requests_of((1, 3), (2, 3), (1, 3))
    answers = parts["request_batching"].answer(requests, run, batched=True)
    assert run.runs == [4]
    for request, (output,) in zip(requests, answers, strict=True):
        np.testing.assert_array_equal(output, request["x"] * 2)


def test_requests_of_different_shapes_run_once_for_each_shape(parts):
    run = Recorder()
    answers = parts["request_batching"].answer(
        requests_of((1, 3), (1, 5), (2, 3)), run, batched=True
    )
    assert run.runs == [3, 1]
    assert [output.shape for (output,) in answers] == [(1, 3), (1, 5), (2, 3)]


def test_without_batching_each_request_runs_alone(parts):
    run = Recorder()
    parts["request_batching"].answer(requests_of((2, 3), (2, 3)), run, batched=False)
    assert run.runs == [2, 2]


def test_only_the_guilty_request_fails(parts):
    requests = [*requests_of((1, 2), (1, 2)), {"x": np.full((1, 2), -1.0)}, KeyError("missing")]
    answers = parts["request_batching"].answer(requests, Recorder(), batched=True)
    assert [isinstance(answer, Exception) for answer in answers] == [False, False, True, True]
    assert str(answers[2]) == "negative"


def test_inputs_that_count_different_rows_are_refused_before_they_run(parts):
    run, request = Recorder(), {"x": np.ones((2, 3)), "y": np.ones((1, 3))}
    (answer,) = parts["request_batching"].answer([request], run, batched=True)
    assert str(answer) == "inputs differ in their batch dimension: {'x': 2, 'y': 1}"
    assert run.runs == []


def test_outputs_that_are_not_one_row_for_each_row_are_not_dealt_out(parts):
    answers = parts["request_batching"].answer(
        requests_of((1, 3), (1, 3)), lambda _: [np.ones(5)], batched=True
    )
    assert all("is not one for each row" in str(answer) for answer in answers)


# Ragged batches


def ragged(parts, kind, *, scattered=None, data_type="TYPE_INT32"):
    config = {
        "input": [{"name": "x", "dims": ["-1"], "allow_ragged_batch": True}],
        "output": [{"name": "y", "dims": ["-1"]}],
        "batch_input": [
            {"kind": kind, "target_name": ["where"], "data_type": data_type, "source_input": ["x"]}
        ],
        "batch_output": scattered or [],
    }
    tensor = parts["onnx_signature"].Tensor("x", "TYPE_FP32", (-1,), (None,))
    signature = parts["onnx_signature"].Signature((tensor,), ())
    return parts["ragged_batch"].layout(config, signature)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        pytest.param("BATCH_ELEMENT_COUNT", [2, 3], id="each request's elements"),
        pytest.param("BATCH_ACCUMULATED_ELEMENT_COUNT", [2, 5], id="where each request ends"),
        pytest.param(
            "BATCH_ACCUMULATED_ELEMENT_COUNT_WITH_ZERO", [0, 2, 5], id="where each begins, and all"
        ),
        pytest.param("BATCH_MAX_ELEMENT_COUNT_AS_SHAPE", [0, 0, 0], id="as long as the longest"),
        pytest.param("BATCH_ITEM_SHAPE", [[2], [3]], id="each row's shape"),
        pytest.param("BATCH_ITEM_SHAPE_FLATTEN", [2, 3], id="each row's shape, flat"),
    ],
)
def test_ragged_requests_lie_one_after_the_other_and_a_batch_input_tells_where(
    parts, kind, expected
):
    joined = ragged(parts, kind).join([{"x": np.ones((1, 2))}, {"x": np.ones((1, 3))}])
    assert joined["x"].shape == (5,)
    assert joined["where"].tolist() == expected
    assert joined["where"].dtype == np.int32


def test_a_scattered_output_that_does_not_fit_its_source_is_not_dealt_out(parts):
    batch_output = {"target_name": ["y"], "source_input": ["x"]}
    layout = ragged(parts, "BATCH_ELEMENT_COUNT", scattered=[batch_output])
    answers = parts["request_batching"].answer(
        [{"x": np.ones((1, 2))}], lambda _: [np.ones(3)], batched=True,
        layout=dataclasses.replace(layout, outputs=["y"]),
    )  # fmt: skip
    assert str(answers[0]) == "output 'y' of shape [3] does not fit input 'x'"


# The states of sequences

START, END = 1, 2
STATEFUL = {
    "sequence_batching": {
        "max_sequence_idle_microseconds": "5000000",
        "state": [
            {"input_name": "sum", "output_name": "new_sum", "initial_state": [{"name": "one"}]},
            {"input_name": "raw", "output_name": "new_raw"},
        ],
    }
}
FRESH = {"sum": np.ones(1), "raw": np.full(1, 1e30)}  # the second is whatever lay in memory


class Clock:
    """Shows the time that a test set."""

    now = 0.0

    def __call__(self):
        """Return the time."""
        return self.now


def sequences(parts, clock=None):
    return parts["sequence_state"].Sequences(STATEFUL, clock or Clock())


def values(feeds):
    return feeds["sum"].item(), feeds["raw"].item()


def keep(running, sequence, flags, value):
    running.keep(sequence, flags, {"new_sum": np.full(1, value), "new_raw": np.full(1, value)})


def test_a_sequence_begins_with_its_initial_state_or_zeros(parts):
    assert values(sequences(parts).recall(7, START, FRESH)) == (1, 0)


def test_each_sequence_goes_on_with_its_own_state(parts):
    running = sequences(parts)
    keep(running, 7, START, 70)
    keep(running, "seven", START, 71)
    assert values(running.recall(7, 0, FRESH)) == (70, 70)
    assert values(running.recall("seven", 0, FRESH)) == (71, 71)


@pytest.mark.parametrize("failed", [False, True], ids=["its first run passed", "it failed"])
def test_a_sequence_that_starts_again_knows_nothing_of_the_one_before(parts, failed):
    running = sequences(parts)
    keep(running, 7, START, 70)
    assert values(running.recall(7, START, FRESH)) == (1, 0)
    if failed:
        assert values(running.recall(7, 0, FRESH)) == (1, 0)


def test_a_sequence_that_ended_leaves_nothing(parts):
    running = sequences(parts)
    keep(running, 7, START | END, 70)
    assert values(running.recall(7, 0, FRESH)) == (1, 0)


def test_sequences_that_clients_abandoned_are_forgotten_after_triton_forgot_them(parts):
    clock = Clock()
    running = sequences(parts, clock)
    keep(running, 7, START, 70)
    clock.now = 11.0  # idle for more than twice what Triton allows
    keep(running, 8, START, 80)
    assert values(running.recall(7, 0, FRESH)) == (1, 0)
    assert values(running.recall(8, 0, FRESH)) == (80, 80)
