"""ONNX Runtime (CPU) as a python-based Triton backend.

Lies in `backends/onnxruntime/`, where NVIDIA's image has its C++ backend of the same name:
a model with `backend: "onnxruntime"` and `1/model.onnx` is served by either image with the
same config.pbtxt and repository layout. Runs in Triton's Python stub, one process for each
model instance: standard library, numpy and onnxruntime only.

This file only talks to Triton; the decisions lie in `config_completion`, `onnx_signature`,
`request_batching` and `cpu_budget`, which know nothing of it.
"""

# ruff: noqa: ANN401  Triton's objects carry no types

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import config_completion
import cpu_budget
import numpy as np
import onnxruntime
import request_batching
import triton_python_backend_utils as pb_utils
from onnx_signature import read_signature

DEFAULT_MODEL_FILENAME = "model.onnx"


class TritonPythonModel:
    """One instance of one ONNX model."""

    @staticmethod
    def auto_complete_config(config: Any) -> Any:
        """Complete the configuration from the graph; what config.pbtxt states stays."""
        stated = config.as_dict()
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        session = onnxruntime.InferenceSession(_model_file(stated), options)
        completion = config_completion.complete(stated, read_signature(session))
        _apply(completion, config)
        return config

    def initialize(self, args: dict[str, str]) -> None:
        """Open the model with as many threads as this instance may use."""
        config = json.loads(args["model_config"])
        self._session = _open(config)
        self._signature = read_signature(self._session)
        config_completion.check(config, self._signature)
        self._batched = config["max_batch_size"] > 0
        self._outputs = [output["name"] for output in config["output"]]

    def execute(self, requests: list[Any]) -> list[Any]:
        """Answer a batch of requests with as few runs of the graph as their shapes allow."""
        wanted = self._wanted(requests)
        answers = request_batching.answer(
            [self._read(request) for request in requests],
            lambda feeds: self._run(wanted, feeds),
            batched=self._batched,
        )
        return [
            _respond(request, wanted, answer)
            for request, answer in zip(requests, answers, strict=True)
        ]

    def _wanted(self, requests: list[Any]) -> list[str]:
        """Return the outputs that at least one request asks for, in the configured order."""
        asked = {name for request in requests for name in request.requested_output_names()}
        return [name for name in self._outputs if name in asked]

    def _read(self, request: Any) -> dict[str, np.ndarray] | Exception:
        """Return the inputs of a request as arrays, or what is wrong with them."""
        feeds = {}
        for tensor in self._signature.inputs:
            given = pb_utils.get_input_tensor_by_name(request, tensor.name)
            if given is None:
                return ValueError(f"input '{tensor.name}' is missing")
            array = given.as_numpy()
            feeds[tensor.name] = _decode(array) if array.dtype == np.object_ else array
        return feeds

    def _run(self, wanted: list[str], feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
        return [_encode(array) for array in self._session.run(wanted, feeds)]


def _model_file(config: dict[str, Any]) -> str:
    name = config.get("default_model_filename") or DEFAULT_MODEL_FILENAME
    return str(Path(pb_utils.get_model_dir()) / Path(name).name)


def _open(config: dict[str, Any]) -> onnxruntime.InferenceSession:
    """Create the session; its threads never spin, as that would burn a container's quota."""
    threads = cpu_budget.Threads.of(config.get("parameters", {}))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads.intra_op
    options.inter_op_num_threads = threads.inter_op
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    pb_utils.Logger.log_info(
        f"model '{config['name']}': onnxruntime {onnxruntime.__version__} with "
        f"{threads.intra_op} intra-op and {threads.inter_op} inter-op threads"
    )
    return onnxruntime.InferenceSession(
        _model_file(config), options, providers=["CPUExecutionProvider"]
    )


def _apply(completion: config_completion.Completion, config: Any) -> None:
    """Write a completion through Triton's auto-complete interface."""
    if completion.max_batch_size:
        config.set_max_batch_size(completion.max_batch_size)
    if completion.dynamic_batching:
        config.set_dynamic_batching()
    for key, add in (("input", config.add_input), ("output", config.add_output)):
        for tensor in getattr(completion, f"{key}s"):
            add({name: value for name, value in tensor.items() if name != "reshape"})
            if "reshape" in tensor:  # the interface has no word for it, the dictionary has
                config.as_dict()[key][-1]["reshape"] = tensor["reshape"]


def _respond(request: Any, computed: list[str], answer: list[np.ndarray] | Exception) -> Any:
    """Turn an answer into Triton's response, with the outputs that this request asked for."""
    if isinstance(answer, Exception):
        return pb_utils.InferenceResponse(error=pb_utils.TritonError(str(answer)))
    asked = request.requested_output_names()
    tensors = [
        pb_utils.Tensor(name, array)
        for name, array in zip(computed, answer, strict=True)
        if name in asked
    ]
    return pb_utils.InferenceResponse(output_tensors=tensors)


def _decode(array: np.ndarray) -> np.ndarray:
    """Turn Triton's BYTES (bytes objects) into the str objects of ONNX Runtime."""
    decoded = [item.decode() if isinstance(item, bytes) else item for item in array.reshape(-1)]
    return np.array(decoded, dtype=np.object_).reshape(array.shape)


def _encode(array: np.ndarray) -> np.ndarray:
    """Turn ONNX Runtime's strings into Triton's BYTES; other arrays pass."""
    if array.dtype != np.object_:
        return array
    encoded = [str(item).encode() for item in array.reshape(-1)]
    return np.array(encoded, dtype=np.object_).reshape(array.shape)
