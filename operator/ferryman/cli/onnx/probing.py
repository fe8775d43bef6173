"""Run a model twice to see the tensors inside: sizes, and which dimension counts the rows."""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ferryman.cli.onnx.samples import Samples
from ferryman.clients.onnx import graph
from ferryman.clients.onnx.graph import PartTensor, Source
from ferryman.clients.onnx.runtime import ModelTensor, Program
from ferryman.core.splitting import tensors
from ferryman.core.splitting.tensors import ROWS, Dim, Seen

#: What a wire of a pipeline can name.
_NAMEABLE: Final = re.compile(r"[^ \t\n]{1,128}")


@dataclass(frozen=True, slots=True)
class Observed:
    """A tensor that was seen."""

    described: ModelTensor
    dims: tuple[Dim, ...] | None
    values: NDArray[Any] | None
    """Of the first run; None for what is no tensor."""

    @property
    def size_bytes(self) -> int:
        """How large it is in the first run."""
        return 0 if self.values is None else self.values.nbytes

    @property
    def part_tensor(self) -> PartTensor:
        """It as an input or output of a part."""
        return PartTensor(self.described.name, self.described.element_type, self.dims or ())

    def can_be_carried(self, *, batched: bool) -> bool:
        """Whether a server can hand it on, and with batches whether its rows are the request's."""
        if self.values is None or not self.dims or self.described.datatype is None:
            return False
        if 0 in self.dims:
            return False
        named = _NAMEABLE.fullmatch(self.described.name) is not None
        return named and (not batched or self.dims[0] == ROWS)


@dataclass(frozen=True, slots=True)
class Probe:
    """What two runs have shown."""

    tensors: Mapping[str, Observed]
    outputs: frozenset[str]
    """Those of the model."""
    batched: bool
    """All inputs and outputs lead with the rows of the request."""

    def values(self, name: str) -> NDArray[Any]:
        """Return what a tensor that can be carried held in the first run."""
        found = self.tensors[name].values
        if found is None:
            raise ValueError(f"{name} is no tensor")
        return found


def observe(
    source: Source, names: Collection[str], samples: Samples, folder: Path, threads: int
) -> Probe:
    """Run a model for its outputs and the tensors named, with different numbers of rows.

    ``folder`` is for a copy of the model. Raises ModelRefused.
    """
    path = folder / "observed.onnx"
    graph.save(graph.observed(source, names), path)
    program = Program(path, threads=threads, optimised=False)
    rows = (samples.rows, samples.rows + samples.any_rows)
    inputs = [samples.some(count) for count in rows]
    answers = [program.run(feed) for feed in inputs]
    found = {
        each.name: _observed(each, rows, [run[each.name] for run in answers])
        for each in program.outputs
    }
    found |= {
        each.name: _observed(each, rows, [feed[each.name] for feed in inputs])
        for each in program.inputs
    }
    leading = (found[name].dims for name in (*source.inputs, *source.outputs))
    batched = rows[0] != rows[1] and all(dims and dims[0] == ROWS for dims in leading)
    return Probe(found, frozenset(source.outputs), batched)


def _observed(described: ModelTensor, rows: tuple[int, int], runs: list[Any]) -> Observed:
    if not all(isinstance(values, np.ndarray) for values in runs):
        return Observed(described, None, None)
    first, second = (Seen(n, values.shape) for n, values in zip(rows, runs, strict=True))
    return Observed(described, tensors.dims(first, second, described.dims), runs[0])
