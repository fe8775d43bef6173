"""When an agent that cannot see looks anew: a reader may hold on to what is no longer there."""

from dataclasses import dataclass, replace
from typing import Final, Self

#: What is unknown for a moment needs no new look.
PATIENCE_S: Final = 60.0
#: What stays unknown (MIG, a driver that does not tell) is not worth a look a minute for ever.
LONGEST_S: Final = 600.0


@dataclass(frozen=True, slots=True)
class Blindness:
    """Since when something has been unknown, and how long to wait before the next new look."""

    since_s: float | None = None
    wait_s: float = PATIENCE_S

    def seen(self, now_s: float, *, unknown: bool) -> Self:
        """Return what holds after a sample in which something was unknown, or nothing."""
        if not unknown:
            return type(self)()
        return self if self.since_s is not None else replace(self, since_s=now_s)

    def is_due(self, now_s: float) -> bool:
        """Say whether to look anew now."""
        return self.since_s is not None and now_s - self.since_s >= self.wait_s

    def looked(self, now_s: float) -> Self:
        """Return what holds after a new look: the next one waits twice as long."""
        return replace(self, since_s=now_s, wait_s=min(LONGEST_S, 2 * self.wait_s))
