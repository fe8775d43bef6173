"""Inference over HTTP with KServe's v2 protocol and its binary tensor extension.

Requests are built once and sent many times: building JSON for each would cost a load
generator more than sending it.
"""

import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from tritonclient.utils import (
    deserialize_bytes_tensor,
    np_to_triton_dtype,
    serialize_byte_tensor,
    triton_to_np_dtype,
)

HEADER_LENGTH: Final = "Inference-Header-Content-Length"
TEXT: Final = "BYTES"
BFLOAT16: Final = "BF16"
#: What a drawn word is made of; a text travels with four bytes for its length.
LETTERS: Final = np.frombuffer(b"abcdefghijklmnopqrstuvwxyz", "S1")
WORD_LETTERS: Final = 8
LENGTH_BYTES: Final = 4
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
        """The numpy type: objects for texts; raises ValueError for types that are none."""
        kind = triton_to_np_dtype(self.datatype)
        older = self.datatype == BFLOAT16 and kind is np.float32  # a client without the type
        if kind is None or older:
            raise ValueError(f"{self.name} has the type {self.datatype}, which cannot be sent here")
        dtype: np.dtype[Any] = np.dtype(kind)
        return dtype

    @property
    def item_bytes(self) -> int:
        """The size of one element as it is sent: of a text, as one is drawn."""
        return WORD_LETTERS + LENGTH_BYTES if self.datatype == TEXT else self.dtype.itemsize

    @property
    def is_real(self) -> bool:
        """Whether it holds floating-point numbers; numpy counts bfloat16 among its strangers."""
        return self.datatype == BFLOAT16 or self.dtype.kind == "f"


@dataclass(frozen=True, slots=True)
class Signature:
    """What a model takes and gives (the v2 model metadata).

    ``max_batch_size`` is its configuration's, 0 for none, None where that is not known: metadata
    alone do not tell a batch from another dimension of any size.
    """

    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    max_batch_size: int | None = None

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
    data = {name: serialised(array) for name, array in inputs.items()}
    binary = {"binary_data": True}
    header: dict[str, Any] = {
        "inputs": [
            {
                "name": name,
                "shape": list(array.shape),
                "datatype": _datatype(array),
                "parameters": {"binary_data_size": len(data[name])},
            }
            for name, array in inputs.items()
        ]
    }
    if outputs:
        header["outputs"] = [{"name": name, "parameters": binary} for name in outputs]
    else:
        header["parameters"] = {"binary_data_output": True}
    text = json.dumps(header, separators=(",", ":")).encode()
    body = b"".join([text, *data.values()])
    headers = {
        HEADER_LENGTH: str(len(text)),
        "Content-Type": "application/octet-stream",
        "Accept-Encoding": "identity",  # Triton would compress its answers, at both ends' cost
    }
    return Request(body, headers, labels)


def draw(random: np.random.Generator, tensor: Tensor, shape: Sequence[int]) -> Array:
    """Draw ordinary values: NaN and denormals would be slower than any image is."""
    if tensor.datatype == TEXT:
        letters = random.choice(LETTERS, (*shape, WORD_LETTERS))
        return letters.view(f"S{WORD_LETTERS}")[..., 0].astype(np.object_)
    if tensor.is_real:
        return random.standard_normal(shape, np.float32).astype(tensor.dtype, copy=False)
    return random.integers(0, 2, shape).astype(tensor.dtype)


def read_answer(body: bytes, header_length: str | None) -> dict[str, Array]:
    """Return the outputs of an answer; raises AnswerInvalid when they are not all there."""
    try:
        length = len(body) if header_length is None else int(header_length)
        header = json.loads(body[:length])
        return _outputs(header["outputs"], memoryview(body)[length:])
    except (ValueError, KeyError, TypeError, struct.error) as error:
        raise AnswerInvalid(f"not an answer of the v2 protocol: {error!r}") from error


def predicted_labels(output: Array) -> Array:
    """Return one class per row: the output itself, or the place of its largest value."""
    if output.dtype == np.object_:
        return as_text(output).ravel()
    if np.issubdtype(output.dtype, np.integer):
        return output.ravel()
    classes: Array = output.reshape(-1, output.shape[-1]).argmax(axis=1)
    return classes


def as_text(texts: Array) -> Array:
    """Return texts as strings, whatever they were given as; raises ValueError for other bytes."""
    return np.array([t.decode() if isinstance(t, bytes) else t for t in texts.flat], np.str_)


def label_output(signature: Signature, *, text: bool = False) -> str:
    """Return the output that names a class; raises ValueError where none does.

    Of texts one with texts; of numbers integers first, else scores.
    """
    outputs = signature.outputs
    if text:
        found = [output for output in outputs if output.datatype == TEXT]
    else:
        found = [output for output in outputs if output.dtype.kind in "iu"]
        found += [output for output in outputs if output.is_real and output.shape[-1:] != (1,)]
    if not found:
        raise ValueError("the model has no output that could be compared with labels")
    return found[0].name


def _outputs(described: Sequence[Mapping[str, Any]], data: memoryview) -> dict[str, Array]:
    arrays: dict[str, Array] = {}
    start = 0
    for entry in described:
        tensor = Tensor(entry["name"], entry["datatype"], ())
        size = entry.get("parameters", {}).get("binary_data_size")
        if size is None:
            array = np.array(entry["data"], tensor.dtype)
        else:
            array = _deserialise(tensor, data[start : start + size])
            start += size
        arrays[entry["name"]] = array.reshape(entry["shape"])
    if start != len(data) or not arrays:
        raise ValueError(f"{len(data)} bytes of tensors where {start} were announced")
    return arrays


def serialised(array: Array) -> bytes:
    """Return a tensor as it travels."""
    if array.dtype != np.object_:
        return array.tobytes()
    texts = serialize_byte_tensor(array)
    return bytes(texts.item()) if texts.size else b""


def _deserialise(tensor: Tensor, data: memoryview) -> Array:
    array: Array
    if tensor.datatype == TEXT:
        array = deserialize_bytes_tensor(bytes(data))
    else:
        array = np.frombuffer(data, tensor.dtype)
    return array.astype(np.float32) if tensor.datatype == BFLOAT16 else array


def _datatype(array: Array) -> str:
    return str(np_to_triton_dtype(array.dtype))
