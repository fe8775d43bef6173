"""When a node is silent: neither its pods nor its kubelet are heard of.

Kubernetes gives a node up after a grace period of 40 or 50 s. Two witnesses can say so earlier:
the Triton servers of its pods, none of which answers, and its Lease, which its kubelet renews
after each quarter of the Lease's duration (10 s of 40 s). Renewals are compared with each other,
by our own clock: the time in a Lease is that of the node's clock, which may be wrong.
"""

from dataclasses import dataclass
from typing import Final

from ferryman.core.manifests import Manifest

#: Of a Lease's duration: two renewals are missing then.
MISSED: Final = 0.5
#: kubelet's default (nodeLeaseDurationSeconds).
_DURATION_S: Final = 40.0


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """The last sign of life of a kubelet."""

    renewed: str
    """The time that the kubelet wrote, as a mark that changes with each renewal."""
    duration_s: float
    since_s: float
    """When we saw it first."""

    def is_silent(self, now_s: float) -> bool:
        """Whether so much time went by without another that the kubelet counts as silent."""
        return now_s - self.since_s >= MISSED * self.duration_s


def listen(before: Heartbeat | None, lease: Manifest, now_s: float) -> Heartbeat:
    """Return the last sign of life that a Lease shows; ``before`` is what the last look found."""
    spec = lease.get("spec") or {}
    renewed = str(spec.get("renewTime") or "")
    if before is not None and before.renewed == renewed:
        return before
    return Heartbeat(renewed, float(spec.get("leaseDurationSeconds") or _DURATION_S), now_s)
