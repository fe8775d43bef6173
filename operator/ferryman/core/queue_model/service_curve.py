"""How long a batch takes on a simulated model, and how that drifts in the course of a run."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated, Protocol, Self

import numpy as np
from pydantic import Field, model_validator

from ferryman.api.base import ApiType
from ferryman.api.batching import MAX_BATCH_SIZE

Milliseconds = Annotated[float, Field(gt=0, le=600_000)]
Coefficient = Annotated[float, Field(ge=0, le=600_000)]

_MS_PER_S = 1e3


class CurvePoint(Protocol):
    """What is known of one batch size."""

    @property
    def batch_size(self) -> int:
        """The batch size."""
        ...

    @property
    def milliseconds(self) -> float:
        """What such a batch takes."""
        ...


class Knot(ApiType):
    """A measured point of the service time curve."""

    batch_size: Annotated[int, Field(ge=1, le=MAX_BATCH_SIZE)]
    milliseconds: Milliseconds


class Coefficients(ApiType):
    """tau(b) = t0 + a·b + g·b² in milliseconds."""

    t0: Coefficient = 0.0
    """What every batch costs, however small."""
    a: Coefficient = 0.0
    """What every request adds."""
    g: Coefficient = 0.0
    """How much more the later ones add: caches and memory that large batches overrun."""

    @model_validator(mode="after")
    def _takes_time(self) -> Self:
        if self.t0 + self.a + self.g <= 0:
            raise ValueError("at least one of t0, a and g must be greater than 0")
        return self


class Drift(ApiType):
    """From a moment on every batch takes longer, or less long, than the curve says."""

    at_seconds: Annotated[int, Field(ge=1, le=10_000_000)]
    """From the start of the run; batches that have begun are not affected."""
    factor: Annotated[float, Field(gt=0, le=100)]
    """Of the curve itself, whatever the factor was before."""


class ServiceTime(ApiType):
    """How long one instance takes for a batch: knots with straight lines between, or a formula."""

    knots: Annotated[tuple[Knot, ...], Field(max_length=4096)] | None = None
    coefficients: Coefficients | None = None
    drift: Annotated[tuple[Drift, ...], Field(max_length=100)] = ()

    @model_validator(mode="after")
    def _is_a_curve(self) -> Self:
        must_be_a_curve(self.knots, self.coefficients)
        moments = [drift.at_seconds for drift in self.drift]
        if any(left >= right for left, right in pairwise(moments)):
            raise ValueError("drift must ascend in atSeconds")
        return self

    @property
    def largest(self) -> float:
        """The largest batch size that the curve covers."""
        return self.knots[-1].batch_size if self.knots else float("inf")

    def curve_s(self, bound: int, *, factor: float = 1.0) -> tuple[float, ...]:
        """Return tau(1), …, tau(bound) in seconds, times a factor of drift."""
        times_ms = curve_ms(self.knots, self.coefficients, bound)
        return tuple((np.array(times_ms) * (factor / _MS_PER_S)).tolist())


def must_be_a_curve(knots: Sequence[Knot] | None, coefficients: Coefficients | None) -> None:
    """Raise ValueError unless there is one of both, and knots begin at 1 and ascend."""
    if (not knots) == (coefficients is None):
        raise ValueError("state exactly one of knots, coefficients")
    sizes = [knot.batch_size for knot in knots or ()]
    if sizes[:1] not in ([], [1]) or any(left >= right for left, right in pairwise(sizes)):
        raise ValueError("knots must begin at batchSize 1 and ascend")


def curve_ms(
    knots: Sequence[CurvePoint] | None, coefficients: Coefficients | None, bound: int
) -> tuple[float, ...]:
    """Return tau(1), …, tau(bound) in milliseconds: by the formula, or straight between knots."""
    sizes = np.arange(1, bound + 1, dtype=np.float64)
    if coefficients is not None:
        times = coefficients.t0 + coefficients.a * sizes + coefficients.g * sizes**2
    else:
        known = [knot.batch_size for knot in knots or ()]
        times = np.interp(sizes, known, [knot.milliseconds for knot in knots or ()])
    return tuple(times.tolist())
