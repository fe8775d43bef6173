"""Whether what a model costs is changing: CUSUM for jumps, Mann-Kendall for creeping.

Both look at one number per window: the mean log ratio of the service times seen to those
predicted before the window (``ServiceTimes.error``). 0.1 means about 10 % slower.
"""

from dataclasses import dataclass
from typing import Final

from ferryman.core.observation.mann_kendall import mann_kendall

#: Deviations up to this are noise and do not add up.
SLACK: Final = 0.05
#: The sum beyond which the model is said to have changed.
ALARM: Final = 0.15
#: Windows that the trend test looks at. Of four it could never be significant.
MEMORY: Final = 12
MIN_FOR_TREND: Final = 8
#: The two-sided 5 % quantile of the normal distribution.
SIGNIFICANT_Z: Final = 1.96
#: A trend that does not lead this far is not worth forgetting anything for.
RELEVANT: Final = 0.02


@dataclass(frozen=True, slots=True)
class DriftDetector:
    """Cumulated deviations up and down (Page, Biometrika 41, 1954), and the latest ones."""

    up: float = 0.0
    down: float = 0.0
    recent: tuple[float, ...] = ()

    def with_error(self, error: float) -> "DriftDetector":
        """Return the state after one more window."""
        return DriftDetector(
            up=max(0.0, self.up + error - SLACK),
            down=max(0.0, self.down - error - SLACK),
            recent=(*self.recent, error)[-MEMORY:],
        )

    @property
    def jumped(self) -> bool:
        """Whether service times are at another level than what was learned."""
        return max(self.up, self.down) > ALARM

    @property
    def creeps(self) -> bool:
        """Whether the deviations have a significant trend that matters."""
        if len(self.recent) < MIN_FOR_TREND:
            return False
        matters = abs(sum(self.recent[-3:]) / 3) > RELEVANT
        return matters and abs(mann_kendall(self.recent).z) >= SIGNIFICANT_Z

    @property
    def alarm(self) -> bool:
        """Whether what was learned before no longer holds."""
        return self.jumped or self.creeps
