"""How many requests clients sent from one reading to the next, which no counter tells.

Sent is what left the server, answered or given up, and what the queue grew by. Requests that are
being executed are in neither: they were counted when they began to wait, and must not be counted
again when they end.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from ferryman.api.statistics import Statistics
from ferryman.core.observation import counters


@dataclass(frozen=True, slots=True)
class SentRequests:
    """The intervals so far, and what is to be left out of those to come."""

    intervals: tuple[tuple[float, int], ...] = ()
    """Seconds, and the requests that clients sent in them."""
    owed: Mapping[str, int] = field(default_factory=dict)
    """Pod -> requests that left the queue, were counted before, and have not ended yet."""

    def plus(
        self, before: Mapping[str, Statistics], after: Mapping[str, Statistics], seconds: float
    ) -> "SentRequests":
        """Return the arrivals with those between two readings of the same pods.

        An interval in which the counters of a pod began anew is left out, because what it had
        received is unknown.
        """
        sent, owed, whole = 0, {}, seconds > 0
        for pod, sample in after.items():
            if counters.continues(before[pod], sample):
                came, owed[pod] = _between(before[pod], sample, self.owed.get(pod, 0))
                sent += came
            else:
                whole = False
        added = ((seconds, sent),) if whole else ()
        return SentRequests((*self.intervals, *added), owed)

    def begun_anew(self) -> "SentRequests":
        """Return no intervals: the next window goes on from the same readings."""
        return SentRequests(owed=self.owed)


def _between(before: Statistics, after: Statistics, owed: int) -> tuple[int, int]:
    """Return what a pod was sent, and what it owes then.

    Owed is by how much fewer are known of than were once: these are being executed.
    """
    ended = counters.increase(before, after).ended + _given_up(before, after)
    sent = ended + _growth(before.pending, after.pending) - owed
    return max(0, sent), max(0, -sent)


def _given_up(before: Statistics, after: Statistics) -> int:
    return max(0, after.cancelled_count - before.cancelled_count)


def _growth(before: int | None, after: int | None) -> int:
    return 0 if before is None or after is None else after - before
