"""The parts of the ONNX Runtime adapter that know nothing of Triton."""

from __future__ import annotations

import os
import sys

import numpy as np
import pytest

from hack.images.tree import IMAGE


@pytest.fixture(scope="module")
def parts():
    """Import the adapter's modules from their backend folder, as Triton's stub does."""
    names = ("cpu_budget", "request_batching")
    sys.path.insert(0, str(IMAGE / "onnxruntime"))
    try:
        yield {name: __import__(name) for name in names}
    finally:
        sys.path.remove(str(IMAGE / "onnxruntime"))
        for name in names:
            sys.modules.pop(name, None)


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
