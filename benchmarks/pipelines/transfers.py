"""What it costs to hand a large tensor from step to step: by gRPC, and by shared memory."""

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from typing import Any, Final

import numpy as np
import tritonclient.grpc as grpcclient
from tritonclient.utils import shared_memory

from benchmarks.pipelines import shapes
from benchmarks.pipelines.shapes import INPUT
from tests.integration.tritonserver import TritonServer

#: 4.9 MB, as a photograph in single precision is.
ELEMENTS: Final = 1_225_000
NUMBER_BYTES: Final = 4
STEPS: Final = 3
ROUNDS: Final = 60
WARM: Final = 5
OUTPUT: Final = "sum"

Way = Callable[[np.ndarray[Any, Any]], np.ndarray[Any, Any]]


def run() -> dict[str, float]:
    """Return the median time of a request in each way, milliseconds, the ways taking turns."""
    shape = shapes.chain("chain", [0.0] * STEPS)
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        shapes.write(shape, Path(folder))
        server = stack.enter_context(TritonServer(Path(folder), models=[shape.name]))
        client = stack.enter_context(grpcclient.InferenceServerClient(server.grpc_url))
        regions = stack.enter_context(_regions(client, STEPS + 1))
        steps = [step.name for step in shape.steps]
        inputs = ["in", *(f"in-{name}" for name in steps[:-1])]
        ways: dict[str, Way] = {
            "steps called one by one, gRPC": lambda x: _by_grpc(client, steps, inputs, x),
            "steps called one by one, shared memory": lambda x: _by_memory(
                client, regions, steps, inputs, x
            ),
            "pipeline, gRPC": lambda x: _by_grpc(
                client, [shape.name], [INPUT], x, output=steps[-1]
            ),
            "pipeline, shared memory": lambda x: _by_memory(
                client, [regions[0], regions[-1]], [shape.name], [INPUT], x, output=steps[-1]
            ),
        }
        return _measure(ways)


def _measure(ways: dict[str, Way]) -> dict[str, float]:
    sent = np.arange(ELEMENTS, dtype=np.float32).reshape(1, -1)
    took_ms: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(WARM + ROUNDS):
        for name, way in ways.items():
            sent[0, 0] = turn
            began_s = time.monotonic()
            found = way(sent)
            took = 1e3 * (time.monotonic() - began_s)
            if found[0, 0] != turn or found[0, -1] != sent[0, -1]:
                raise RuntimeError(f"{name}: a wrong answer")
            if turn >= WARM:
                took_ms[name].append(took)
    return {name: median(times) for name, times in took_ms.items()}


def _by_grpc(
    client: Any,  # noqa: ANN401  tritonclient ships no types
    models: list[str],
    inputs: list[str],
    value: np.ndarray[Any, Any],
    *,
    output: str = OUTPUT,
) -> np.ndarray[Any, Any]:
    for model, name in zip(models, inputs, strict=True):
        tensor = grpcclient.InferInput(name, list(value.shape), "FP32")
        tensor.set_data_from_numpy(value)
        value = client.infer(model, [tensor]).as_numpy(output)
    return value


def _by_memory(
    client: Any,  # noqa: ANN401
    regions: list[Any],
    models: list[str],
    inputs: list[str],
    value: np.ndarray[Any, Any],
    *,
    output: str = OUTPUT,
) -> np.ndarray[Any, Any]:
    """Write the tensor once, have each model read the region before it, and look at the last."""
    shared_memory.set_shared_memory_region(regions[0], [value])
    size = value.nbytes
    for number, (model, name) in enumerate(zip(models, inputs, strict=True)):
        tensor = grpcclient.InferInput(name, list(value.shape), "FP32")
        tensor.set_shared_memory(_name(regions[number]), size)
        answer = grpcclient.InferRequestedOutput(output)
        answer.set_shared_memory(_name(regions[number + 1]), size)
        client.infer(model, [tensor], outputs=[answer])
    found: np.ndarray[Any, Any] = shared_memory.get_contents_as_numpy(
        regions[len(models)], np.float32, list(value.shape)
    )
    return found


@contextmanager
def _regions(client: Any, count: int) -> Iterator[list[Any]]:  # noqa: ANN401
    size, made = ELEMENTS * NUMBER_BYTES, []
    try:
        for number in range(count):
            name = f"ferryman-bench-{number}"
            made.append(shared_memory.create_shared_memory_region(name, f"/{name}", size))
            client.register_system_shared_memory(name, f"/{name}", size)
        yield made
    finally:
        client.unregister_system_shared_memory()
        for region in made:
            shared_memory.destroy_shared_memory_region(region)


def _name(region: Any) -> str:  # noqa: ANN401
    return str(region._triton_shm_name)  # noqa: SLF001  it has no other way to tell
