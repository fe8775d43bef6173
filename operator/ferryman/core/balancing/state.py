"""What the balancer is told of a pipeline, and what it remembers between windows."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from ferryman.api.batching import Batching, BatchingLimits
from ferryman.api.objectives import Objectives
from ferryman.core.balancing.profile import Resources
from ferryman.core.tuners.learned.drift import DriftDetector
from ferryman.core.tuners.learned.service_time import ServiceTimes

#: Step -> what it has in force, or is to have, in each pod.
Assignment = Mapping[str, Batching]


@dataclass(frozen=True, slots=True)
class StepSetup:
    """What the specification and the servers say of a step."""

    name: str
    after: tuple[str, ...] = ()
    """The steps whose outputs it reads."""
    limits: BatchingLimits = field(default_factory=BatchingLimits)
    memory_bytes: int | None = None
    """What each instance of it holds; None where that is unknown."""
    live_cap: bool = False
    """Whether its bound can be changed without a reload; else the bound stays as it is."""


@dataclass(frozen=True, slots=True)
class BalancingRules:
    """What binds the balancer."""

    steps: tuple[StepSetup, ...]
    """In an order in which each comes after those that it reads."""
    resources: Resources = field(default_factory=Resources)
    """Of each pod."""
    objectives: Objectives | None = None
    """Of the pipeline from end to end, over all pods."""


@dataclass(frozen=True, slots=True)
class LearnedStep:
    """What windows showed of a step."""

    service: ServiceTimes = field(default_factory=ServiceTimes)
    drift: DriftDetector = field(default_factory=DriftDetector)
    visits: float | None = None
    """Rows per request of the pipeline."""
    cpu_s_per_row: float | None = None


@dataclass(frozen=True, slots=True)
class BalancingTrial:
    """A change whose effect is not verified yet."""

    before: Assignment
    after: Assignment
    served_per_s: float
    """Requests of the pipeline a second and pod in the window before."""
    in_flight: float
    """Requests that were under way in it, on average."""
    predicted_per_s: float
    """What the change was to make possible."""
    unsettled: tuple[str, ...] = ()
    """Steps that were changing in that window: what they take now tells nothing of the change."""


@dataclass(frozen=True, slots=True)
class Ceiling:
    """What a pod was seen not to exceed: there what was added did not help.

    It holds until load or steps change, and nothing is added while it is reached.
    """

    rate_per_s: float
    """Requests of the pipeline a second and pod."""
    offered_per_s: float
    """What was asked then."""
    in_flight: float
    """Requests that were under way then, on average."""


@dataclass(frozen=True, slots=True)
class BalancerState:
    """What the balancer remembers. It may be lost: it then learns afresh."""

    steps: Mapping[str, LearnedStep] = field(default_factory=dict)
    seen: Assignment | None = None
    """What was in force in the latest window that was learned from."""
    trial: BalancingTrial | None = None
    ceiling: Ceiling | None = None
    spare_windows: int = 0
    """Windows in a row in which fewer instances would have done."""
