"""The adder's script, run in Triton's Python stub; see adder.py."""

from __future__ import annotations

import json
import time
from functools import reduce
from operator import add
from pathlib import Path
from typing import Any

import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    """One worker of a step whose service time stands in a file, so that it can change."""

    def initialize(self, args: dict[str, str]) -> None:
        """Read what the configuration says."""
        config = json.loads(args["model_config"])
        self._inputs = [entry["name"] for entry in config["input"]]
        self._file = Path(config["parameters"]["seconds_file"]["string_value"])

    def execute(self, requests: list[Any]) -> list[Any]:
        """Answer one request after the other: the step forms no batches."""
        return [self._answer(request) for request in requests]

    def _answer(self, request: Any) -> Any:  # noqa: ANN401  the stub's types are nowhere declared
        began_s = time.monotonic()
        seconds = float(self._file.read_text(encoding="ascii"))
        tensors = [pb_utils.get_input_tensor_by_name(request, name) for name in self._inputs]
        total = reduce(add, [tensor.as_numpy() for tensor in tensors])
        # What reading takes is part of the service time, as it would be of a real model's.
        time.sleep(max(0.0, began_s + seconds - time.monotonic()))
        return pb_utils.InferenceResponse([pb_utils.Tensor("sum", total)])
