"""Inference over HTTP with KServe's v2 protocol and its binary tensor extension.

Requests are built once and sent many times: building JSON for each would cost a load
generator more than sending it.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from tritonclient.utils import np_to_triton_dtype, triton_to_np_dtype

HEADER_LENGTH: Final = "Inference-Header-Content-Length"
Array = NDArray[Any]


class AnswerInvalid(ValueError):  # noqa: N818  the name states the finding
    """The server's answer is not what the v2 protocol promises."""


@dataclass(frozen=True, slots=True)
class Tensor:
    """One input or output of a model; -1 is a dimension of any size."""

    name: str
    datatype: str
    shape: tuple[int, ...]

    @property
    def dtype(self) -> np.dtype[Any]:
        """The numpy type; raises ValueError for types that numpy lacks (BYTES, BF16)."""
        kind = triton_to_np_dtype(self.datatype)
        if kind is None or np.dtype(kind) == np.object_ or self.datatype == "BF16":
            raise ValueError(f"{self.name} has the type {self.datatype}, which cannot be sent here")
        dtype: np.dtype[Any] = np.dtype(kind)
        return dtype


@dataclass(frozen=True, slots=True)
class Signature:
    """What a model takes and gives (the v2 model metadata)."""

    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, Any]) -> "Signature":
        """Read the answer of ``GET /v2/models/NAME``."""

        def tensors(key: str) -> tuple[Tensor, ...]:
            return tuple(
                Tensor(entry["name"], entry["datatype"], tuple(int(d) for d in entry["shape"]))
                for entry in metadata.get(key, ())
            )

        return cls(tensors("inputs"), tensors("outputs"))


@dataclass(frozen=True, slots=True)
class Request:
    """A request ready to be sent, and what its answer should say."""

    body: bytes
    headers: Mapping[str, str]
    expected_labels: Array | None = None


def build(inputs: Mapping[str, Array], outputs: Sequence[str], labels: Array | None) -> Request:
    """Return the request for some outputs (all when empty), with every tensor in binary."""
    tensors = {name: np.ascontiguousarray(array) for name, array in inputs.items()}
    binary = {"binary_data": True}
    header: dict[str, Any] = {
        "inputs": [
            {
                "name": name,
                "shape": list(array.shape),
                "datatype": _datatype(array),
                "parameters": {"binary_data_size": array.nbytes},
            }
            for name, array in tensors.items()
        ]
    }
    if outputs:
        header["outputs"] = [{"name": name, "parameters": binary} for name in outputs]
    else:
        header["parameters"] = {"binary_data_output": True}
    text = json.dumps(header, separators=(",", ":")).encode()
    body = b"".join([text, *(array.tobytes() for array in tensors.values())])
    headers = {
        HEADER_LENGTH: str(len(text)),
        "Content-Type": "application/octet-stream",
        "Accept-Encoding": "identity",  # Triton would compress its answers, at both ends' cost
    }
    return Request(body, headers, labels)


def read_answer(body: bytes, header_length: str | None) -> dict[str, Array]:
    """Return the outputs of an answer; raises AnswerInvalid when they are not all there."""
    try:
        length = len(body) if header_length is None else int(header_length)
        header = json.loads(body[:length])
        return _outputs(header["outputs"], memoryview(body)[length:])
    except (ValueError, KeyError, TypeError) as error:
        raise AnswerInvalid(f"not an answer of the v2 protocol: {error!r}") from error


def predicted_labels(output: Array) -> Array:
    """Return one class per row: the output itself, or the place of its largest value."""
    if np.issubdtype(output.dtype, np.integer):
        return output.ravel()
    classes: Array = output.reshape(-1, output.shape[-1]).argmax(axis=1)
    return classes


def label_output(signature: Signature) -> str:
    """Return the output that names a class: integers first, else scores; raises ValueError."""
    for kind in (np.integer, np.floating):
        for output in signature.outputs:
            if np.issubdtype(output.dtype, kind) and (kind is np.integer or output.shape[-1] != 1):
                return output.name
    raise ValueError("the model has no output that could be compared with labels")


def _outputs(described: Sequence[Mapping[str, Any]], data: memoryview) -> dict[str, Array]:
    arrays: dict[str, Array] = {}
    start = 0
    for entry in described:
        dtype = Tensor(entry["name"], entry["datatype"], ()).dtype
        size = entry.get("parameters", {}).get("binary_data_size")
        if size is None:
            array = np.array(entry["data"], dtype)
        else:
            array = np.frombuffer(data[start : start + size], dtype)
            start += size
        arrays[entry["name"]] = array.reshape(entry["shape"])
    if start != len(data) or not arrays:
        raise ValueError(f"{len(data)} bytes of tensors where {start} were announced")
    return arrays


def _datatype(array: Array) -> str:
    return str(np_to_triton_dtype(array.dtype))
