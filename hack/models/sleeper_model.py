"""The sleeper's script, run in Triton's Python stub; see sleeper.py."""

from __future__ import annotations

import json
import time
from typing import Any

import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    """Echoes its input after fixed + per_item * rows microseconds."""

    def initialize(self, args: dict[str, str]) -> None:
        """Read the service time from the model's parameters."""
        parameters = json.loads(args["model_config"])["parameters"]
        self._fixed_s = int(parameters["fixed_us"]["string_value"]) / 1e6
        self._per_item_s = int(parameters["per_item_us"]["string_value"]) / 1e6

    def execute(self, requests: list[Any]) -> list[Any]:
        """Answer after the service time, counted from now so that copying is part of it."""
        start = time.monotonic()
        arrays = [pb_utils.get_input_tensor_by_name(r, "input").as_numpy() for r in requests]
        responses = [
            pb_utils.InferenceResponse(output_tensors=[pb_utils.Tensor("output", array)])
            for array in arrays
        ]
        end = start + self._fixed_s + self._per_item_s * sum(len(array) for array in arrays)
        time.sleep(max(0.0, end - time.monotonic()))
        return responses
