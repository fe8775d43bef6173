"""A step that calculates, run in Triton's Python stub; see arithmetic.py."""

from __future__ import annotations

import json
import time
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils

OPERATIONS = {
    "double": lambda a: 2 * a,
    "add": lambda a, b: a + b,
    "spread": lambda n: np.arange(int(n[0]), dtype=np.float32).reshape(-1, 1),
    "total": lambda rows: rows.sum().reshape(1),
}


class TritonPythonModel:
    """Calculates its first output from its inputs; a further one is the number of its requests."""

    def initialize(self, args: dict[str, str]) -> None:
        """Read which operation it is."""
        config = json.loads(args["model_config"])
        parameters = config["parameters"]
        self._operation = OPERATIONS[parameters["operation"]["string_value"]]
        self._sleep_s = int(parameters["sleep_ms"]["string_value"]) / 1e3
        self._inputs = [entry["name"] for entry in config["input"]]
        self._outputs = [entry["name"] for entry in config["output"]]

    def execute(self, requests: list[Any]) -> list[Any]:
        """Answer each request by itself; all of them take one service time."""
        time.sleep(self._sleep_s)
        return [self._answer(request, len(requests)) for request in requests]

    def _answer(self, request: Any, together: int) -> Any:
        given = [
            pb_utils.get_input_tensor_by_name(request, name).as_numpy() for name in self._inputs
        ]
        result = self._operation(*given).astype(np.float32)
        values = [result, np.full_like(result, together)]
        return pb_utils.InferenceResponse(
            output_tensors=[
                pb_utils.Tensor(name, value)
                for name, value in zip(self._outputs, values, strict=False)
            ]
        )
