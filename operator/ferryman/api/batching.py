"""One configuration of Triton's dynamic batcher, and how it is to be tuned."""

from operator import not_
from typing import Annotated, Final, Literal, Self

from pydantic import ConfigDict, Field

from ferryman.api import rules
from ferryman.api.base import ApiType
from ferryman.api.crd import rules as carry

Actuator = Literal["LiveCap", "InPlace", "Reload"]


#: Recommenders run batches of tens of thousands. The tuner computes the service time of each
#: size up to the largest, some milliseconds of its time for so many.
MAX_BATCH_SIZE: Final = 65_536
#: Triton looks for each of them whenever it forms a batch.
MAX_PREFERRED_SIZES: Final = 64


class Batching(ApiType):
    """One configuration of Triton's dynamic batcher."""

    max_batch_size: Annotated[int, Field(ge=1, le=MAX_BATCH_SIZE)]
    """The batch size bound: Triton never runs a larger batch. At most 65,536, because the tuner
    computes the service time of every size up to it."""
    max_queue_delay_microseconds: Annotated[int, Field(ge=0, le=10_000_000)] = 0
    """How long a request may wait for others to fill the batch."""
    instances: Annotated[int, Field(ge=1, le=64)] = 1
    """Triton instances of the model in each pod."""
    preferred_batch_size: Annotated[
        tuple[Annotated[int, Field(ge=1, le=MAX_BATCH_SIZE)], ...],
        Field(max_length=MAX_PREFERRED_SIZES, exclude_if=not_),
    ] = ()
    """Sizes that are run at once when they can be filled, ascending; none: the bound alone.
    At most 64: Triton looks for each of them whenever it forms a batch."""
    default_timeout_microseconds: Annotated[int, Field(ge=0, le=600_000_000, exclude_if=not_)] = 0
    """A request that waited so long is rejected; 0: none ever is."""
    max_queue_size: Annotated[int, Field(ge=0, le=1_000_000, exclude_if=not_)] = 0
    """A request that finds so many waiting is rejected, which Triton counts nowhere; 0: none is."""

    def canonical(self) -> Self:
        """Return the batching as a server that has it in force shows it.

        Preferred sizes are ascending and within the bound; the bound alone is none at all,
        because that is what Triton completes a missing list to.
        """
        bound = self.max_batch_size
        sizes = tuple(sorted({size for size in self.preferred_batch_size if size <= bound}))
        sizes = () if sizes == (bound,) else sizes
        return (
            self if sizes == self.preferred_batch_size else self.with_(preferred_batch_size=sizes)
        )


class MaxBatchSizeLimits(ApiType):
    """The least and largest batch size bound that the tuner may choose."""

    model_config = ConfigDict(
        json_schema_extra=carry(*rules.ordered("min", "max", "limits.maxBatchSize"))
    )

    min: Annotated[int, Field(ge=1, le=MAX_BATCH_SIZE)] = 1
    """Never a smaller bound than this."""
    max: Annotated[int, Field(ge=1, le=MAX_BATCH_SIZE)] = 64
    """Never a larger bound than this: what the memory of the processor allows."""


class MaxQueueDelayLimits(ApiType):
    """The least and largest queue delay that the tuner may choose, in microseconds."""

    model_config = ConfigDict(
        json_schema_extra=carry(*rules.ordered("min", "max", "limits.maxQueueDelayMicroseconds"))
    )

    min: Annotated[int, Field(ge=0, le=10_000_000)] = 0
    """Never a shorter delay than this."""
    max: Annotated[int, Field(ge=0, le=10_000_000)] = 20_000
    """Never a longer delay than this."""


class InstanceLimits(ApiType):
    """The least and largest number of Triton instances per pod that the tuner may choose."""

    model_config = ConfigDict(
        json_schema_extra=carry(*rules.ordered("min", "max", "limits.instances"))
    )

    min: Annotated[int, Field(ge=1, le=64)] = 1
    """Never fewer instances than this."""
    max: Annotated[int, Field(ge=1, le=64)] = 4
    """Never more instances than this."""


class BatchingLimits(ApiType):
    """The space in which the tuner may move."""

    max_batch_size: MaxBatchSizeLimits = MaxBatchSizeLimits()
    max_queue_delay_microseconds: MaxQueueDelayLimits = MaxQueueDelayLimits()
    instances: InstanceLimits = InstanceLimits()


class TrendSettings(ApiType):
    """The Mann-Kendall trend: how many trajectory values make a decision."""

    samples: Annotated[int, Field(ge=3, le=100)] = 10
    """n: trajectory values before the bound moves; the Z of two values is always 0."""


class WindowSettings(ApiType):
    """When an observation window ends: after so many requests or seconds, not before the least."""

    model_config = ConfigDict(
        json_schema_extra=carry(*rules.ordered("minSeconds", "maxSeconds", "window"))
    )

    max_requests: Annotated[int, Field(ge=1, le=1_000_000)] = 1_000
    """The window ends after so many requests."""
    max_seconds: Annotated[int, Field(ge=1, le=3_600)] = 30
    """The window ends after so many seconds, however few the requests."""
    min_seconds: Annotated[int, Field(ge=1, le=3_600)] = 5
    """The window does not end earlier, however many the requests; with algorithm Guarded one does
    in which more requests wait than half of those served, after two seconds."""


class Guardrails(ApiType):
    """Bounds on how often a serving model is reloaded."""

    min_seconds_between_reloads: Annotated[int, Field(ge=0, le=86_400)] = 60
    """The least time from one reload to the next."""
    max_reloads_per_hour: Annotated[int, Field(ge=0, le=120)] = 4
    """Reloads in any hour; 0 forbids them."""


class BatchingSpec(ApiType):
    """How batching is tuned."""

    model_config = ConfigDict(json_schema_extra=carry(*rules.BATCHING))

    mode: Literal["Auto", "Recommend", "Fixed"] = "Auto"
    """Auto tunes; Recommend reports in status what it would apply; Fixed applies ``initial``."""
    algorithm: Literal["Guarded", "Trend"] = "Guarded"
    """Guarded: what a model of service time and queue predicts to be the cheapest configuration
    that meets the objectives, verified after each change. Trend: additive steps, confirmed by a
    Mann-Kendall trend over the trajectory."""
    prefer: Literal["Economy", "Latency"] = "Economy"
    """Of what meets the objectives. Economy: the least device time, for which requests may wait
    until a batch fills. Latency: the least queue delay that the limits allow, and device time is
    saved only by what makes nothing later. Trend, which changes the bound alone, knows neither:
    its delay is that of ``initial``."""
    on_overload: Literal["Queue", "Reject"] = "Queue"
    """What becomes of requests that cannot be answered in time: they queue, or are rejected."""
    warm_start: Literal["Never", "Benchmark"] = "Never"
    """Benchmark: before the model is Ready first, and while no client asks, the service times of
    batch sizes are measured on one of its pods, within half a minute, so that tuning begins with
    them. Guarded alone makes use of that. Never: it begins with what clients' requests show."""
    initial: Batching | None = None
    """Where tuning starts; with mode Fixed, what is applied and stays."""
    step: Annotated[int, Field(ge=1, le=64)] = 2
    """b_delta: how far one decision moves the batch size bound."""
    trend: TrendSettings = TrendSettings()
    window: WindowSettings = WindowSettings()
    limits: BatchingLimits = BatchingLimits()
    guardrails: Guardrails = Guardrails()

    @property
    def prefers_latency(self) -> bool:
        """Whether nothing may wait to save device time."""
        return self.prefer == "Latency"

    @property
    def sought(self) -> BatchingLimits:
        """The limits within which a configuration is looked for: no delay that nobody prefers."""
        delay = self.limits.max_queue_delay_microseconds
        if not self.prefers_latency:
            return self.limits
        return self.limits.with_(max_queue_delay_microseconds=delay.with_(max=delay.min))
