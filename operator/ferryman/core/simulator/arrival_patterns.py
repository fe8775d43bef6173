"""How requests arrive in a scenario: the types of its file; ``arrivals`` draws from them."""

from collections.abc import Iterator
from itertools import accumulate
from typing import Annotated, Self

from pydantic import Field, model_validator

from ferryman.api.base import ApiType

Rate = Annotated[float, Field(ge=0, le=1_000_000)]
PositiveRate = Annotated[float, Field(gt=0, le=1_000_000)]
Seconds = Annotated[float, Field(ge=0.1, le=1_000_000)]


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


class StepArrivals(ApiType):
    """Poisson arrivals at one rate for some time."""

    seconds: Seconds
    rate_per_second: Rate


class Trace(ApiType):
    """Recorded inter-arrival times, repeated where they are too few."""

    file: Annotated[str, Field(min_length=1, max_length=4096)]
    """A text file with a number of seconds on each line, beside the scenario's file."""
    rate_per_second: PositiveRate | None = None
    """The mean rate to which the gaps are scaled; None: as they were recorded."""
    skip: Annotated[int, Field(ge=0, le=100_000_000)] = 0
    """So many gaps are left out at the beginning of the replay; their turn comes at its end."""


class Arrivals(ApiType):
    """How requests arrive: one of four ways."""

    poisson: Poisson | None = None
    mmpp: Mmpp | None = None
    steps: Annotated[tuple[StepArrivals, ...], Field(max_length=1000)] | None = None
    trace: Trace | None = None

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        ways = (self.poisson, self.mmpp, self.steps, self.trace)
        if sum(way not in (None, ()) for way in ways) != 1:
            raise ValueError("state exactly one of poisson, mmpp, steps, trace")
        return self

    @property
    def expected_per_second(self) -> float:
        """At most so many arrive per second in the long run; 0 for a trace as it was recorded."""
        if self.poisson is not None:
            return self.poisson.rate_per_second
        if self.mmpp is not None:
            return self.mmpp.mean_rate_per_second
        if self.trace is not None:
            return self.trace.rate_per_second or 0.0
        return max((step.rate_per_second for step in self.steps or ()), default=0.0)

    def expected(self, duration_s: float) -> float:
        """How many arrive in the long run within a duration; 0 for a trace as it was recorded."""
        if not self.steps:
            return self.expected_per_second * duration_s
        expected, left_s = 0.0, duration_s
        for step in self.steps:
            expected += step.rate_per_second * min(step.seconds, left_s)
            left_s -= min(step.seconds, left_s)
        # The last step lasts to the end.
        return expected + self.steps[-1].rate_per_second * left_s

    @property
    def changes_at_s(self) -> Iterator[float]:
        """The moments at which one step ends and the next begins."""
        return accumulate(step.seconds for step in (self.steps or ())[:-1])
