"""What a load generator sends: requests made from a file of arrays, or of random numbers."""

from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Final

import numpy as np

from ferryman.clients import inference
from ferryman.clients.inference import Array, Request, Signature, Tensor

LABELS: Final = "labels"
RANDOM_REQUESTS: Final = 16
MAX_BODIES_BYTES: Final = 256 * 2**20
_TEXT_KINDS: Final = "US"  # of numpy's types: unicode strings and bytes


class InputInvalid(ValueError):  # noqa: N818  the name states the finding
    """The file does not fit the model; the message says what would."""


def from_file(path: Path, signature: Signature, batch_size: int) -> list[Request]:
    """Return requests of ``batch_size`` rows each, in the file's order.

    The .npz holds one array per input, under the input's name (under any name if there is one
    input only), and may hold ``labels``: the expected class of each row. A model that takes no
    batches gets one request for each entry of the arrays. Raises InputInvalid and OSError.
    """
    arrays = _read(path)
    labels = arrays.pop(LABELS, None)
    arrays = _named(arrays, signature)
    batched = _takes_batches(signature, arrays)
    if not batched and batch_size != 1:
        raise InputInvalid("the model takes no batches: use a batch size of 1")
    inputs = {
        tensor.name: _rows(tensor, arrays[tensor.name], batched=batched)
        for tensor in signature.inputs
    }
    labels, outputs = (None, []) if labels is None else _compared(labels, signature)
    lengths = {len(array) for array in (*inputs.values(), *([] if labels is None else [labels]))}
    if len(lengths) != 1 or not lengths.pop() >= batch_size:
        raise InputInvalid(f"the arrays in {path} must be equally long, at least {batch_size} rows")
    return _fitting(_cut(inputs, labels, outputs, batch_size, batched=batched))


def random_requests(signature: Signature, batch_size: int, seed: int) -> list[Request]:
    """Return requests of random values; dimensions of any size are 1. Raises InputInvalid."""
    random = np.random.default_rng(seed)
    batched = _takes_batches(signature, {})
    if not batched and batch_size != 1:
        raise InputInvalid("the model takes no batches: use a batch size of 1")

    def values(tensor: Tensor) -> Array:
        shape = [1 if size == -1 else size for size in tensor.shape]
        if batched:
            shape[0] = batch_size
        return inference.draw(random, tensor, shape)

    def drawn() -> Iterator[Request]:
        while True:
            yield inference.build({t.name: values(t) for t in signature.inputs}, [], None)

    try:
        return _fitting(islice(drawn(), RANDOM_REQUESTS))
    except ValueError as error:
        raise InputInvalid(str(error)) from error


def _read(path: Path) -> dict[str, Array]:
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except ValueError as error:
        raise InputInvalid(
            f"{path} is no .npz file of plain arrays (texts as numpy.str_ or numpy.bytes_, not "
            f"as objects): {error}"
        ) from error


def _named(arrays: Mapping[str, Array], signature: Signature) -> dict[str, Array]:
    """Give each input its array, by name or as the only one."""
    wanted = sorted(tensor.name for tensor in signature.inputs)
    if len(wanted) == len(arrays) == 1:
        return dict(zip(wanted, arrays.values(), strict=True))
    if sorted(arrays) != wanted:
        raise InputInvalid(f"the file has {sorted(arrays)}, the model takes {wanted}")
    return dict(arrays)


def _compared(labels: Array, signature: Signature) -> tuple[Array, list[str]]:
    """Return the labels as answers will have them, and the output to compare them with."""
    text = labels.dtype.kind in _TEXT_KINDS
    try:
        output = inference.label_output(signature, text=text)
        return (inference.as_text(labels).reshape(labels.shape) if text else labels), [output]
    except ValueError as error:
        raise InputInvalid(f"{LABELS}: {error}") from error


def _takes_batches(signature: Signature, arrays: Mapping[str, Array]) -> bool:
    """Say whether first dimensions are rows.

    Where the server does not tell, a first dimension of any size is one, unless the file has an
    array with a dimension more: then that one counts the requests.
    """
    if signature.max_batch_size is not None:
        return signature.max_batch_size > 0
    return all(
        tensor.shape[:1] == (-1,)
        and (tensor.name not in arrays or arrays[tensor.name].ndim <= len(tensor.shape))
        for tensor in signature.inputs
    )


def _rows(tensor: Tensor, array: Array, *, batched: bool) -> Array:
    """Return the array with rows, or whole inputs, along its first dimension, as they are sent."""
    if not batched and array.ndim == len(tensor.shape):
        array = array[np.newaxis]  # one input
    row, sizes = array.shape[1:], tensor.shape[1:] if batched else tensor.shape
    if len(row) != len(sizes) or not all(map(_fits, sizes, row)):
        raise InputInvalid(f"{tensor.name}: rows of shape {row} where the model takes {sizes}")
    return _converted(tensor, array)


def _converted(tensor: Tensor, array: Array) -> Array:
    """Return the array in the input's own type; numbers that it cannot hold are refused."""
    if (array.dtype.kind in _TEXT_KINDS) != (tensor.datatype == inference.TEXT):
        raise InputInvalid(f"{tensor.name}: {array.dtype} where the model takes {tensor.datatype}")
    try:
        with np.errstate(invalid="ignore", over="ignore"):
            converted = array.astype(tensor.dtype)
    except (TypeError, ValueError) as error:
        raise InputInvalid(f"{tensor.name}: {error}") from error
    whole = tensor.dtype.kind in "iub"
    if whole and not np.array_equal(converted.astype(array.dtype), array):
        raise InputInvalid(f"{tensor.name}: values that {tensor.datatype} cannot hold")
    return converted


def _cut(
    inputs: Mapping[str, Array],
    labels: Array | None,
    outputs: list[str],
    batch_size: int,
    *,
    batched: bool,
) -> Iterator[Request]:
    rows = len(next(iter(inputs.values())))
    for start in range(0, rows - batch_size + 1, batch_size):
        part = slice(start, start + batch_size)
        tensors = {name: (a[part] if batched else a[start]) for name, a in inputs.items()}
        yield inference.build(tensors, outputs, None if labels is None else labels[part].ravel())


def _fitting(requests: Iterator[Request]) -> list[Request]:
    """Keep as many as the memory bound allows, but one at least."""
    kept: list[Request] = []
    size = 0
    for request in requests:
        size += len(request.body)
        if kept and size > MAX_BODIES_BYTES:
            break
        kept.append(request)
    return kept


def _fits(allowed: int, size: int) -> bool:
    return allowed in {-1, size}
