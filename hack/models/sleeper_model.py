"""The sleeper's script, run in Triton's Python stub; see sleeper.py."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any, TextIO

import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    """Echoes its input after tau(rows) microseconds."""

    def initialize(self, args: dict[str, str]) -> None:
        """Read the service time from the model's parameters."""
        config = json.loads(args["model_config"])
        parameters = config["parameters"]
        self._fixed_s = int(parameters["fixed_us"]["string_value"]) / 1e6
        self._per_item_s = int(parameters["per_item_us"]["string_value"]) / 1e6
        stated = parameters.get("curve_us", {"string_value": ""})["string_value"]
        self._curve_s = [int(microseconds) / 1e6 for microseconds in stated.split()]
        if self._curve_s and config["max_batch_size"] > len(self._curve_s):
            raise ValueError(f"curve_us ends at a batch of {len(self._curve_s)}")
        self._journal: TextIO | None = None
        if "journal" in parameters:  # shared by all instances: lines are appended whole
            path = Path(parameters["journal"]["string_value"])
            self._journal = path.open("a", buffering=1, encoding="ascii")

    def finalize(self) -> None:
        """Close the journal."""
        if self._journal is not None:
            self._journal.close()

    def execute(self, requests: list[Any]) -> list[Any]:
        """Answer after the service time, counted from now so that copying is part of it."""
        begun_ns = time.monotonic_ns()
        arrays = [pb_utils.get_input_tensor_by_name(r, "input").as_numpy() for r in requests]
        if self._journal is not None:
            print(begun_ns, *(len(array) for array in arrays), file=self._journal)
        responses = [
            pb_utils.InferenceResponse(output_tensors=[pb_utils.Tensor("output", array)])
            for array in arrays
        ]
        end = begun_ns / 1e9 + self._takes_s(sum(len(array) for array in arrays))
        time.sleep(max(0.0, end - time.monotonic()))
        return responses

    def _takes_s(self, rows: int) -> float:
        """Return tau(rows); a batch is never larger than the bound, so the curve reaches it."""
        if self._curve_s:
            return self._curve_s[rows - 1]
        return self._fixed_s + self._per_item_s * rows
