"""What a tuning session did, in the words of a simulated run."""

from dataclasses import dataclass, field, replace

from ferryman.actuation.events import ChangeBegun, ChangeEnded, Decided, Entry, Observed
from ferryman.api.batching import Batching
from ferryman.core.simulator.tuned_run import CapacityShortage, Change
from ferryman.core.tuners.needs import Enough


@dataclass
class Logbook:
    """Listens to a session; times are the session's until ``shifted``."""

    applied: Batching
    changes: tuple[Change, ...] = ()
    windows: int = 0
    shortage: CapacityShortage | None = None
    not_applied: int = 0
    """Changes that the server refused, or that were put back."""
    decision_ms: float = 0.0
    """The longest that the algorithm took to decide."""
    _begun_at_s: float = field(default=0.0, init=False)

    def __call__(self, entry: Entry) -> None:
        """Take note of what happened."""
        at_s, event = entry.elapsed_s, entry.event
        if isinstance(event, Observed):
            self.windows = event.number
        elif isinstance(event, Decided):
            self._decided(event, at_s)
        elif isinstance(event, ChangeBegun):
            self._begun_at_s = at_s
        elif isinstance(event, ChangeEnded):
            self._ended(event, at_s)

    def shifted(self, seconds: float) -> tuple[tuple[Change, ...], CapacityShortage | None]:
        """Return changes and shortage with so much added to every time."""
        changes = tuple(
            replace(change, begun_at_s=change.begun_at_s + seconds, at_s=change.at_s + seconds)
            for change in self.changes
        )
        found = self.shortage
        return changes, found and replace(found, at_s=found.at_s + seconds)

    def _decided(self, event: Decided, at_s: float) -> None:
        self.decision_ms = max(self.decision_ms, event.took_ms)
        needs = event.step.needs
        if not isinstance(needs, Enough):
            first = self.shortage or CapacityShortage(event.number, at_s, needs)
            self.shortage = replace(first, needs=needs)

    def _ended(self, event: ChangeEnded, at_s: float) -> None:
        self.applied = event.applied
        if event.outcome != "Applied":
            self.not_applied += 1
            return
        change = Change(
            window=self.windows,
            begun_at_s=self._begun_at_s,
            at_s=at_s,
            actuator=event.actuator,
            before=event.before,
            after=event.after,
            reason=event.reason,
            message=event.message,
        )
        self.changes = (*self.changes, change)
