"""What is known of a pipeline's steps and of what they run on: the input of every computation.

Rates are requests of the pipeline per second and pod; a *row* is one inference of a step.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Self

from ferryman.api.batching import InstanceLimits
from ferryman.core.queue_model.service_curve import CurvePoint, curve_ms

_MS_PER_S = 1e3


@dataclass(frozen=True, slots=True)
class Resources:
    """What one pod may use; None where that is unknown or unbounded, and then it limits nothing."""

    memory_bytes: int | None = None
    """For the instances of all steps together."""
    processors: float | None = None
    """K: processor seconds per second."""
    ceiling_per_s: float | None = None
    """Requests a second that the pod was seen not to exceed, whatever the instances."""


@dataclass(frozen=True)
class StepProfile:
    """One step: where it stands, what a request asks of it, and what its batches take.

    Raises ValueError when visits or a service time are not positive, or memory or processor
    time are negative.
    """

    name: str
    service_s: tuple[float, ...]
    """tau(1), tau(2), …, tau(bound): its last entry is of the largest batch that may run."""
    visits: float = 1.0
    """v: rows of this step per request of the pipeline."""
    after: tuple[str, ...] = ()
    """The steps whose outputs it reads."""
    memory_bytes: int | None = None
    """What each instance holds; None where that is unknown."""
    cpu_s_per_row: float | None = None
    """p: processor time of a row; None where that is unknown."""
    limits: InstanceLimits = field(default_factory=InstanceLimits)

    def __post_init__(self) -> None:
        if self.visits <= 0 or not self.service_s or min(self.service_s) <= 0:
            raise ValueError(f"{self.name}: visits and service times must be greater than 0")
        if (self.memory_bytes or 0) < 0 or (self.cpu_s_per_row or 0.0) < 0:
            raise ValueError(f"{self.name}: memory and processor time must be at least 0")

    @classmethod
    def of_points(
        cls,
        name: str,
        points: Sequence[CurvePoint],
        bound: int,
        *,
        visits: float = 1.0,
        after: tuple[str, ...] = (),
        limits: InstanceLimits | None = None,
    ) -> Self:
        """Return the profile of a step of which batch sizes were measured, straight between them.

        Beyond the largest a batch takes as long as that one, so that the bound should be one of
        those measured.
        """
        service_s = tuple(each / _MS_PER_S for each in curve_ms(points, None, bound))
        return cls(name, service_s, visits, after, limits=limits or InstanceLimits())

    @property
    def bound(self) -> int:
        """The largest batch that may run."""
        return len(self.service_s)

    @cached_property
    def rate_per_instance(self) -> float:
        """R = b / (v·tau(b)): requests a second that keep one instance busy with full batches."""
        return self.bound / (self.visits * self.service_s[-1])

    def most_instances(self, resources: Resources) -> int:
        """Return how many instances it may have.

        The fewest where memory is limited and what an instance holds is unknown.
        """
        if resources.memory_bytes is not None and self.memory_bytes is None:
            return self.limits.min
        return self.limits.max

    def bounded(self, bound: int) -> "StepProfile":
        """Return the step under a smaller bound. Raises ValueError for one that is not known."""
        if not 1 <= bound <= self.bound:
            raise ValueError(f"{self.name}: no service time of bound {bound}")
        return StepProfile(
            self.name,
            self.service_s[:bound],
            self.visits,
            self.after,
            self.memory_bytes,
            self.cpu_s_per_row,
            self.limits,
        )


def cpu_s_per_request(steps: Sequence[StepProfile]) -> float | None:
    """Return the sum of v·p: processor time of a request; None where a step's is unknown."""
    known = [step.visits * step.cpu_s_per_row for step in steps if step.cpu_s_per_row is not None]
    return sum(known) if len(known) == len(steps) else None


def ceiling_per_s(steps: Sequence[StepProfile], resources: Resources) -> float | None:
    """Return the rate that no assignment exceeds: K / sum(v·p), or what was seen; None: neither."""
    cpu_s = cpu_s_per_request(steps)
    computed = resources.processors / cpu_s if resources.processors and cpu_s else None
    known = [each for each in (computed, resources.ceiling_per_s) if each is not None]
    return min(known, default=None)
