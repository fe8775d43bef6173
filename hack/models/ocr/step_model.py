"""The Python steps of the OCR pipeline, run in Triton's Python stub; see pipeline.py.

One script for all three, so that they are one image: the parameter `step` says which it is.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
# Byte code written beside the sources would be new files, and Triton takes a model with new files
# for another one: a change of instances would be a reload.
sys.dont_write_bytecode = True
sys.path[:0] = [str(HERE), str(HERE / "packages")]

import numpy as np  # noqa: E402
import reading  # noqa: E402
import triton_python_backend_utils as pb_utils  # noqa: E402


class TritonPythonModel:
    """One worker of a step. It answers one page after the other: pages differ in size."""

    def initialize(self, args: dict[str, str]) -> None:
        """Choose the step."""
        steps = {"prepare": self._prepare, "crop": self._crop, "join": self._join}
        self._answer = steps[json.loads(args["model_config"])["parameters"]["step"]["string_value"]]
        self._characters = reading.characters((HERE / "characters.txt").read_text("utf-8"))

    def execute(self, requests: list[Any]) -> list[Any]:
        """Answer each request, or say what is wrong with it."""
        return [self._respond(request) for request in requests]

    def _respond(self, request: Any) -> Any:  # noqa: ANN401  the stub's types are nowhere declared
        arrays = {tensor.name(): tensor.as_numpy() for tensor in request.inputs()}
        try:
            answer = self._answer(arrays)
        except ValueError as error:
            return pb_utils.InferenceResponse([], pb_utils.TritonError(str(error)))
        return pb_utils.InferenceResponse([pb_utils.Tensor(*each) for each in answer.items()])

    def _prepare(self, given: dict[str, Any]) -> dict[str, Any]:
        return {"x": reading.prepare(given["page"])}

    def _crop(self, given: dict[str, Any]) -> dict[str, Any]:
        crops = reading.crop(given["page"], given["found"])
        return {"lines": crops.lines, "heads": crops.heads, "rows": crops.rows}

    def _join(self, given: dict[str, Any]) -> dict[str, Any]:
        text, confidence = reading.join(
            given["read"], given["turned"], given["rows"], self._characters
        )
        return {
            "text": np.array([text.encode()], dtype=np.object_),
            "confidence": np.array([confidence], dtype=np.float32),
        }
