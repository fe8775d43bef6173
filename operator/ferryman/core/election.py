"""Whose turn it is: of several operators the one that keeps renewing a Lease leads.

The rules are those of Kubernetes' own components (client-go, tools/leaderelection). Nobody trusts
the clock of another machine: a Lease has lapsed when it has looked the same for its whole duration
by the clock of whoever looks at it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

#: So long nobody else leads after the leader was heard of last. With what the next one needs to
#: list everything, a leader that is cut off is followed within 30 s.
LEASE_S: Final = 15
#: So long a leader that could not renew its Lease still writes. The rest of the duration is for
#: what it has sent by then and the API server has not carried out yet.
WRITES_FOR_S: Final = 10.0
RENEW_EVERY_S: Final = 2.0


@dataclass(frozen=True, slots=True)
class Lease:
    """What of a Lease counts here; with ``version`` a write fails that somebody overtook."""

    holder: str
    """Empty: its last holder gave it back."""
    renewed: str
    """As the holder's clock said; compared, never understood."""
    duration_s: float
    transitions: int
    version: str = field(compare=False)

    @classmethod
    def of(cls, manifest: Mapping[str, Any]) -> "Lease":
        """Read a Lease object (coordination.k8s.io/v1)."""
        spec = manifest.get("spec") or {}
        return cls(
            spec.get("holderIdentity") or "",
            spec.get("renewTime") or "",
            float(spec.get("leaseDurationSeconds") or LEASE_S),
            int(spec.get("leaseTransitions") or 0),
            manifest["metadata"]["resourceVersion"],
        )


@dataclass(frozen=True, slots=True)
class Sighting:
    """A Lease, and since when it has looked like that; seconds of the looker's own clock."""

    lease: Lease
    since_s: float

    def again(self, lease: Lease, now_s: float) -> "Sighting":
        """Return what is known once it was looked at again."""
        return Sighting(lease, self.since_s if lease == self.lease else now_s)

    def may_be_taken(self, identity: str, now_s: float) -> bool:
        """Whether it is this one's already, nobody's, or lapsed."""
        if self.lease.holder in {"", identity}:
            return True
        return now_s - self.since_s >= self.lease.duration_s


def claimed(lease: Lease | None, identity: str, now: datetime) -> dict[str, Any]:
    """Return the spec of a Lease with which ``identity`` leads; None: there is no Lease yet."""
    renews = lease is not None and lease.holder == identity
    moment = now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return {
        "holderIdentity": identity,
        "leaseDurationSeconds": LEASE_S,
        "renewTime": moment,
        "leaseTransitions": lease.transitions + (not renews) if lease else 0,
        **({} if renews else {"acquireTime": moment}),
    }
