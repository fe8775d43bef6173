"""Who in Triton is told that a client has cancelled: why a proxy's call runs to its deadline.

A model that is asked itself is told while it runs. A step of an ensemble is told what was
cancelled before it began, never what is cancelled while it runs (ensemble_scheduler.cc passes the
word on where it makes a step's request, and nowhere else). Should that change, so could the proxy.
"""

import time
from pathlib import Path

import numpy as np
import pytest
import tritonclient.grpc as triton

from ferryman.clients import pbtxt
from tests.integration.arithmetic import tensors
from tests.integration.tritonserver import TritonServer

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]

SCRIPT = Path(__file__).with_name("watching_model.py")
TAKES_S = 1.5
CANCELLED_AFTER_S = 0.3
WAIT_S = 20.0


def put_step(repository: Path, name: str, notes: Path) -> None:
    parameters = {"notes": str(notes / name), "takes_s": str(TAKES_S)}
    config = {
        "name": name,
        "backend": "python",
        "max_batch_size": 4,
        "input": tensors("x", [2]),
        "output": tensors("y", [2]),
        "instance_group": [{"count": 1, "kind": "KIND_CPU"}],
        "parameters": {key: {"string_value": value} for key, value in parameters.items()},
    }
    (repository / name / "1").mkdir(parents=True)
    (repository / name / "1" / "model.py").write_text(SCRIPT.read_text())
    (repository / name / "config.pbtxt").write_text(pbtxt.encode(config))


def put_chain(repository: Path) -> None:
    steps = [
        {"model_name": "first", "input_map": {"x": "x"}, "output_map": {"y": "between"}},
        {"model_name": "second", "input_map": {"x": "between"}, "output_map": {"y": "y"}},
    ]
    config = {
        "name": "chain",
        "platform": "ensemble",
        "max_batch_size": 0,
        "input": tensors("x", [-1, 2]),
        "output": tensors("y", [-1, 2]),
        "ensemble_scheduling": {"step": [{**each, "model_version": -1} for each in steps]},
    }
    (repository / "chain" / "1").mkdir(parents=True)
    (repository / "chain" / "config.pbtxt").write_text(pbtxt.encode(config))


@pytest.fixture(scope="module")
def watching(tmp_path_factory):
    """Return the server, and the folder with what its steps noted."""
    folder = tmp_path_factory.mktemp("watching")
    repository, notes = folder / "models", folder / "notes"
    notes.mkdir()
    for name in ("first", "second"):
        put_step(repository, name, notes)
    put_chain(repository)
    with TritonServer(repository, models=["chain"]) as server:
        yield server, notes


def cancelled(server: TritonServer, model: str) -> None:
    """Ask a model, and cancel the request while it runs."""
    tensor = triton.InferInput("x", [1, 2], "FP32")
    tensor.set_data_from_numpy(np.ones((1, 2), np.float32))
    with triton.InferenceServerClient(server.grpc_url) as client:
        asked = client.async_infer(model, [tensor], callback=lambda **_: None)
        time.sleep(CANCELLED_AFTER_S)
        asked.cancel()


def noted(notes: Path, step: str) -> str:
    """Return what a step noted of its last request, once it has."""
    until_s = time.monotonic() + WAIT_S
    while time.monotonic() < until_s:
        if (notes / step).exists():
            words = (notes / step).read_text().strip()
            (notes / step).unlink()
            return words
        time.sleep(0.05)
    return "nothing"


def test_a_model_that_is_asked_itself_is_told_while_it_runs(watching):
    server, notes = watching
    cancelled(server, "first")
    assert noted(notes, "first") == "told"


def test_a_step_that_runs_is_not_told_and_the_next_one_is(watching):
    server, notes = watching
    cancelled(server, "chain")
    assert (noted(notes, "first"), noted(notes, "second")) == ("not told", "told")
