"""Small ONNX graphs, and one-line calls to a server that serves them."""

from __future__ import annotations

import importlib
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import onnxruntime
import tritonclient.grpc as triton
from onnx import TensorProto, helper, numpy_helper
from tritonclient.utils import np_to_triton_dtype

from hack.images.tree import IMAGE
from hack.models import onnx_graph

ADAPTER = IMAGE / "onnxruntime"

F = TensorProto.FLOAT
ONNX = 'backend: "onnxruntime"\n'
ONE_INSTANCE = "instance_group [ { count: 1 kind: KIND_CPU } ]\n"


def adapter_parts():
    """Import the adapter's modules from their backend folder, as Triton's stub does; by name.

    Not the one that talks to Triton: that needs the stub's own module.
    """
    names = [file.stem for file in ADAPTER.glob("*.py") if file.stem != "model"]
    sys.path.insert(0, str(ADAPTER))
    try:
        return {name: importlib.import_module(name) for name in names}
    finally:
        sys.path.remove(str(ADAPTER))
        for name in names:
            sys.modules.pop(name, None)


def graph(nodes, inputs, outputs, weights=()):
    """Build a model; `inputs` and `outputs` map names to (element type, dims)."""
    described = [
        [helper.make_tensor_value_info(name, kind, dims) for name, (kind, dims) in side.items()]
        for side in (inputs, outputs)
    ]
    return helper.make_model(
        helper.make_graph(nodes, "test", *described, list(weights)),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
    )


def identity(kind, dims, out_dims=None):
    node = helper.make_node("Identity", ["x"], ["y"])
    return graph([node], {"x": (kind, dims)}, {"y": (kind, out_dims or dims)})


def doubled():
    """Double each value, and count each row's values, of rows of any length."""
    nodes = [
        helper.make_node("Add", ["x", "x"], ["y"]),
        helper.make_node("ReduceSum", ["x", "axes"], ["total"], keepdims=0),
    ]
    axes = numpy_helper.from_array(np.array([1], np.int64), "axes")
    sides = {"x": (F, ["n", "length"])}, {"y": (F, ["n", "length"]), "total": (F, ["n"])}
    return graph(nodes, *sides, [axes])


def lookup():
    """Look indices up in a table of four rows: an index past it is the request's own fault."""
    table = numpy_helper.from_array(np.arange(4, dtype=np.float32).reshape(4, 1), "table")
    node = helper.make_node("Gather", ["table", "x"], ["y"], axis=0)
    sides = {"x": (TensorProto.INT64, ["n"])}, {"y": (F, ["n", 1])}
    return graph([node], *sides, [table])


def patient(max_batch_size):
    """Wait for a full batch long enough for a busy machine to send one."""
    delay = "dynamic_batching { max_queue_delay_microseconds: 1000000 }"
    return f"max_batch_size: {max_batch_size}\n{delay}\n"


class Served:
    """A running server and its repository, with one-line calls."""

    def __init__(self, server):
        self.server = server
        self.client = triton.InferenceServerClient(server.grpc_url)

    def add(self, name, model, config=ONNX):
        """Write a model into the repository and load it."""
        folder = self.server.model_repository / name
        onnx_graph.save(model, folder)
        (folder / "config.pbtxt").write_text(config)
        self.client.load_model(name, headers=self.server.control_metadata, client_timeout=60)

    def config(self, name):
        """Return the configuration that the model runs with, after completion."""
        headers = self.server.control_metadata
        return self.client.get_model_config(name, as_json=True, headers=headers)["config"]

    def infer(self, name, outputs=None, sequence=(0, False, False), **arrays):
        """Send one request; `outputs` names those wanted, all by default.

        Of a `sequence` its ID, and whether this request starts and ends it.
        """
        inputs = []
        for key, array in arrays.items():
            tensor = triton.InferInput(key, list(array.shape), np_to_triton_dtype(array.dtype))
            inputs.append(tensor.set_data_from_numpy(array))
        wanted = [triton.InferRequestedOutput(key) for key in outputs] if outputs else None
        number, start, end = sequence
        return self.client.infer(
            name, inputs, outputs=wanted, client_timeout=60,
            sequence_id=number, sequence_start=start, sequence_end=end,
        )  # fmt: skip

    def largest_batch(self, name, at_least):
        """Return the size of the largest batch executed; wait up to 10 s for one of that size.

        Triton counts a batch after it has sent the answers.
        """
        deadline = time.monotonic() + 10
        while (found := self._largest_counted(name)) < at_least and time.monotonic() < deadline:
            time.sleep(0.05)
        return found

    def _largest_counted(self, name):
        statistics = self.client.get_inference_statistics(name, as_json=True)
        batches = statistics["model_stats"][0].get("batch_stats", [])
        return max((int(batch["batch_size"]) for batch in batches), default=0)

    def at_once(self, calls):
        """Run the calls at the same time; return each one's result or exception."""
        with ThreadPoolExecutor(len(calls)) as pool:
            futures = [pool.submit(call) for call in calls]
        return [future.exception(timeout=60) or future.result() for future in futures]


def run_directly(model, **arrays):
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(None, arrays), strict=True))
