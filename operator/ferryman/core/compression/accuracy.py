"""How near a variant's answers are to those of the model that it was made from.

All are shares from 0 to 1, so that one floor is understood, and each means something else; which
one counts is the owner's to choose. Rows lie along the first axis.
"""

import math
from collections.abc import Callable, Mapping
from decimal import ROUND_FLOOR, Decimal
from enum import StrEnum
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

#: Of an accuracy as it is written down.
_STEP: Final = Decimal("0.0001")


class Metric(StrEnum):
    """What is compared."""

    LABELS = "labels"
    """Share of rows whose class is the one that the data names."""
    TOP1 = "top1"
    """Share of rows whose class is the one that the original answers."""
    COSINE = "cosine"
    """Cosine of the angle between both answers to a row, on average; at least 0."""
    ERROR = "error"
    """1 less the relative error ||variant - original|| / ||original|| of all rows; at least 0."""


def classes(scores: Array) -> Array:
    """Return one class per row, as ``ferryman load`` does: the place of the largest score.

    Integers are classes already. Scores among which one is no number (NaN) have the class -1, which
    is none. Raises ValueError for an output that holds neither.
    """
    if scores.dtype.kind in "iub":
        return scores.ravel().astype(np.int64)
    if scores.dtype.kind != "f" or scores.ndim == 0 or scores.shape[-1] <= 1:
        raise ValueError("it holds neither classes nor scores of several")
    rows = scores.reshape(-1, scores.shape[-1])
    return np.where(np.isnan(rows).any(axis=1), -1, rows.argmax(axis=1)).astype(np.int64)


def agreement(expected: Array, found: Array) -> float:
    """Return the share of rows with the class that was expected; a class that is none is wrong.

    Raises ValueError where there is not one for each.
    """
    if expected.shape != found.shape:
        raise ValueError(f"{expected.size} labels for {found.size} answers")
    return float(np.mean((expected == found) & (found >= 0)))


def cosine(original: Array, variant: Array) -> float:
    """Return the mean cosine of the angle between the answers to a row.

    Two answers of zeros alone agree (1); one that is no finite number is as wrong as can be (0).
    """
    first, second = _rows(original), _rows(variant)
    with np.errstate(invalid="ignore", over="ignore"):
        lengths = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
        cosines = np.divide(
            (first * second).sum(axis=1), lengths, out=np.zeros(len(first)), where=lengths > 0
        )
    both_zero = ~first.any(axis=1) & ~second.any(axis=1)
    cosines = np.where(both_zero, 1.0, np.where(np.isfinite(cosines), cosines, 0.0))
    return float(np.clip(cosines.mean(), 0.0, 1.0))


def closeness(original: Array, variant: Array) -> float:
    """Return 1 less the relative error over all rows, in the Euclidean norm; at least 0."""
    first, second = _rows(original), _rows(variant)
    with np.errstate(invalid="ignore", over="ignore"):
        error, length = float(np.linalg.norm(second - first)), float(np.linalg.norm(first))
    if error == 0.0:
        return 1.0
    return max(0.0, 1.0 - error / length) if math.isfinite(error) and length > 0 else 0.0


#: Metrics of every number that is answered.
_OF_VALUES: Final[Mapping[Metric, Callable[[Array, Array], float]]] = {
    Metric.COSINE: cosine,
    Metric.ERROR: closeness,
}


def accuracy(
    metric: Metric,
    original: Mapping[str, Array],
    variant: Mapping[str, Array],
    labels: Array | None = None,
) -> float:
    """Return the accuracy of a variant's outputs, by name: that of the worst of them.

    Raises ValueError, which names the output, where the metric does not suit it.
    """
    return min(_one(metric, name, original[name], variant[name], labels) for name in original)


def _one(metric: Metric, name: str, original: Array, variant: Array, labels: Array | None) -> float:
    if original.shape != variant.shape:
        raise ValueError(f"{name}: shape {variant.shape} where the original has {original.shape}")
    try:
        if metric in _OF_VALUES:
            return _OF_VALUES[metric](original, variant)
        return agreement(classes(original) if labels is None else labels, classes(variant))
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error


def written(share: float) -> str:
    """Return an accuracy as resources state it: rounded down, so that it never promises more."""
    return str(Decimal(repr(share)).quantize(_STEP, ROUND_FLOOR))


def _rows(values: Array) -> NDArray[np.float64]:
    if values.dtype.kind not in "fiub":
        raise ValueError("it holds no numbers")
    return values.reshape(len(values), -1).astype(np.float64)
