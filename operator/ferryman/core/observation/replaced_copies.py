"""Requests that a reload left behind: they wait at the copy that was replaced, not at the new one.

Triton lets go of a copy that it replaces, and that lives until its last request is answered
(``ModelLifeCycle::OnLoadComplete``, model_lifecycle.cc). Until then the metrics count for both
copies, the queue's length among them, and the statistics for the new one alone. Taken for its
queue, what the old one works off would look like a backlog that shrinks, and so like clients that
ask for less than they do.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from ferryman.api.statistics import Statistics
from ferryman.core.observation import counters


@dataclass(frozen=True, slots=True)
class ReplacedCopies:
    """What is known of them from one reading to the next, by pod."""

    latest: Mapping[str, Statistics] = field(default_factory=dict)
    """The readings, as they were."""
    behind: Mapping[str, int] = field(default_factory=dict)
    """How many requests still wait at copies that were replaced; no entry: none."""

    def plus(self, samples: Mapping[str, Statistics]) -> "ReplacedCopies":
        """Return the knowledge after one more reading of some pods."""
        behind = {pod: self._behind(pod, sample) for pod, sample in samples.items()}
        return ReplacedCopies(dict(samples), {pod: left for pod, left in behind.items() if left})

    def own(self) -> dict[str, Statistics]:
        """Return the readings with the queue of the present copies alone."""
        return {
            pod: replace(sample, pending=(sample.pending or 0) - self.behind[pod])
            if pod in self.behind
            else sample
            for pod, sample in self.latest.items()
        }

    def _behind(self, pod: str, sample: Statistics) -> int:
        """Return how many wait at replaced copies: all who wait when the statistics begin anew.

        From then on by what both copies answered less what the new one did, and never more than
        wait at all: so a request that came in the very second of the reload is not missed for
        long. None where the metrics do not tell.
        """
        before, pending = self.latest.get(pod), sample.pending or 0
        if before is None or before.answered_by_all is None or sample.answered_by_all is None:
            return 0
        answered = sample.answered_by_all - before.answered_by_all
        if answered < 0:
            return 0  # another server: nothing is left of what the one before was sent
        if not counters.continues(before, sample):
            return pending
        by_others = max(0, answered - (sample.success_count - before.success_count))
        return max(0, min(self.behind.get(pod, 0) - by_others, pending))
