"""What a model is run on: rows of a file, or drawn ones."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ferryman.cli.errors import InputError
from ferryman.cli.files import arrays
from ferryman.clients import inference, load_inputs
from ferryman.clients.inference import Signature

Array = NDArray[Any]
Feed = Mapping[str, Array]

#: So many drawn inputs are compared where no file is given.
DRAWN: Final = 4


class Samples:
    """Inputs for a model."""

    def __init__(self, signature: Signature, file: Path | None, rows: int, seed: int = 0) -> None:
        """Read them, or get ready to draw them; ``rows`` go into one run.

        Raises InputError, also where the model takes one row only and more are asked for.
        """
        self._signature, self._seed = signature, seed
        self.rows = rows
        self._read = (
            None
            if file is None
            else arrays.read(file, lambda path: load_inputs.read_rows(path, signature, least=rows))
        )
        free = all(each.shape[:1] == (-1,) for each in signature.inputs)
        self.any_rows = free if self._read is None else self._read.batched
        """Whether the first dimension of all inputs may have any size."""
        if rows > 1 and not self.any_rows:
            raise InputError("the model takes no batches: use --batch-size 1")

    @property
    def labels(self) -> Array | None:
        """The classes that the file says the rows of ``all`` have; None where it does not."""
        if self._read is None or self._read.labels is None:
            return None
        return self._read.labels[: len(self._read) // self.rows * self.rows].ravel()

    @property
    def described(self) -> str:
        """Where they come from, in words."""
        return "drawn inputs" if self._read is None else f"{len(self._read)} rows"

    def some(self, rows: int) -> Feed:
        """Return so many rows; those of a file begin again where there are too few."""
        if self._read is None:
            return self._drawn(self._seed, rows)
        taken = {name: np.resize(np.arange(len(a)), rows) for name, a in self._read.inputs.items()}
        if not self.any_rows:
            return {name: array[0] for name, array in self._read.inputs.items()}
        return {name: self._read.inputs[name][index] for name, index in taken.items()}

    def all(self) -> Iterator[Feed]:
        """Yield every whole batch of the file, or a few drawn ones."""
        if self._read is None:
            yield from (self._drawn(self._seed + 1 + i, self.rows) for i in range(DRAWN))
        else:
            yield from (feed for feed, _ in self._read.batches(self.rows))

    def _drawn(self, seed: int, rows: int) -> Feed:
        random = np.random.default_rng(seed)
        found = {}
        for tensor in self._signature.inputs:
            shape = [1 if size == -1 else size for size in tensor.shape]
            if self.any_rows:
                shape[0] = rows
            found[tensor.name] = inference.draw(random, tensor, shape)
        return found
