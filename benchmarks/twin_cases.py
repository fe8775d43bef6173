"""The configurations under which the digital twin is held against a real Triton."""

from dataclasses import dataclass
from typing import Final

from ferryman.api.batching import Batching

DELAYS_US: Final = (0, 5_000, 20_000)
IDLE_RATE_PER_S: Final = 20
_US_PER_MS: Final = 1_000


@dataclass(frozen=True, slots=True)
class Service:
    """A sleeper: tau(b) = fixed_us + per_item_us * b microseconds."""

    name: str
    fixed_us: int
    per_item_us: int

    def capacity_per_s(self, batching: Batching) -> float:
        """Return how many requests a second full batches on all instances serve."""
        bound = batching.max_batch_size
        return batching.instances * bound * 1e6 / (self.fixed_us + self.per_item_us * bound)


@dataclass(frozen=True, slots=True)
class Case:
    """One configuration, and the share of its capacity that is offered."""

    service: Service
    batching: Batching
    load: float

    @property
    def rate_per_s(self) -> float:
        """Offered requests per second."""
        return self.load * self.service.capacity_per_s(self.batching)

    def __str__(self) -> str:
        batching = self.batching
        preferred = " and ".join(map(str, batching.preferred_batch_size))
        timeout_ms = batching.default_timeout_microseconds // _US_PER_MS
        parts = (
            f"{self.service.name}, bound {batching.max_batch_size}",
            f"preferred {preferred}" if preferred else "",
            f"delay {batching.max_queue_delay_microseconds // _US_PER_MS} ms",
            f"timeout {timeout_ms} ms" if timeout_ms else "",
            f"queue {batching.max_queue_size}" if batching.max_queue_size else "",
            f"{batching.instances} instance(s), load {self.load}",
        )
        return ", ".join(filter(None, parts))


QUICK: Final = Service("quick", 8_000, 1_000)
FLAT: Final = Service("flat", 20_000, 500)
SLOW: Final = Service("slow", 40_000, 4_000)
SERVICES: Final = (QUICK, FLAT, SLOW)
#: Service, bound, instances, and the load at each of the delays. Rates stay below 250/s, so
#: that the generator and Triton are far from the limits of two cores.
ROWS: Final = (
    (QUICK, 1, 1, (0.5, 0.85, 0.7)),
    (QUICK, 2, 2, (0.3, 0.6, 0.45)),
    (QUICK, 4, 1, (0.45, 0.7, 0.6)),
    (QUICK, 16, 1, (0.35, 0.3, 0.35)),
    (FLAT, 1, 2, (0.85, 0.3, 0.6)),
    (FLAT, 2, 1, (0.7, 0.5, 0.85)),
    (FLAT, 4, 2, (0.6, 0.3, 0.5)),
    (FLAT, 8, 1, (0.6, 0.3, 0.7)),
    (SLOW, 8, 2, (0.85, 0.5, 0.7)),
    (SLOW, 16, 2, (0.5, 0.7, 0.3)),
    (SLOW, 32, 1, (0.85, 0.3, 0.6)),
    (SLOW, 32, 2, (0.3, 0.45, 0.6)),
)
PLAIN: Final = tuple(
    Case(
        service,
        Batching(max_batch_size=bound, max_queue_delay_microseconds=delay_us, instances=instances),
        share,
    )
    for service, bound, instances, shares in ROWS
    for delay_us, share in zip(DELAYS_US, shares, strict=True)
)
#: Sizes that are run at once when they can be filled.
PREFERRED: Final = (
    Case(
        FLAT,
        Batching(max_batch_size=8, preferred_batch_size=(4,)),
        0.6,
    ),
    Case(
        SLOW,
        Batching(
            max_batch_size=16, preferred_batch_size=(4, 8), max_queue_delay_microseconds=20_000
        ),
        0.6,
    ),
    Case(
        SLOW,
        Batching(
            max_batch_size=32,
            preferred_batch_size=(8, 16),
            max_queue_delay_microseconds=20_000,
            instances=2,
        ),
        0.45,
    ),
)


def _rejecting(
    delay_us: int, timeout_ms: int, room: int, *, bound: int, instances: int
) -> Batching:
    return Batching(
        max_batch_size=bound,
        max_queue_delay_microseconds=delay_us,
        instances=instances,
        default_timeout_microseconds=timeout_ms * _US_PER_MS,
        max_queue_size=room,
    )


#: Queue policies, most of them overloaded.
REJECTING: Final = (
    Case(QUICK, _rejecting(0, 20, 0, bound=2, instances=1), 1.2),
    Case(FLAT, _rejecting(0, 30, 0, bound=4, instances=1), 1.35),
    Case(FLAT, _rejecting(5_000, 50, 0, bound=4, instances=1), 1.35),
    Case(SLOW, _rejecting(20_000, 100, 0, bound=8, instances=1), 1.35),
    Case(FLAT, _rejecting(0, 15, 0, bound=2, instances=2), 0.9),
    Case(SLOW, _rejecting(0, 0, 12, bound=8, instances=1), 1.35),
    Case(FLAT, _rejecting(20_000, 60, 8, bound=4, instances=1), 1.2),
)
CASES: Final = (*PLAIN, *PREFERRED, *REJECTING)
IDLE: Final = Case(
    QUICK, Batching(max_batch_size=1), IDLE_RATE_PER_S * (QUICK.fixed_us + QUICK.per_item_us) / 1e6
)
