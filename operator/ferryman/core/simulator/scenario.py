"""What a simulation is given: the model's service times, its load, objectives and batching.

The fields are described, with an example, in docs/scenario-format.md. Batching and objectives
are those of an InferenceModel, so that a part of one can be pasted.
"""

from collections.abc import Iterator
from typing import Annotated, Final, Self

from pydantic import Field, model_validator

from ferryman.api.base import ApiType
from ferryman.api.batching import MAX_BATCH_SIZE, Actuator, Batching, BatchingSpec
from ferryman.api.model_source import TritonConfig
from ferryman.api.objectives import Objectives
from ferryman.api.scaling import ScalingSpec
from ferryman.core.batching.limits import start
from ferryman.core.errors import RejectedError
from ferryman.core.queue_model.service_curve import ServiceTime
from ferryman.core.simulator.arrival_patterns import Arrivals
from ferryman.core.triton import config as triton_config

#: More requests than this take minutes for each configuration of the oracle's grid.
MAX_REQUESTS: Final = 20_000_000
MAX_REPLICAS: Final = 100
MAX_SEED: Final = 2**63 - 1


class Reload(ApiType):
    """How long a change takes; the configuration of before serves until it is over."""

    load_seconds: Annotated[float, Field(ge=0, le=3_600)] = 2.0
    """A reload. A trivial model on Triton 2.51 took 1.4 to 2.2 s."""
    in_place_seconds: Annotated[float, Field(ge=0, le=3_600)] = 0.2
    """A change of the number of instances only. It took 0.16 s."""
    live_cap_seconds: Annotated[float, Field(ge=0, le=3_600)] = 1.0
    """A change of the bound alone, where there is a live cap: until the pod sees it."""

    def seconds(self, actuator: Actuator) -> float:
        """Return how long a change takes by an actuator."""
        takes: dict[Actuator, float] = {
            "LiveCap": self.live_cap_seconds,
            "InPlace": self.in_place_seconds,
            "Reload": self.load_seconds,
        }
        return takes[actuator]


class Scenario(ApiType):
    """A model under load, for so many windows."""

    service_time: ServiceTime
    max_working_batch: Annotated[int, Field(ge=1, le=MAX_BATCH_SIZE)] | None = None
    """Larger batches fail for lack of memory, with all of their requests; None: none does."""
    arrivals: Arrivals
    objectives: Objectives
    batching: BatchingSpec = BatchingSpec()
    variable_inputs: bool = False
    """Whether an input has a variable dimension besides the batch; all requests have the same."""
    config: TritonConfig = Field(default_factory=dict)
    """The model's own Triton configuration: what it states of batching stays."""
    windows: Annotated[int, Field(ge=1, le=10_000)] = 100
    window_seconds: Annotated[int, Field(ge=1, le=3_600)] = 30
    reload: Reload = Reload()
    live_cap: bool = False
    """Whether pods have the live cap: the bound alone then changes without a reload."""
    replicas: Annotated[int, Field(ge=1, le=MAX_REPLICAS)] = 1
    """Triton pods; requests are dealt out to them at random."""
    scaling: ScalingSpec | None = None
    """As in an InferenceModel: replicas is where it begins; None: their number stays."""
    pod_start_seconds: Annotated[float, Field(ge=0, le=3_600)] = 30.0
    """How long a pod that is added takes until it serves."""
    seed: Annotated[int, Field(ge=0, le=MAX_SEED)] = 0

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        problem = next(_problems(self), None)
        if problem is not None:
            raise ValueError(problem)
        return self.with_(batching=triton_config.within(self.config, self.batching))

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
        return self.in_effect(start(self.batching))

    def in_effect(self, batching: Batching) -> Batching:
        """Return a batching as it comes into force under the model's own configuration."""
        return triton_config.in_effect(self.config, batching)

    @property
    def turns_s(self) -> tuple[float, ...]:
        """The moments within the run at which load or service time change for good."""
        moments = sorted({*self.arrivals.changes_at_s, *map(float, self.service_time.factors)})
        return tuple(moment for moment in moments if moment < self.duration_s)

    @property
    def parallelism(self) -> float:
        """How many batches run at once without slowing each other down; infinite: all there are."""
        most = self.service_time.parallelism or float("inf")
        return most if most < self.batching.limits.instances.max else float("inf")


def _problems(scenario: Scenario) -> Iterator[str]:
    """Yield what the fields say together that cannot be; on a cluster, rules of the CRD do."""
    if scenario.objectives.latency is None and scenario.objectives.throughput is None:
        yield "objectives must state at least one: add latency or throughput"
    yield from _config_problems(scenario.config)
    batching = scenario.batching
    if batching.mode == "Fixed" and batching.initial is None:
        yield "batching.initial must be set with mode Fixed"
    if batching.warm_start != "Never":
        yield "batching.warmStart must be Never: a simulated model has no pods to measure first"
    yield from _limit_problems(batching)
    yield from _scaling_problems(scenario)
    if batching.window.min_seconds > batching.window.max_seconds:
        yield "batching.window.minSeconds must not exceed batching.window.maxSeconds"
    # No bound is smaller than the largest batch that the model is warmed up with.
    most = triton_config.within(scenario.config, batching).limits.max_batch_size.max
    if scenario.service_time.largest < most:
        yield f"serviceTime.knots must reach batchSize {most}, the largest bound to be tried"
    if scenario.arrivals.expected(scenario.duration_s) > MAX_REQUESTS:
        yield f"arrivals: more than {MAX_REQUESTS} requests may arrive; lower windows or a rate"


def _config_problems(config: TritonConfig) -> Iterator[str]:
    try:
        triton_config.expect_own(config)
        untunable = triton_config.refusal_to_tune(config)
    except RejectedError as error:
        yield str(error)
    else:
        if untunable is not None:
            yield untunable.message


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


def _scaling_problems(scenario: Scenario) -> Iterator[str]:
    scaling, batching = scenario.scaling, scenario.batching
    if scaling is None:
        return
    if scaling.min_replicas > scaling.max_replicas:
        yield "scaling.minReplicas must not exceed scaling.maxReplicas"
    if (batching.mode, batching.algorithm) != ("Auto", "Guarded"):
        yield "scaling needs batching.mode Auto with batching.algorithm Guarded"
