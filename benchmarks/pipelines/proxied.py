"""A step on another server: through a proxy in the ensemble, and through a program that chains.

Three steps that do nothing, of which the second is on a server of its own.
"""

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from typing import Any, Final

import numpy as np
import tritonclient.grpc as grpcclient

from benchmarks.pipelines import shapes
from ferryman.clients import pbtxt
from ferryman.core.triton.step_proxy import StepServer, proxy_config
from ferryman.served import step_proxy
from tests.integration.ports import PortLease
from tests.integration.tritonserver import TritonServer

#: Numbers of four bytes: nothing, a small picture, a photograph in single precision.
SIZES: Final = {"4 B": 1, "0.6 MB": 153_125, "4.9 MB": 1_225_000}
STEPS: Final = ("step-1", "step-2", "step-3")
CUT: Final = "step-2"
ROUNDS: Final = 20
WARM: Final = 5
DEADLINE_MS: Final = 10_000
WHOLE, PROXY, ORCHESTRATOR = "one ensemble", "a proxy cut", "an asyncio orchestrator"


def run() -> dict[str, dict[str, float]]:
    """Return the median time of a request by its size and way, milliseconds, in turns."""
    shape = shapes.chain("chain", [0.0] * len(STEPS))
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        near, far = Path(folder, "near"), Path(folder, "far")
        for repository in (near, far):
            repository.mkdir()
            shapes.write(shape, repository)
        whole = stack.enter_context(TritonServer(far, models=[shape.name]))
        _put_proxy(near, shapes.resource(shape, near), int(whole.http_url.rpartition(":")[2]))
        home = stack.enter_context(TritonServer(near, models=[shape.name]))
        chained = stack.enter_context(_orchestrator(home.grpc_url, whole.grpc_url))
        ways = {
            name: stack.enter_context(grpcclient.InferenceServerClient(url))
            for name, url in (
                (WHOLE, whole.grpc_url),
                (PROXY, home.grpc_url),
                (ORCHESTRATOR, chained),
            )
        }
        return {size: _measure(ways, shape.name, count) for size, count in SIZES.items()}


def _put_proxy(repository: Path, pipeline: Any, port: int) -> None:  # noqa: ANN401
    config = pipeline.step(CUT).model.config
    server = StepServer("127.0.0.1", port, CUT, DEADLINE_MS)
    text = pbtxt.encode(proxy_config(CUT, config, server))
    (repository / CUT / "config.pbtxt").write_text(text)
    program = Path(step_proxy.__file__).read_text(encoding="utf-8")
    (repository / CUT / "1" / "model.py").write_text(program, encoding="utf-8")


@contextmanager
def _orchestrator(home: str, far: str) -> Iterator[str]:
    lease = PortLease()
    port = next(iter(lease.ports))
    inputs = ("in", *(f"in-{name}" for name in STEPS[:-1]))
    chain = [
        f"{name}@{far if name == CUT else home}:{tensor}"
        for name, tensor in zip(STEPS, inputs, strict=True)
    ]
    command = [sys.executable, "-m", "benchmarks.pipelines.orchestrator", str(port), *chain]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)  # noqa: S603  our own
    try:
        if process.stdout is None or not process.stdout.readline():
            raise RuntimeError("the orchestrator did not start")
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(10)
        lease.release()


def _measure(ways: dict[str, Any], model: str, count: int) -> dict[str, float]:
    sent = np.arange(count, dtype=np.float32).reshape(1, -1)
    took_ms: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(WARM + ROUNDS):
        for name, client in ways.items():
            sent[0, 0] = turn
            began_s = time.monotonic()
            found = _ask(client, model, sent, "sum" if name == ORCHESTRATOR else STEPS[-1])
            took = 1e3 * (time.monotonic() - began_s)
            if not np.array_equal(found, sent):
                raise RuntimeError(f"{name}: a wrong answer")
            if turn >= WARM:
                took_ms[name].append(took)
    return {name: median(times) for name, times in took_ms.items()}


def _ask(client: Any, model: str, value: np.ndarray[Any, Any], output: str) -> Any:  # noqa: ANN401
    tensor = grpcclient.InferInput(shapes.INPUT, list(value.shape), "FP32")
    tensor.set_data_from_numpy(value)
    return client.infer(model, [tensor]).as_numpy(output)
