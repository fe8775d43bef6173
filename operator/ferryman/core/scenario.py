"""What a simulation is given: the model's service times, its load, objectives and batching.

The fields are described, with an example, in docs/scenario-format.md. Batching and objectives
are those of an InferenceModel, so that a part of one can be pasted.
"""

from collections.abc import Iterator
from itertools import pairwise
from typing import Annotated, Final, Self

import numpy as np
from pydantic import Field, model_validator

from ferryman.api.base import ApiType
from ferryman.api.batching import Batching, BatchingSpec
from ferryman.api.inference_model import Objectives
from ferryman.core.batching import start

#: More requests than this take minutes for each configuration of the oracle's grid.
MAX_REQUESTS: Final = 20_000_000
MAX_REPLICAS: Final = 100
MAX_SEED: Final = 2**63 - 1

Milliseconds = Annotated[float, Field(gt=0, le=600_000)]
Coefficient = Annotated[float, Field(ge=0, le=600_000)]
Rate = Annotated[float, Field(ge=0, le=1_000_000)]
PositiveRate = Annotated[float, Field(gt=0, le=1_000_000)]
Seconds = Annotated[float, Field(ge=0.1, le=1_000_000)]

_MS_PER_S = 1e3


class Knot(ApiType):
    """A measured point of the service time curve."""

    batch_size: Annotated[int, Field(ge=1, le=4096)]
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


class ServiceTime(ApiType):
    """How long one instance takes for a batch: knots with straight lines between, or a formula."""

    knots: Annotated[tuple[Knot, ...], Field(max_length=4096)] | None = None
    coefficients: Coefficients | None = None

    @model_validator(mode="after")
    def _is_a_curve(self) -> Self:
        _one_of(self, "knots", "coefficients")
        sizes = [knot.batch_size for knot in self.knots or ()]
        if sizes[:1] not in ([], [1]) or any(left >= right for left, right in pairwise(sizes)):
            raise ValueError("knots must begin at batchSize 1 and ascend")
        return self

    @property
    def largest(self) -> float:
        """The largest batch size that the curve covers."""
        return self.knots[-1].batch_size if self.knots else float("inf")

    def curve_s(self, bound: int) -> tuple[float, ...]:
        """Return tau(1), …, tau(bound) in seconds."""
        sizes = np.arange(1, bound + 1, dtype=np.float64)
        if self.coefficients is not None:
            formula = self.coefficients
            times_ms = formula.t0 + formula.a * sizes + formula.g * sizes**2
        else:
            knots = self.knots or ()
            known = [knot.batch_size for knot in knots]
            times_ms = np.interp(sizes, known, [knot.milliseconds for knot in knots])
        return tuple((times_ms / _MS_PER_S).tolist())


class Poisson(ApiType):
    """Independent arrivals at one rate."""

    rate_per_second: PositiveRate


class Mmpp(ApiType):
    """Two states with exponential stays, each with Poisson arrivals of its own rate."""

    calm_rate_per_second: Rate
    calm_mean_seconds: Seconds
    burst_rate_per_second: PositiveRate
    burst_mean_seconds: Seconds

    @property
    def mean_rate_per_second(self) -> float:
        """The rate in the long run: each state's, weighted by the time spent in it."""
        calm_s, burst_s = self.calm_mean_seconds, self.burst_mean_seconds
        arriving = self.calm_rate_per_second * calm_s + self.burst_rate_per_second * burst_s
        return arriving / (calm_s + burst_s)


class Step(ApiType):
    """Poisson arrivals at one rate for some time."""

    seconds: Seconds
    rate_per_second: Rate


class Trace(ApiType):
    """Recorded inter-arrival times, repeated where they are too few."""

    file: Annotated[str, Field(min_length=1, max_length=4096)]
    """A text file with a number of seconds on each line, beside the scenario's file."""


class Arrivals(ApiType):
    """How requests arrive: one of four ways."""

    poisson: Poisson | None = None
    mmpp: Mmpp | None = None
    steps: Annotated[tuple[Step, ...], Field(max_length=1000)] | None = None
    trace: Trace | None = None

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        _one_of(self, "poisson", "mmpp", "steps", "trace")
        return self

    @property
    def expected_per_second(self) -> float:
        """At most so many arrive per second in the long run; 0 for a trace, which must say."""
        if self.poisson is not None:
            return self.poisson.rate_per_second
        if self.mmpp is not None:
            return self.mmpp.mean_rate_per_second
        return max((step.rate_per_second for step in self.steps or ()), default=0.0)


class Reload(ApiType):
    """How long a change takes; the configuration of before serves until it is over."""

    load_seconds: Annotated[float, Field(ge=0, le=3_600)] = 2.0
    """A reload. A trivial model on Triton 2.51 took 1.4 to 2.2 s."""
    in_place_seconds: Annotated[float, Field(ge=0, le=3_600)] = 0.2
    """A change of the number of instances only. It took 0.16 s."""


class Scenario(ApiType):
    """A model under load, for so many windows."""

    service_time: ServiceTime
    arrivals: Arrivals
    objectives: Objectives
    batching: BatchingSpec = BatchingSpec()
    windows: Annotated[int, Field(ge=1, le=10_000)] = 100
    window_seconds: Annotated[int, Field(ge=1, le=3_600)] = 30
    reload: Reload = Reload()
    replicas: Annotated[int, Field(ge=1, le=MAX_REPLICAS)] = 1
    """Triton pods; requests are dealt out to them at random."""
    seed: Annotated[int, Field(ge=0, le=MAX_SEED)] = 0

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        problem = next(_problems(self), None)
        if problem is not None:
            raise ValueError(problem)
        return self

    @property
    def duration_s(self) -> float:
        """How long requests arrive."""
        return float(self.windows * self.window_seconds)

    @property
    def target_ms(self) -> float:
        """The latency that a request must not exceed to count; infinite without an objective."""
        latency = self.objectives.latency
        return float("inf") if latency is None else latency.target_milliseconds

    @property
    def start(self) -> Batching:
        """Where tuning starts."""
        return start(self.batching)


def _one_of(value: ApiType, *fields: str) -> None:
    """Refuse a value that states none or several of the fields; an empty list states nothing."""
    if sum(getattr(value, field) not in (None, ()) for field in fields) != 1:
        raise ValueError(f"state exactly one of {', '.join(fields)}")


def _problems(scenario: Scenario) -> Iterator[str]:
    """Yield what the fields say together that cannot be; on a cluster, rules of the CRD do."""
    if scenario.objectives.latency is None and scenario.objectives.throughput is None:
        yield "objectives must state at least one: add latency or throughput"
    batching = scenario.batching
    if batching.mode == "Fixed" and batching.initial is None:
        yield "batching.initial must be set with mode Fixed"
    yield from _limit_problems(batching)
    most = batching.limits.max_batch_size.max
    if scenario.service_time.largest < most:
        yield f"serviceTime.knots must reach batchSize {most}, the largest bound to be tried"
    if scenario.arrivals.expected_per_second * scenario.duration_s > MAX_REQUESTS:
        yield f"arrivals: more than {MAX_REQUESTS} requests may arrive; lower windows or a rate"


def _limit_problems(batching: BatchingSpec) -> Iterator[str]:
    bounds = batching.limits
    pairs = (
        ("maxBatchSize", bounds.max_batch_size),
        ("maxQueueDelayMicroseconds", bounds.max_queue_delay_microseconds),
        ("instances", bounds.instances),
    )
    initial = {} if batching.initial is None else batching.initial.as_dict()
    for field, allowed in pairs:
        if allowed.min > allowed.max:
            yield f"batching.limits.{field}.min must not exceed batching.limits.{field}.max"
        if field in initial and not allowed.min <= initial[field] <= allowed.max:
            yield f"batching.initial.{field} must lie within batching.limits.{field}"
