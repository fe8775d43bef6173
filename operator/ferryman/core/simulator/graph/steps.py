"""The values of a simulated pipeline: its steps, what they run on, and what is asked of them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ferryman.api.batching import Batching
from ferryman.core.simulator.figures import Floats


@dataclass(frozen=True, slots=True)
class SimulatedStep:
    """One step as it really is; the balancer sees its counters alone.

    Raises ValueError when a service time is not positive, or a request has no rows.
    """

    name: str
    service_s: tuple[float, ...]
    """tau(1), tau(2), … of one instance that has the processors to itself."""
    after: tuple[str, ...] = ()
    """The steps whose outputs it reads."""
    rows: tuple[int, ...] = (1,)
    """Rows of one request, of the next, …, again and again."""
    processors: float = 0.0
    """Processors that a batch keeps busy while it runs; 0: it only waits, for a device perhaps."""

    def __post_init__(self) -> None:
        if not self.service_s or min(self.service_s) <= 0:
            raise ValueError(f"{self.name}: service times must be greater than 0")
        if not self.rows or min(self.rows) < 1:
            raise ValueError(f"{self.name}: a request has at least one row")

    def seconds(self, rows: int) -> float:
        """Return what a batch takes; beyond the curve each row as much as in its last batch."""
        known = len(self.service_s)
        if rows <= known:
            return self.service_s[rows - 1]
        return self.service_s[-1] * rows / known

    def rows_of(self, request: int) -> int:
        """Return the rows of a request, by its number."""
        return self.rows[request % len(self.rows)]


@dataclass(frozen=True, slots=True)
class PipelineLoad:
    """What clients ask: at moments of their own, or again as soon as they are answered."""

    arrivals_s: tuple[float, ...] = ()
    """Ascending."""
    clients: int = 0
    """Each sends its next request as soon as it has the answer to the one before."""


@dataclass(frozen=True, slots=True)
class SimulatedPipeline:
    """Steps, of which each comes after those that it reads, and what they share.

    Raises ValueError where one does not.
    """

    steps: tuple[SimulatedStep, ...]
    processors: float | None = None
    """K: processors that the batches share when they want more; None: there are enough."""

    def __post_init__(self) -> None:
        known: set[str] = set()
        for step in self.steps:
            if not known.issuperset(step.after):
                raise ValueError(f"{step.name} reads a step that does not come before it")
            known.add(step.name)

    def unbatched(self) -> dict[str, Batching]:
        """Return one instance of each step, and batches of one request."""
        return {s.name: Batching(max_batch_size=max(s.rows)) for s in self.steps}


@dataclass(frozen=True, slots=True)
class Answered:
    """When requests of a pipeline were sent and answered, in the order of their answers."""

    arrivals_s: Floats
    ends_s: Floats

    @classmethod
    def of(cls, pairs: Sequence[tuple[float, float]]) -> "Answered":
        """Return it from pairs of moments."""
        both = np.array(pairs, dtype=np.float64).reshape(-1, 2)
        return cls(both[:, 0], both[:, 1])

    def rate_per_s(self, from_s: float, until_s: float) -> float:
        """Return how many were answered per second in an interval."""
        within = (self.ends_s > from_s) & (self.ends_s <= until_s)
        return float(within.sum()) / (until_s - from_s)
