"""A step that takes a while, and notes when it is told that its request was cancelled."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils

LOOK_S = 0.02


class TritonPythonModel:
    """What Triton's Python backend runs."""

    def initialize(self, args: dict[str, str]) -> None:
        """Read how long a request takes, and where to note what it is told."""
        parameters = json.loads(args["model_config"])["parameters"]
        self._notes = Path(parameters["notes"]["string_value"])
        self._takes_s = float(parameters["takes_s"]["string_value"])

    def execute(self, requests: list[Any]) -> None:
        """Begin each; they end by themselves."""
        for request in requests:
            sender = request.get_response_sender()
            threading.Thread(target=self._watch, args=(sender,)).start()

    def _watch(self, sender: Any) -> None:
        began_s, told = time.monotonic(), False
        while not told and time.monotonic() - began_s < self._takes_s:
            time.sleep(LOOK_S)
            told = sender.is_cancelled()
        y = pb_utils.Tensor("y", np.zeros((1, 2), np.float32))
        sender.send(
            pb_utils.InferenceResponse([y]), flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL
        )
        with self._notes.open("a") as notes:
            notes.write(f"{'told' if told else 'not told'}\n")
