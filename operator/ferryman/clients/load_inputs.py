"""What a load generator sends: requests made from a file of arrays, or of random numbers."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
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


@dataclass(frozen=True, slots=True)
class Rows:
    """What a file of arrays holds for a model."""

    inputs: Mapping[str, Array]
    """By name; rows, or whole inputs of a model without batches, along the first axis."""
    labels: Array | None
    outputs: list[str]
    """The output to compare with labels, where there are any."""
    batched: bool

    def __len__(self) -> int:
        return len(next(iter(self.inputs.values())))

    def batches(self, size: int) -> Iterator[tuple[dict[str, Array], Array | None]]:
        """Yield as many whole batches as there are, in the file's order, with their labels."""
        for start in range(0, len(self) - size + 1, size):
            part = slice(start, start + size)
            tensors = {n: (a[part] if self.batched else a[start]) for n, a in self.inputs.items()}
            yield tensors, None if self.labels is None else self.labels[part].ravel()


def from_file(path: Path, signature: Signature, batch_size: int) -> list[Request]:
    """Return requests of ``batch_size`` rows each, in the file's order.

    Of the file ``read_rows`` tells. Raises InputInvalid and OSError.
    """
    return _requests(read_rows(path, signature, least=batch_size), batch_size)


def from_arrays(
    arrays: Mapping[str, Array], signature: Signature, batch_size: int
) -> list[Request]:
    """Return requests of ``batch_size`` rows each, of arrays as ``read_rows`` finds them.

    Raises InputInvalid.
    """
    return _requests(rows_of(arrays, signature, least=batch_size), batch_size)


def read_array(path: Path) -> Array:
    """Return the array of an .npy file. Raises InputInvalid and OSError."""
    try:
        array = np.load(path, allow_pickle=False)
    except ValueError as error:
        raise InputInvalid(f"{path} is no .npy file of a plain array: {error}") from error
    if not isinstance(array, np.ndarray):
        array.close()
        raise InputInvalid(f"{path} is an .npz of several arrays: give it without a name")
    return array


def read_rows(path: Path, signature: Signature, *, least: int = 1) -> Rows:
    """Return what an .npz holds for a model, in the model's types; ``least`` is a batch's rows.

    It holds one array per input, under the input's name (under any name if there is one input
    only), and may hold ``labels``: the expected class of each row. For a model that takes no
    batches each entry of the arrays is one input. Raises InputInvalid and OSError.
    """
    return rows_of(_read(path), signature, least=least, source=f" in {path}")


def rows_of(
    arrays: Mapping[str, Array], signature: Signature, *, least: int = 1, source: str = ""
) -> Rows:
    """Return what arrays hold for a model; see ``read_rows``. Raises InputInvalid."""
    arrays = dict(arrays)
    labels = arrays.pop(LABELS, None)
    arrays = _named(arrays, signature)
    batched = _takes_batches(signature, arrays)
    if not batched and least != 1:
        raise InputInvalid("the model takes no batches: use a batch size of 1")
    inputs = {
        tensor.name: _rows(tensor, arrays[tensor.name], batched=batched)
        for tensor in signature.inputs
    }
    labels, outputs = (None, []) if labels is None else _compared(labels, signature)
    lengths = {len(array) for array in (*inputs.values(), *([] if labels is None else [labels]))}
    if len(lengths) != 1 or not lengths.pop() >= least:
        raise InputInvalid(f"the arrays{source} must be equally long, at least {least} rows")
    return Rows(inputs, labels, outputs, batched)


def _requests(rows: Rows, batch_size: int) -> list[Request]:
    return _fitting(
        inference.build(tensors, rows.outputs, labels)
        for tensors, labels in rows.batches(batch_size)
    )


def random_requests(
    signature: Signature,
    batch_size: int,
    seed: int,
    shapes: Mapping[str, tuple[int, ...]] | None = None,
) -> list[Request]:
    """Return requests of random values. Raises InputInvalid.

    Dimensions of any size are 1 unless ``shapes`` states an input's shape, without its rows.
    """
    random, shapes = np.random.default_rng(seed), shapes or {}
    batched = _takes_batches(signature, {})
    if not batched and batch_size != 1:
        raise InputInvalid("the model takes no batches: use a batch size of 1")
    if unknown := shapes.keys() - {tensor.name for tensor in signature.inputs}:
        wanted = sorted(tensor.name for tensor in signature.inputs)
        raise InputInvalid(f"shapes of {sorted(unknown)}, the model takes {wanted}")

    def values(tensor: Tensor) -> Array:
        sizes = tensor.shape[1:] if batched else tensor.shape
        shape = shapes.get(tensor.name, tuple(1 if size == -1 else size for size in sizes))
        if len(shape) != len(sizes) or not all(map(_fits, sizes, shape)):
            raise InputInvalid(f"{tensor.name}: a shape of {shape} where the model takes {sizes}")
        return inference.draw(random, tensor, [batch_size, *shape] if batched else shape)

    def drawn() -> Iterator[Request]:
        while True:
            yield inference.build({t.name: values(t) for t in signature.inputs}, [], None)

    try:
        return _fitting(islice(drawn(), RANDOM_REQUESTS))
    except ValueError as error:
        raise InputInvalid(str(error)) from error


def _read(path: Path) -> dict[str, Array]:
    try:
        # Opened here: numpy leaves an archive open that it cannot read.
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
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
        raise InputInvalid(f"there are arrays {sorted(arrays)}, the model takes {wanted}")
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
