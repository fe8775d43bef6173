"""An opened ONNX graph: finds its file, runs it, and hands over what numpy has no words for."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from onnx_signature import Signature, read_signature

DEFAULT_MODEL_FILENAME = "model.onnx"
BFLOAT16 = "TYPE_BF16"  # its arrays hold the bits, as uint16
ONNX_BFLOAT16 = 16  # TensorProto.BFLOAT16


def model_file(version: Path, config: Mapping[str, Any]) -> Path:
    """Return the graph of a model's version; a folder of that name holds it and its data."""
    name = config.get("default_model_filename") or DEFAULT_MODEL_FILENAME
    if Path(name).is_absolute() or ".." in Path(name).parts:
        raise ValueError(
            f"default_model_filename '{name}' must lie in the folder of the model's version"
        )
    file = version / name
    return file / DEFAULT_MODEL_FILENAME if file.is_dir() else file


class Session:
    """An ONNX Runtime session and its signature."""

    def __init__(
        self,
        session: onnxruntime.InferenceSession,
        run_options: onnxruntime.RunOptions | None = None,
    ) -> None:
        """Read the signature; `run_options` hold for each run."""
        self.signature: Signature = read_signature(session)
        self._session = session
        self._run_options = run_options
        self._types = {
            tensor.name: tensor.data_type
            for tensor in (
                *self.signature.inputs, *self.signature.outputs, *self.signature.defaults,
            )
        }  # fmt: skip
        self._refuse_text_beside_bfloat16()

    def _refuse_text_beside_bfloat16(self) -> None:
        """Refuse what ONNX Runtime's Python interface cannot pass through one run."""
        inputs = (*self.signature.inputs, *self.signature.defaults)
        text = [tensor.name for tensor in inputs if self.is_text(tensor.name)]
        unreadable = [t.name for t in self.signature.outputs if self.is_bfloat16(t.name)]
        if text and unreadable:
            raise ValueError(
                f"output '{unreadable[0]}' is bfloat16 beside input '{text[0]}' of strings, which "
                "this image cannot run: let the graph cast the output to float32 (Cast)"
            )

    def is_text(self, name: str) -> bool:
        """Say whether an input or output holds strings."""
        return self._types[name] == "TYPE_STRING"

    def is_bfloat16(self, name: str) -> bool:
        """Say whether an input or output holds bfloat16: its arrays are the bits, as uint16."""
        return self._types[name] == BFLOAT16

    def run(self, wanted: Sequence[str], feeds: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """Run the graph once and return the outputs wanted."""
        given = {
            name: bfloat16_value(array) if self.is_bfloat16(name) else array
            for name, array in feeds.items()
        }
        if not any(map(self.is_bfloat16, wanted)):
            answers: list[np.ndarray] = self._session.run(wanted, given, self._run_options)
            return answers
        values = {name: _value(array) for name, array in given.items()}
        answered = self._session.run_with_ort_values(wanted, values, self._run_options)
        return [
            bits(value) if self.is_bfloat16(name) else value.numpy()
            for name, value in zip(wanted, answered, strict=True)
        ]


def _value(given: np.ndarray | onnxruntime.OrtValue) -> onnxruntime.OrtValue:
    if isinstance(given, np.ndarray):
        return onnxruntime.OrtValue.ortvalue_from_numpy(given)
    return given


def bfloat16_value(array: np.ndarray) -> onnxruntime.OrtValue:
    """Make a bfloat16 tensor of its bits."""
    return onnxruntime.OrtValue.ortvalue_from_numpy_with_onnx_type(
        np.ascontiguousarray(array), ONNX_BFLOAT16
    )


def bits(value: onnxruntime.OrtValue) -> np.ndarray:
    """Copy the bits of a bfloat16 tensor, which numpy cannot read."""
    shape = tuple(value.shape())
    copied = np.empty(shape, np.uint16)
    if copied.nbytes:
        ctypes.memmove(copied.ctypes.data, value.data_ptr(), copied.nbytes)
    return copied
