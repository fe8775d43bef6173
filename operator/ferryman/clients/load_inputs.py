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


class InputInvalid(ValueError):  # noqa: N818  the name states the finding
    """The file does not fit the model; the message says what would."""


def from_file(path: Path, signature: Signature, batch_size: int) -> list[Request]:
    """Return requests of ``batch_size`` rows each, in the file's order.

    The .npz holds one array per input, under the input's name (under any name if there is one
    input only), and may hold ``labels``: the expected class of each row. Raises InputInvalid
    and OSError.
    """
    arrays = _read(path)
    labels = arrays.pop(LABELS, None)
    inputs = _matched(arrays, signature)
    outputs = [] if labels is None else [inference.label_output(signature)]
    lengths = {len(array) for array in (*inputs.values(), *([] if labels is None else [labels]))}
    if len(lengths) != 1 or not lengths.pop() >= batch_size:
        raise InputInvalid(f"the arrays in {path} must be equally long, at least {batch_size} rows")
    return _fitting(_cut(inputs, labels, outputs, signature, batch_size))


def random_requests(signature: Signature, batch_size: int, seed: int) -> list[Request]:
    """Return requests of random numbers; dimensions of any size are 1. Raises InputInvalid."""
    random = np.random.default_rng(seed)

    def draw() -> Iterator[Request]:
        while True:
            tensors = {t.name: _random(random, t, batch_size) for t in signature.inputs}
            yield inference.build(tensors, [], None)

    try:
        return _fitting(islice(draw(), RANDOM_REQUESTS))
    except ValueError as error:
        raise InputInvalid(f"{error}: give the inputs in a file") from error


def _read(path: Path) -> dict[str, Array]:
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except ValueError as error:
        raise InputInvalid(f"{path} is no .npz file of plain arrays: {error}") from error


def _matched(arrays: Mapping[str, Array], signature: Signature) -> dict[str, Array]:
    """Give each input its array, in the input's own type."""
    wanted = {tensor.name: tensor for tensor in signature.inputs}
    if len(wanted) == 1 and len(arrays) == 1:
        arrays = dict(zip(wanted, arrays.values(), strict=True))
    if set(arrays) != set(wanted):
        raise InputInvalid(f"the file has {sorted(arrays)}, the model takes {sorted(wanted)}")
    for name, array in arrays.items():
        tensor, row = wanted[name], array.shape[1:]
        sizes = tensor.shape[1:] if _is_batched(tensor) else tensor.shape
        if len(row) != len(sizes) or not all(map(_fits, sizes, row)):
            raise InputInvalid(f"{name}: rows of shape {row} where the model takes {sizes}")
    return {name: array.astype(wanted[name].dtype) for name, array in arrays.items()}


def _cut(
    inputs: Mapping[str, Array],
    labels: Array | None,
    outputs: list[str],
    signature: Signature,
    batch_size: int,
) -> Iterator[Request]:
    batched = all(_is_batched(tensor) for tensor in signature.inputs)
    if not batched and batch_size != 1:
        raise InputInvalid("the model takes no batches: use a batch size of 1")
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


def _is_batched(tensor: Tensor) -> bool:
    return bool(tensor.shape) and tensor.shape[0] == -1


def _random(random: np.random.Generator, tensor: Tensor, batch_size: int) -> Array:
    shape = [1 if size == -1 else size for size in tensor.shape]
    if _is_batched(tensor):
        shape[0] = batch_size
    if tensor.dtype.kind == "f":
        return random.standard_normal(shape).astype(tensor.dtype)
    return random.integers(0, 2, shape).astype(tensor.dtype)
