"""What is known of a tensor from having seen it twice, with different numbers of rows.

Shape inference often knows less, and exporters write dimensions down that are not so. Two runs
tell which dimension counts the rows. That one stayed as it was proves nothing (it may depend on
what the values are): a size is only believed where inference says it, too.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

#: The dimension that counts the rows of a request.
ROWS: Final = "batch"

Dim = int | str | None


@dataclass(frozen=True, slots=True)
class Seen:
    """A tensor's dimensions in a run with so many rows."""

    rows: int
    dims: tuple[int, ...]


def dims(first: Seen, second: Seen, inferred: Sequence[Dim] | None) -> tuple[Dim, ...] | None:
    """Return a tensor's dimensions: a size, ``ROWS``, or None where it may have any.

    ``inferred`` is what shape inference says, None where it says nothing. The result is None for
    a tensor whose number of dimensions is not always the same.
    """
    if len(first.dims) != len(second.dims):
        return None
    if inferred is None or len(inferred) != len(first.dims):
        inferred = (None,) * len(first.dims)
    rows = first.rows, second.rows
    return tuple(
        _dim(sizes, rows, known)
        for *sizes, known in zip(first.dims, second.dims, inferred, strict=True)
    )


def _dim(sizes: Sequence[int | Dim], rows: tuple[int, int], inferred: Dim) -> Dim:
    if tuple(sizes) == rows and rows[0] != rows[1]:
        return ROWS
    return inferred if sizes[0] == sizes[1] == inferred else None
