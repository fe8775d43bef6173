"""ONNX Runtime (CPU) as a python-based Triton backend.

Lies in `backends/onnxruntime/`, where NVIDIA's image has its C++ backend of the same name:
a model with `backend: "onnxruntime"` and `1/model.onnx` is served by either image with the
same config.pbtxt and repository layout. Runs in Triton's Python stub, one process for each
model instance: standard library, numpy and onnxruntime only.

This file only talks to Triton; the decisions lie in the modules beside it, which know nothing
of it.
"""

# ruff: noqa: ANN401  Triton's objects carry no types

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import batching_trial
import config_check
import config_completion
import cpu_budget
import numpy as np
import onnxruntime
import ragged_batch
import request_batching
import sequence_state
import session_options
import triton_python_backend_utils as pb_utils
from onnx_session import Session, bfloat16_value, bits, model_file

QUIET = 4  # of ONNX Runtime's log: a trial run may fail, which is its answer


class TritonPythonModel:
    """One instance of one ONNX model."""

    @staticmethod
    def auto_complete_config(config: Any) -> Any:
        """Complete the configuration from the graph; what config.pbtxt states stays."""
        stated = config.as_dict()
        session = _glance(stated)
        outputs = [tensor.name for tensor in session.signature.outputs]

        def attempt() -> batching_trial.Trial:
            return batching_trial.attempt(
                session.signature,
                lambda feeds: session.run(outputs, feeds),
                batching_trial.stated_rows(stated),
            )

        completion = config_completion.complete(stated, session.signature, attempt)
        if completion.note:
            pb_utils.Logger.log_warn(f"model '{stated['name']}': {completion.note}")
        _apply(completion, config)
        return config

    def initialize(self, args: dict[str, str]) -> None:
        """Open the model with as many threads as this instance may use."""
        config = json.loads(args["model_config"])
        asked = session_options.read(config)
        self._session = Session(_open(config, asked), asked.run_options())
        config_check.check(config, self._session.signature)
        self._batched = config["max_batch_size"] > 0
        self._decoupled = (config.get("model_transaction_policy") or {}).get("decoupled", False)
        self._outputs = [output["name"] for output in config["output"]]
        self._scalars = config_check.scalars(config, self._session.signature)
        self._inputs = config_check.request_inputs(config, self._session.signature)
        self._layout = ragged_batch.layout(config, self._session.signature)
        self._sequences = sequence_state.Sequences(config)

    def execute(self, requests: list[Any]) -> list[Any] | None:
        """Answer a batch of requests with as few runs of the graph as their shapes allow.

        A request that asks for no output fills an empty place of a sequence batch: its inputs
        are whatever lay in memory, and nobody waits for its answer.
        """
        live = [request for request in requests if request.requested_output_names()]
        answers = dict(zip(map(id, live), self._answer(live), strict=True))
        responses = [answers.get(id(r)) or pb_utils.InferenceResponse([]) for r in requests]
        if not self._decoupled:
            return responses
        for request, response in zip(requests, responses, strict=True):
            final = pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL
            request.get_response_sender().send(response, flags=final)
        return None

    def _answer(self, requests: list[Any]) -> list[Any]:
        wanted = self._wanted(requests)
        layout = self._layout and replace(self._layout, outputs=wanted)
        answers = request_batching.answer(
            [self._read(request) for request in requests],
            lambda feeds: self._session.run(wanted, feeds),
            batched=self._batched,
            layout=layout or request_batching.ROWS,
        )
        if not self._decoupled and (faults := request_batching.faults(answers)):
            # Triton counts as failed what an exception ends, and as a success what is answered
            # with an error: only a batch of which something succeeds is answered one by one.
            raise pb_utils.TritonModelException("; ".join(faults))
        return [
            self._respond(request, wanted, answer)
            for request, answer in zip(requests, answers, strict=True)
        ]

    def _wanted(self, requests: list[Any]) -> list[str]:
        """Return the outputs that at least one request asks for, and the sequences' states."""
        asked = {name for request in requests for name in request.requested_output_names()}
        states = [state.output for state in self._sequences.states]
        return [*dict.fromkeys([*(name for name in self._outputs if name in asked), *states])]

    def _read(self, request: Any) -> dict[str, np.ndarray] | Exception:
        """Return the inputs of a request as arrays, or what is wrong with them."""
        feeds = {}
        try:
            for name, needed in self._inputs.items():
                given = pb_utils.get_input_tensor_by_name(request, name)
                if given is not None:
                    feeds[name] = self._array(name, given)
                elif needed:
                    return ValueError(f"input '{name}' is missing")
            if self._sequences.states:
                sequence = request.correlation_id()
                feeds = self._sequences.recall(sequence, request.flags(), feeds)
        except Exception as error:  # noqa: BLE001  what cannot be read is this request's fault
            return error
        return feeds

    def _array(self, name: str, given: Any) -> np.ndarray:
        if self._session.is_bfloat16(name):
            return bits(onnxruntime.OrtValue.from_dlpack(given))
        array: np.ndarray = given.as_numpy()
        if self._session.is_text(name):
            array = _decode(name, array)
        return array.reshape(()) if name in self._scalars else array

    def _respond(
        self, request: Any, computed: Sequence[str], answer: list[np.ndarray] | Exception
    ) -> Any:
        """Turn an answer into Triton's response, with the outputs that this request asked for."""
        if isinstance(answer, Exception):
            return _failure(answer)
        try:
            outputs = dict(zip(computed, answer, strict=True))
            if self._sequences.states:
                self._sequences.keep(request.correlation_id(), request.flags(), outputs)
            asked = request.requested_output_names()
            tensors = [self._tensor(n, outputs[n]) for n in self._outputs if n in asked]
        except Exception as error:  # noqa: BLE001  what cannot be sent is this request's fault
            return _failure(error)
        return pb_utils.InferenceResponse(output_tensors=tensors)

    def _tensor(self, name: str, array: np.ndarray) -> Any:
        if name in self._scalars:
            array = array.reshape(self._scalars[name])
        if self._session.is_bfloat16(name):
            return pb_utils.Tensor.from_dlpack(name, bfloat16_value(array).__dlpack__())
        return pb_utils.Tensor(name, _encode(array) if self._session.is_text(name) else array)


def _glance(config: dict[str, Any]) -> Session:
    """Open the graph as quickly as it can be, to read its signature."""
    options = onnxruntime.SessionOptions()
    session_options.read(config).apply(options)
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = QUIET
    file = model_file(Path(pb_utils.get_model_dir()), config)
    return Session(
        onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    )


def _open(
    config: dict[str, Any], asked: session_options.Asked | None = None
) -> onnxruntime.InferenceSession:
    """Create the session as the configuration asks for it, and log what cannot be had."""
    asked = asked or session_options.read(config)
    threads = cpu_budget.Threads.of(config.get("parameters", {}))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads.intra_op
    options.inter_op_num_threads = threads.inter_op
    asked.apply(options)
    named = f"model '{config['name']}'"
    pb_utils.Logger.log_info(
        f"{named}: onnxruntime {onnxruntime.__version__} with {threads.intra_op} intra-op and "
        f"{threads.inter_op} inter-op threads, {asked}"
    )
    for ignored in asked.ignored:
        pb_utils.Logger.log_warn(f"{named}: {ignored}")
    file = model_file(Path(pb_utils.get_model_dir()), config)
    return onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])


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


def _failure(error: Exception) -> Any:
    return pb_utils.InferenceResponse(error=pb_utils.TritonError(str(error)))


def _decode(name: str, array: np.ndarray) -> np.ndarray:
    """Turn Triton's BYTES (bytes objects) into the str objects of ONNX Runtime."""
    items = array.reshape(-1).tolist()
    try:
        decoded = [item.decode() if isinstance(item, bytes) else item for item in items]
    except UnicodeDecodeError as error:
        raise ValueError(
            f"input '{name}' holds bytes that are no UTF-8, which ONNX Runtime's strings must be "
            f"in this image: {error}"
        ) from error
    return np.array(decoded, dtype=np.object_).reshape(array.shape)


def _encode(array: np.ndarray) -> np.ndarray:
    """Turn ONNX Runtime's strings into Triton's BYTES."""
    encoded = [str(item).encode() for item in array.reshape(-1)]
    return np.array(encoded, dtype=np.object_).reshape(array.shape)
