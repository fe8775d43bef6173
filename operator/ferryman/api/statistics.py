"""What one look at a Triton server showed: values that adapters produce and decisions consume."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from ferryman.api.batching import Batching


@dataclass(frozen=True, slots=True)
class Statistics:
    """Cumulative counters of one model on one Triton server at one moment.

    All counters can fall back to zero: ``batch_stats`` do at every reload, all do at a restart.
    Durations are in nanoseconds, as in Triton's statistics extension; ``now_s`` is the
    reader's clock in seconds.
    """

    now_s: float
    inference_count: int
    """Inferences that were executed; a request that carries a batch of n counts n."""
    success_count: int
    """Requests that succeeded."""
    success_ns: int
    """Sum of their durations in the server."""
    failure_count: int
    """Requests that failed, rejected ones left out where ``rejected_count`` is known."""
    queue_ns: int
    execution_count: int
    """Model executions: one per batch."""
    batches: Mapping[int, tuple[int, int]] = field(default_factory=dict)
    """Executed batch size -> (executions, sum of compute time input+infer+output in ns)."""
    latency_quantiles_us: Mapping[int, float] = field(default_factory=dict)
    """Percentile (50, 90, 95, 99) -> microseconds over Triton's sliding 60 s; may be empty."""
    rejected_count: int | None = 0
    """Requests that the queue policy rejected because they waited for too long.

    None where Triton does not say; ``failure_count`` then holds them. Requests that find a full
    queue are counted nowhere in Triton.
    """
    pending: int | None = None
    """Requests waiting in the queue, or None where Triton does not say. Of all copies of the model:
    one that a reload replaced keeps those that waited then."""
    answered_by_all: int | None = None
    """Requests that succeeded, of all copies since the server started; None where Triton does not
    say. ``success_count`` is of the present one."""
    cancelled_count: int = 0
    """Requests that their clients gave up, where ``failure_count`` does not hold them."""
    cached_count: int = 0
    """Requests that the response cache answered: successes without inference or execution."""
    cached_ns: int = 0
    """What that took, within ``success_ns``."""


@dataclass(frozen=True, slots=True)
class ServerModel:
    """A model on one Triton server as the operator found it."""

    ready: bool
    reason: str = ""
    """Triton's own words for why the model is not ready."""
    batching: Batching | None = None
    """The configuration in force, or None when the model is not ready."""
    batchable: bool = True
    """False when the graph itself cannot be batched (max_batch_size is 0)."""
    instances_known: bool = True
    """False when instance groups differ, so that ``batching.instances`` says nothing."""
    instances: int | None = None
    """Of the main instance group, also of a model that has no batching; None: not ready."""
    largest_batch_size: int | None = None
    """Triton's own bound, where a live cap lies below it; ``batching`` then has the cap's start.

    None: there is no live cap of Ferryman's.
    """
    variable_inputs: bool = False
    """Whether Triton looks at its queue at every request, as an input has a variable dimension."""
    shape_tensors: bool = False
    """Whether an input is a shape tensor: Triton's batches of it cannot be counted."""


@dataclass(frozen=True, slots=True)
class Counted:
    """What a server counted of one model: since it was loaded, or between two looks."""

    requests: int = 0
    queue_ns: int = 0
    input_ns: int = 0
    """Inputs are put together."""
    infer_ns: int = 0
    output_ns: int = 0
    """Answers are taken apart."""
    total_ns: int = 0
    """From the request to the answer."""

    def since(self, before: "Counted") -> "Counted":
        """Return what was counted after an earlier look."""
        return Counted(
            self.requests - before.requests,
            self.queue_ns - before.queue_ns,
            self.input_ns - before.input_ns,
            self.infer_ns - before.infer_ns,
            self.output_ns - before.output_ns,
            self.total_ns - before.total_ns,
        )
