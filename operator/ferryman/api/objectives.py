"""What a model is to meet: a percentile of latency, a throughput, or both."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from ferryman.api import rules
from ferryman.api.base import ApiType
from ferryman.api.crd import rules as carry

Percentile = Literal[50, 90, 95, 99]


class LatencyObjective(ApiType):
    """The percentile of Triton's request duration and its target."""

    percentile: Percentile = 99
    """Which percentile of the request duration is held against the target."""
    target_milliseconds: Annotated[int, Field(ge=1, le=600_000)]
    """The percentile must not exceed this."""


class ThroughputObjective(ApiType):
    """The least number of inferences per second, summed over all replicas."""

    min_per_second: Annotated[int, Field(ge=1, le=10_000_000)]
    """Inferences per second; a request with a batch of n counts n."""


class Objectives(ApiType):
    """What is to be met: latency, throughput, or both; at least one."""

    model_config = ConfigDict(json_schema_extra=carry(*rules.OBJECTIVES))

    latency: LatencyObjective | None = None
    throughput: ThroughputObjective | None = None

    @property
    def percentile(self) -> int:
        """The percentile of latency that is watched: the objective's, 99 where there is none."""
        return 99 if self.latency is None else self.latency.percentile
