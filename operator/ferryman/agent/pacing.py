"""When the agent writes: at once what must not wait, the rest as its allowance permits.

A thousand agents must not cost the API server more than 20 writes a second, whatever the load does.
So each agent may write twice at once and otherwise once every 54 s (0.9 of its heartbeat interval
of 60 s): a token bucket. A thousand of them then make at most 1,000 / 54 = 18.5 writes/s in the
long run, and 2,000 more once when the load changes on all nodes together. What makes a node
unusable, or another node, is never held back; it is rare.
"""

from dataclasses import dataclass, replace
from typing import Final, Self

from ferryman.api.node_profile import NodeProfileStatus, Processor

BURST: Final = 2
#: The allowance grows by one write in this share of the heartbeat interval: a little faster than
#: heartbeats spend it, so that an idle node has its burst saved.
REFILL_SHARE: Final = 0.9


@dataclass(frozen=True, slots=True)
class Written:
    """The last status that reached the API server, and when."""

    status: NodeProfileStatus
    node_uid: str
    at_s: float


@dataclass(frozen=True, slots=True)
class Allowance:
    """How many writes an agent may make now: a token bucket; times in seconds, monotonic."""

    refill_s: float
    left: float = BURST
    at_s: float = 0.0

    def at(self, now_s: float) -> Self:
        """Return what is allowed at a later time."""
        grown = self.left + max(0.0, now_s - self.at_s) / self.refill_s
        return replace(self, left=min(float(BURST), grown), at_s=now_s)

    def spent(self) -> Self:
        """Return what is left after a write; one that could not wait takes what there is."""
        return replace(self, left=max(0.0, self.left - 1))


def is_due(
    written: Written | None,
    current: NodeProfileStatus,
    now_s: float,
    *,
    heartbeat_s: float,
    allowance: Allowance,
) -> bool:
    """Say whether to write now.

    Never written, the heartbeat, or a change that cannot wait: yes. Any other change that a reader
    would see (utilisation by a step of 0.05, a note): when the allowance, taken at ``now_s``, has a
    write left.
    """
    if written is None or now_s - written.at_s >= heartbeat_s:
        return True
    if written.status == current:
        return False
    return _urgent(written.status, current) or allowance.left >= 1


def _urgent(before: NodeProfileStatus, after: NodeProfileStatus) -> bool:
    """Say whether it is another node type, or a class appeared, vanished or lost a device.

    Coming back into use can wait, so that a processor that comes and goes writes half as often.
    """
    lost = {each.processor_class: _lost(each) for each in before.processors}
    now_lost = {each.processor_class: _lost(each) for each in after.processors}
    return (
        before.node_type != after.node_type
        or lost.keys() != now_lost.keys()
        or any(now_lost[kind] > lost[kind] for kind in lost)
    )


def _lost(processor: Processor) -> int:
    """Return how many devices are out of use; all of them where nobody said how many."""
    if processor.unavailable is None:
        return 0
    return processor.unavailable_count or processor.count
