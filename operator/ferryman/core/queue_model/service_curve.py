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


class Tenancy(ApiType):
    """A time during which somebody else uses the processor, and every batch takes longer."""

    from_seconds: Annotated[int, Field(ge=0, le=10_000_000)]
    """From the start of the run; batches that have begun are not affected."""
    until_seconds: Annotated[int, Field(ge=1, le=10_000_000)]
    factor: Annotated[float, Field(gt=0, le=100)]
    """Of what the batch would take otherwise, drift included."""


class ServiceTime(ApiType):
    """How long one instance takes for a batch: knots with straight lines between, or a formula."""

    knots: Annotated[tuple[Knot, ...], Field(max_length=4096)] | None = None
    coefficients: Coefficients | None = None
    drift: Annotated[tuple[Drift, ...], Field(max_length=100)] = ()
    tenant: Annotated[tuple[Tenancy, ...], Field(max_length=100)] = ()
    """When somebody else uses the processor, too."""
    noise: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Single batches take the curve times a lognormal factor of mean 1; this is its sigma."""
    parallelism: Annotated[float, Field(ge=1, le=1_024)] | None = None
    """So many batches run at once without slowing each other down; None: any number of them."""

    @model_validator(mode="after")
    def _is_a_curve(self) -> Self:
        must_be_a_curve(self.knots, self.coefficients)
        moments = [drift.at_seconds for drift in self.drift]
        if any(left >= right for left, right in pairwise(moments)):
            raise ValueError("drift must ascend in atSeconds")
        if any(each.until_seconds <= each.from_seconds for each in self.tenant):
            raise ValueError("tenant: untilSeconds must be more than fromSeconds")
        if any(one.until_seconds > next_.from_seconds for one, next_ in pairwise(self.tenant)):
            raise ValueError("tenant must ascend in fromSeconds, and its times must not overlap")
        return self

    @property
    def factors(self) -> dict[int, float]:
        """From when on batches take which factor of the curve; ascending moments in seconds."""
        turns = {drift.at_seconds for drift in self.drift}
        turns |= {at for each in self.tenant for at in (each.from_seconds, each.until_seconds)}
        return {at_s: self._factor(at_s) for at_s in sorted(turns)}

    def _factor(self, at_s: int) -> float:
        drifts = [drift.factor for drift in self.drift if drift.at_seconds <= at_s]
        shared = [t.factor for t in self.tenant if t.from_seconds <= at_s < t.until_seconds]
        return (drifts or [1.0])[-1] * (shared or [1.0])[0]

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
