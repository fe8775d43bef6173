"""Which bounds may be tried: as far as what was run, and what failed, allows to guess."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, inf, log2
from typing import Final

from ferryman.api.batching import Batching, BatchingLimits
from ferryman.core.tuners.state import Trial

#: A bound may grow to so many times the largest batch that was ever seen: further the curve is
#: a guess.
GROWTH: Final = 4
#: … or, where hardly anything is in time, to so many times what would be enough at best.
SURE: Final = 2
#: A queue delay that failed is followed by one of this share of it, at most.
SHORTER: Final = 0.6
#: How far a bound may grow towards a knee.
SMALL_STEP: Final = 1.5


@dataclass(frozen=True, slots=True)
class Reach:
    """What limits the bound."""

    limits: BatchingLimits
    present: Batching
    seen: frozenset[int]
    """The batch sizes that were ever run."""
    safe_bound: int | None = None
    """No larger bound: such batches failed."""
    failed: tuple[Trial, ...] = ()
    """Changes that did worse than predicted."""
    rising: bool = True
    """Whether the largest size that was run is about the most efficient."""
    hoped: float = 0.0
    """Where hardly anything is in time: the bound that would be enough if larger batches took no
    longer. A smaller one cannot be."""

    @property
    def known(self) -> int:
        """The bound up to which nothing is a guess."""
        return max(self.present.max_batch_size, *self.seen, 0)

    @property
    def largest_bound(self) -> int:
        """The largest bound that may be tried: below those that growing to has failed."""
        limits = self.limits.max_batch_size
        farthest = max(GROWTH * max(self.seen, default=0), _power_of_two(SURE * self.hoped))
        grown = max(farthest, self.present.max_batch_size)
        if self.hoped and not self.rising:
            grown = max(self.known, self.limits.max_batch_size.min)
        failed = [each.after.max_batch_size - 1 for each in self.failed if each.grew]
        safe = [] if self.safe_bound is None else [self.safe_bound]
        return max(limits.min, min([limits.max, grown, *failed, *safe]))

    @property
    def sizes(self) -> Sequence[int]:
        """The bounds that may be tried, ascending.

        Once growing has failed, there is a knee: between where it began and where it failed,
        sizes that were run, and small steps, are known to lie below.
        """
        sizes = range(self.limits.max_batch_size.min, self.largest_bound + 1)
        began = [each.before.max_batch_size for each in self.failed if each.grew]
        if not began:
            return sizes
        near = SMALL_STEP * max(min(began), self.present.max_batch_size)
        return [size for size in sizes if size <= near or size in self.seen] or sizes[:1]

    @property
    def growths(self) -> Sequence[int]:
        """The sizes beyond what is known that are worth a try: where stairs mostly end."""
        known, most = self.known, self.sizes[-1]
        return [2**power for power in range(most.bit_length()) if known < 2**power < most]

    def untried(self, batchings: Sequence[Batching]) -> Sequence[Batching]:
        """Leave out what failed before, unless nothing is left."""
        failed = {trial.after for trial in self.failed}
        return [batching for batching in batchings if batching not in failed] or batchings

    @property
    def longest_delay_us(self) -> float:
        """The longest queue delay that may be tried: shorter than those that failed.

        Where the bound grew by the same change it was the batches that were too large.
        """
        delays_us = [
            (trial.before.max_queue_delay_microseconds, trial.after.max_queue_delay_microseconds)
            for trial in self.failed
            if not trial.grew
        ]
        waited = [after_us for before_us, after_us in delays_us if after_us > before_us]
        return min(
            self.limits.max_queue_delay_microseconds.max,
            *(SHORTER * delay_us for delay_us in waited),
            inf,
        )


def _power_of_two(size: float) -> int:
    """Return the next power of two: where a curve has stairs, they mostly end there."""
    return 2 ** ceil(log2(size)) if size > 0 else 0
