"""The values of the digital twin: the batcher's configuration, where it stands, what it began.

queueing.py serves requests with them.
All times are in seconds.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import inf
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ferryman.api.batching import Batching

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Booleans = NDArray[np.bool_]

_US_PER_S: Final = 1e6
_NO_MOMENTS: Final = np.empty(0, dtype=np.float64)
_NOBODY: Final = np.empty(0, dtype=np.int64)


@dataclass(frozen=True, slots=True)
class Batcher:
    """One configuration of the dynamic batcher, and how long batches take under it.

    Raises ValueError when a batch within the bound has no service time, a service time is not
    positive, or a preferred size is not within the bound.
    """

    batching: Batching
    service_s: tuple[float, ...]
    """tau(b) of b = 1, 2, …, at least up to the bound."""
    parallelism: float = inf
    """So many batches run at once without slowing each other down (instances.py)."""
    variable_inputs: bool = False
    """Whether an input has a variable dimension besides the batch: every arrival wakes Triton."""

    def __post_init__(self) -> None:
        bound = self.batching.max_batch_size
        if len(self.service_s) < bound:
            raise ValueError(f"{len(self.service_s)} service times do not reach bound {bound}")
        if min(self.service_s) <= 0:
            raise ValueError("service times must be greater than 0")
        if not all(1 <= size <= bound for size in self.batching.preferred_batch_size):
            raise ValueError(f"preferred sizes must be from 1 to the bound, {bound}")

    @property
    def preferred(self) -> tuple[int, ...]:
        """Preferred batch sizes, ascending; with none configured, Triton prefers the bound."""
        sizes = self.batching.preferred_batch_size or (self.batching.max_batch_size,)
        return tuple(sorted(set(sizes)))

    @property
    def delay_s(self) -> float:
        """How long a request may wait for others to fill its batch."""
        return self.batching.max_queue_delay_microseconds / _US_PER_S

    @property
    def timeout_s(self) -> float:
        """When a waiting request is rejected; infinite where none is."""
        return (self.batching.default_timeout_microseconds or inf) / _US_PER_S

    @property
    def shares(self) -> bool:
        """Whether batches that run at once slow each other down."""
        return self.parallelism < inf

    @property
    def has_queue_policy(self) -> bool:
        """Whether requests can be rejected."""
        batching = self.batching
        return bool(batching.default_timeout_microseconds or batching.max_queue_size)


@dataclass(frozen=True, slots=True)
class Formed:
    """Batches that are formed and wait for an instance, where sizes are preferred."""

    sizes: tuple[int, ...] = ()
    """Of each, its requests."""
    is_open: bool = False
    """Whether others may join the last of them."""
    wanted: int = 0
    """So many requests must wait beside them before an arrival wakes the batcher."""
    looks_s: float = inf
    """When it wakes by itself."""
    seen: int = 0
    """The first request that had not arrived when it last looked."""


@dataclass(frozen=True, slots=True, eq=False)
class RunningBatch:
    """A batch that shares a processor with others: when it ends is not known yet."""

    start_s: float
    requests: Integers
    left_s: float
    """What is left of it as of ``seen_s``, were it alone."""
    seen_s: float


@dataclass(frozen=True, slots=True)
class State:
    """Where the batcher stands between two batches."""

    head: int
    """The first request that has neither begun nor was rejected nor is ``held``."""
    free_s: tuple[float, ...]
    """When each instance is idle."""
    turned_s: float = -inf
    """When Triton could begin to form the next batch."""
    recent_s: tuple[float, ...] = ()
    """When the latest batches began, ascending: those that may be formed before they begin."""
    held: tuple[int, ...] = ()
    """Under a queue policy: the requests before ``head`` that wait, ascending."""
    formed: Formed | None = None
    """With preferred sizes: what is formed; None before the batcher first looks."""
    running: tuple[RunningBatch, ...] = ()
    """Where instances share a processor: the batches that run."""

    def with_instances(self, instances: int, now_s: float) -> "State":
        """Return the state with another number of instances, and forget which batches are formed.

        Those added are idle from now on; those removed are the first to finish, so that what
        is under way is not forgotten. What waits is batched anew, from now on.
        """
        added = (now_s,) * (instances - len(self.free_s))
        free_s = tuple(sorted((*self.free_s, *added)))[-instances:]
        return State(self.head, free_s, turned_s=now_s, held=self.held, running=self.running)

    def undisturbed(self, instances: int) -> "State":
        """Return the state in which nothing begins before all is over that is known to end.

        Where instances share a processor, that is slowed by nothing any more.
        """
        return State(self.head, (max(self.free_s),) * max(instances, len(self.free_s)))


def idle(instances: int) -> State:
    """Return the state before the first request."""
    return State(0, (0.0,) * instances)


@dataclass(frozen=True, slots=True)
class Span:
    """The requests that take part, and until when batches begin."""

    arrivals_s: list[float]
    stop: int
    """The first request that does not take part."""
    until_s: float
    noise: Sequence[float]
    """For each request: how much longer than usual a batch takes that begins with it."""


@dataclass(frozen=True, slots=True)
class Batches:
    """Executed batches in the order in which they began, and who was rejected meanwhile.

    Requests are positions among the arrivals.
    """

    starts_s: Floats
    ends_s: Floats
    sizes: Integers
    requests: Integers
    """The requests of the first batch, of the second, …: ascending."""
    rejected: Integers
    """The requests that the queue policy rejected, in the order in which it did."""
    rejected_s: Floats
    """When it did."""

    @classmethod
    def of(
        cls,
        starts_s: Floats,
        ends_s: Floats,
        sizes: Integers,
        requests: Integers,
        rejected: Iterable[tuple[int, float]] = (),
    ) -> "Batches":
        """Return batches, and who was rejected when."""
        turned_away = list(rejected)
        return cls(
            starts_s=starts_s,
            ends_s=ends_s,
            sizes=sizes,
            requests=requests,
            rejected=np.array([number for number, _ in turned_away], dtype=np.int64),
            rejected_s=np.array([at_s for _, at_s in turned_away], dtype=np.float64),
        )

    @classmethod
    def concatenated(cls, parts: Sequence["Batches"]) -> "Batches":
        """Return several as one, in their order; none as none."""
        if not parts:
            return cls(_NO_MOMENTS, _NO_MOMENTS, _NOBODY, _NOBODY, _NOBODY, _NO_MOMENTS)
        return cls(
            starts_s=np.concatenate([part.starts_s for part in parts]),
            ends_s=np.concatenate([part.ends_s for part in parts]),
            sizes=np.concatenate([part.sizes for part in parts]),
            requests=np.concatenate([part.requests for part in parts]),
            rejected=np.concatenate([part.rejected for part in parts]),
            rejected_s=np.concatenate([part.rejected_s for part in parts]),
        )

    def split(self, at_s: float) -> tuple["Batches", "Batches"]:
        """Return what was over by a moment, answered or rejected, and what was not."""
        ended, rejected = self.ends_s <= at_s, self.rejected_s <= at_s
        return self._only(ended, rejected), self._only(~ended, ~rejected)

    def up_to(self, size: float) -> tuple["Batches", "Batches"]:
        """Return the batches up to a size, with all who were rejected, and the larger ones."""
        small, rejected = self.sizes <= size, np.ones(self.rejected.size, dtype=np.bool_)
        return self._only(small, rejected), self._only(~small, ~rejected)

    def _only(self, ended: Booleans, rejected: Booleans) -> "Batches":
        return Batches(
            starts_s=self.starts_s[ended],
            ends_s=self.ends_s[ended],
            sizes=self.sizes[ended],
            requests=self.requests[np.repeat(ended, self.sizes)],
            rejected=self.rejected[rejected],
            rejected_s=self.rejected_s[rejected],
        )


@dataclass(frozen=True, slots=True)
class BatchOutcome:
    """What became of all requests: latencies of those answered, in order of arrival; batches."""

    latencies_s: Floats
    batches: Batches
