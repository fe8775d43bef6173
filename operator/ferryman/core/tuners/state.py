"""What a tuner answers after a window, and what it remembers until the next."""

from dataclasses import dataclass, field, replace
from typing import Final

from ferryman.api.batching import Batching
from ferryman.api.conditions import Reason
from ferryman.core.tuners.learned.demand import Demand
from ferryman.core.tuners.learned.drift import DriftDetector
from ferryman.core.tuners.learned.service_time import ServiceTimes
from ferryman.core.tuners.needs import Needs
from ferryman.core.tuners.protocol import Decision

#: For so long what failed is not tried again.
MEMORY_S: Final = 3600.0


@dataclass(frozen=True, slots=True)
class Trial:
    """A change whose effect is being verified."""

    before: Batching
    after: Batching
    mean_ms: float
    """The mean latency in the window before the change."""
    served_per_s: float
    """Inferences served per second in the window before the change."""
    service: ServiceTimes
    """What was known when it was decided: that prediction is judged, not what was learned since."""
    begun_at_s: float
    """When it was decided."""
    bad: int = 0
    """Windows in a row that were worse than predicted."""
    good: int = 0
    """Windows in a row that were not."""

    @property
    def grew(self) -> bool:
        """Whether the bound was raised."""
        return self.after.max_batch_size > self.before.max_batch_size


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The latest search for the best configuration: it is not repeated while nothing changed."""

    batching: Batching
    """What was applied."""
    rate_per_s: float
    """What clients asked of one pod in that window."""
    mean_per_s: float
    """What they asked of all of them as far back as is remembered."""
    service_ms: float
    """What a full batch took."""
    reason: Reason
    message: str
    needs: Needs
    windows: int = 0
    """Windows since."""
    patience: int = 1
    """Windows after which it is repeated although nothing changed."""


@dataclass(frozen=True, slots=True)
class Sizing:
    """The latest answer to how many replicas would still be enough."""

    pods: int
    """How many served."""
    rate_per_s: float
    """What clients asked of all of them."""
    service_ms: float
    """What a full batch took."""
    replicas: int
    windows: int = 0
    """Windows that it was the answer in."""


@dataclass(frozen=True, slots=True)
class Learned:
    """What ``Guarded`` knows about a model."""

    service: ServiceTimes = field(default_factory=ServiceTimes)
    drift: DriftDetector = field(default_factory=DriftDetector)
    demand: Demand = field(default_factory=Demand)
    trial: Trial | None = None
    leaving: Batching | None = None
    """What was taken back, while it still serves what waited before."""
    failed: tuple[tuple[Trial, float], ...] = ()
    """Changes that did worse than predicted, and until when (s) they are not tried again."""
    safe_bound: int | None = None
    """Larger batches failed."""
    suspected: float | None = None
    """The share of requests that failed when the bound was lowered for it, until it is seen
    whether that helped."""
    failing: float = 0.0
    """The share of requests that failed in the latest window."""
    missed_at_s: float | None = None
    """When a window last missed an objective, or a copy that was replaced answered who waited."""
    evaluation: Evaluation | None = None
    sizing: Sizing | None = None
    economised_s: tuple[float, ...] = ()
    """When changes were made only to save device time, in the last hour."""


@dataclass(frozen=True, slots=True)
class Subject:
    """What the tuner's knowledge is of: a file, and the node type that it runs on."""

    storage_uri: str
    """With the digest, where the owner states one."""
    model_format: str
    node_type: str
    processor: str

    def same_file(self, other: "Subject") -> bool:
        """Whether it is the same model, wherever it runs."""
        return (self.storage_uri, self.model_format) == (other.storage_uri, other.model_format)


@dataclass(frozen=True, slots=True)
class TunerState:
    """What the tuner remembers between windows. It may be lost: tuning then starts afresh."""

    trajectory: tuple[int, ...] = ()
    """Batch sizes; the first one is the applied bound that the trajectory started from."""
    met_in_a_row: int = 0
    """Windows since an objective was last missed."""
    learned: Learned = field(default_factory=Learned)
    subject: Subject | None = None
    """What all this is of; None where nobody said."""

    def collecting(self, trajectory: tuple[int, ...], *, met_in_a_row: int = 0) -> "TunerState":
        """Return the state with another trajectory."""
        return replace(self, trajectory=trajectory, met_in_a_row=met_in_a_row)


@dataclass(frozen=True, slots=True)
class TuneDecision(Decision):
    """The answer of the operator's own algorithms."""

    reason: Reason
    state: TunerState
    if_refused: TunerState | None = None


def with_bound(batching: Batching, bound: int) -> Batching:
    """Return the batching with another bound; preferred sizes beyond it are dropped."""
    return batching.with_(max_batch_size=bound).canonical()
