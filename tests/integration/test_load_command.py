"""`ferryman load` against a real tritonserver."""

import csv
import json
import sys

import numpy as np
import pytest
from onnx import TensorProto

from ferryman.cli.main import main
from hack.models import digits, onnx_graph
from tests.integration.onnx_serving import identity
from tests.integration.tritonserver import TritonServer

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]

CONFIG = 'backend: "onnxruntime" max_batch_size: 16 dynamic_batching {}'
ALONE = 'backend: "onnxruntime" instance_group [ { count: 1 kind: KIND_CPU } ] '
TEXTS = """
    input [ { name: "x" data_type: TYPE_STRING dims: [ -1 ] } ]
    output [ { name: "y" data_type: TYPE_STRING dims: [ -1 ] } ]
"""
SHORT = ("--rate=50", "--duration=2")  # 100 requests


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    repository = tmp_path_factory.mktemp("models")
    digits.write(repository / "digits")
    (repository / "digits" / "config.pbtxt").write_text(CONFIG)
    passed_on = {
        "bfloat16": (identity(TensorProto.BFLOAT16, ["n", 3]), ALONE),
        "texts": (identity(TensorProto.STRING, ["n"]), ALONE + TEXTS),  # without batches
    }
    for name, (model, config) in passed_on.items():
        onnx_graph.save(model, repository / name)
        (repository / name / "config.pbtxt").write_text(config)
    with TritonServer(repository, models=["digits", *passed_on]) as running:
        yield running


@pytest.fixture
def ferryman_load(server):
    def call(*args, url=f"http://{server.http_url}", model="digits"):
        return main(["load", f"--url={url}", f"--model={model}", *SHORT, *args])

    return call


def test_json_lines_a_summary_and_every_request(server, ferryman_load, tmp_path, capsys):
    pictures = server.model_repository / "digits" / digits.HELD_OUT_FILE
    file = tmp_path / "requests.csv"
    arguments = ("--arrivals=constant", f"--input={pictures}", f"--output={file}")
    assert ferryman_load(*arguments) == 0
    *seconds, summary = map(json.loads, capsys.readouterr().out.splitlines())
    assert sum(second["sent"] for second in seconds) == summary["sent"] == 100
    assert sum(second["ok"] for second in seconds) == summary["ok"] == 100
    assert (summary["failed"], summary["failures"]) == (0, {})
    assert 0.9 < summary["accuracy"] <= 1.0
    assert 0 < summary["p50_ms"] <= summary["p99_ms"] <= summary["max_ms"]
    with file.open() as opened:
        rows = list(csv.DictReader(opened))
    assert [row["outcome"] for row in rows] == ["ok"] * 100


def test_over_grpc_the_answers_are_the_same(server, ferryman_load, capsys):
    pictures = server.model_repository / "digits" / digits.HELD_OUT_FILE
    arguments = ("--arrivals=constant", f"--input={pictures}")
    assert ferryman_load(*arguments, url=f"grpc://{server.grpc_url}") == 0
    summary = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (summary["ok"], summary["failures"]) == (100, {})
    assert 0.9 < summary["accuracy"] <= 1.0


@pytest.mark.parametrize("scheme", ["http", "grpc"])
def test_a_model_that_is_not_served_is_said_so(server, ferryman_load, capsys, scheme):
    address = server.grpc_url if scheme == "grpc" else server.http_url
    assert ferryman_load(url=f"{scheme}://{address}", model="other") == 1
    assert "does not serve other" in capsys.readouterr().err


def test_random_inputs_in_batches_and_a_table_on_a_terminal(ferryman_load, capsys, monkeypatch):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert ferryman_load("--batch-size=4", "--seed=5") == 0
    shown = capsys.readouterr().out
    assert "digits: 50/s" in shown
    assert "0 failed" in shown
    assert "latency p50" in shown


def test_a_larger_batch_than_the_model_takes_is_reported_as_refused(ferryman_load, capsys):
    assert ferryman_load("--batch-size=17", "--arrivals=constant") == 0
    summary = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (summary["ok"], summary["failures"]) == (0, {"refused": 100})
    assert "batch-size must be <= 16" in summary["examples"]["refused"]


def sent_and_answered(capsys):
    summary = json.loads(capsys.readouterr().out.splitlines()[-1])
    return summary["sent"], summary["ok"], summary["accuracy"]


def test_bfloat16_is_drawn_and_read(ferryman_load, capsys):
    assert ferryman_load("--batch-size=2", "--arrivals=constant", model="bfloat16") == 0
    assert sent_and_answered(capsys) == (100, 100, None)


def test_texts_of_any_number_go_to_a_model_without_batches(ferryman_load, tmp_path, capsys):
    texts = np.array([["one", "Fähre"], ["two", ""]])
    np.savez(tmp_path / "in.npz", x=texts)
    arguments = (f"--input={tmp_path / 'in.npz'}", "--arrivals=constant")
    assert ferryman_load(*arguments, model="texts") == 0
    assert sent_and_answered(capsys) == (100, 100, None)
    assert ferryman_load("--batch-size=2", model="texts") == 2
    assert "the model takes no batches" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changed", "status", "words"),
    [
        pytest.param({"model": "nobody"}, 1, "does not serve nobody: 404", id="unknown model"),
        pytest.param({"url": "http://8.8.8.8"}, 2, "a public address", id="a public address"),
    ],
)
def test_what_cannot_be_loaded_is_said_on_stderr(ferryman_load, capsys, changed, status, words):
    assert ferryman_load(**changed) == status
    captured = capsys.readouterr()
    assert words in captured.err
    assert captured.out == ""
