"""What clients ask of a model, as far as its counters tell: how many requests came when.

Readings about a second apart tell the rate and how it varies, which a mean over a window does
not. ``Demand.load`` turns them into arrival times for the digital twin; within a reading nothing
is known, and arrivals are taken to be independent, as those of many clients are.
"""

from dataclasses import dataclass
from math import sqrt
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ferryman.core.observation.window import Window

Floats = NDArray[np.float64]

#: Readings older than this are forgotten.
HISTORY_S: Final = 300.0
#: A percentile of fewer requests than this says little: the history is repeated until it has them.
MIN_REQUESTS: Final = 6_000
#: More take too long to replay: only the latest count.
MAX_REQUESTS: Final = 20_000
#: Demand of so long tells the level of the moment …
LATEST_S: Final = 3.0
#: … and of as little as this, if it is higher: a level that has just begun.
BEGUN_S: Final = 0.9
#: Demand that has gone on for so long is a level, and no burst.
LASTING_S: Final = 15.0
#: The history is not repeated more often than this, however few requests it has.
MAX_ROUNDS: Final = 50
#: The same demand gives the same arrivals, so that configurations are compared under equal load.
_SEED: Final = 20_261_121


@dataclass(frozen=True, slots=True)
class OfferedLoad:
    """Arrivals at one pod."""

    arrivals_s: Floats
    """Ascending, from 0."""
    seconds: float
    """How long they go on."""

    @property
    def rate_per_s(self) -> float:
        """The mean rate of arrivals."""
        return self.arrivals_s.size / self.seconds

    def share(self, part: float) -> "OfferedLoad":
        """Return a random part of the requests, at least one of them."""
        kept = np.random.default_rng(_SEED).random(self.arrivals_s.size) < part
        kept[0] = True
        return OfferedLoad(self.arrivals_s[kept], self.seconds)


@dataclass(frozen=True, slots=True)
class Demand:
    """The latest readings: seconds, and inferences that clients asked for in them, of all pods."""

    readings: tuple[tuple[float, float], ...] = ()

    def with_window(self, window: Window) -> "Demand":
        """Return the demand with the readings of one more window."""
        each = window.inferences / window.requests if window.requests else 1.0
        new = tuple((seconds, count * each) for seconds, count in _readings(window) if seconds > 0)
        return Demand(_latest((*self.readings, *new), HISTORY_S))

    @property
    def seconds(self) -> float:
        """How long the readings go back."""
        return sum(seconds for seconds, _ in self.readings)

    @property
    def rate_per_s(self) -> float:
        """The mean rate over all pods; 0 without readings."""
        return sum(count for _, count in self.readings) / self.seconds if self.readings else 0.0

    @property
    def latest_per_s(self) -> float:
        """The rate of the latest seconds over all pods, the highest of them; 0 without readings.

        One reading is enough: when demand has just risen, a mean with the level before would
        choose a bound that is too small, and a better one would have to wait. Each is taken less
        the standard error of independent arrivals: the highest of some is not to be chance.
        """
        begun_s = min(BEGUN_S, self.seconds)
        held_s = held = highest = 0.0
        for seconds, count in reversed(self.readings):
            held_s, held = held_s + seconds, held + count
            if held_s >= begun_s:
                highest = max(highest, (held - sqrt(held)) / held_s)
            if held_s >= LATEST_S:
                break
        return highest

    @property
    def lasting_per_s(self) -> float:
        """The rate that goes on: the mean of all, or of the latest seconds if that is higher.

        A burst is over sooner than what waits is worked off; a new level is not.
        """
        held_s = held = 0.0
        for seconds, count in reversed(self.readings):
            held_s, held = held_s + seconds, held + count
            if held_s >= LASTING_S:
                break
        return max(self.rate_per_s, held / held_s if held_s else 0.0)

    def of_latest(self, seconds: float) -> "Demand":
        """Return the demand of the latest so many seconds alone, of one reading at least."""
        return Demand(_latest(self.readings, seconds))

    def load(self, pods: int, *, whole: bool = False) -> OfferedLoad:
        """Return what one of so many pods would see. Raises ValueError without any request.

        Of more requests than can be replayed the latest; with ``whole`` a part of each reading.
        """
        if self.rate_per_s <= 0:
            raise ValueError("nothing was asked for: there is no load to replay")
        generator = np.random.default_rng(_SEED)
        held = self.readings if whole else self._recent(MAX_REQUESTS * pods)
        readings = _bounded(held, MAX_REQUESTS * pods)
        expected = sum(count for _, count in readings) / pods
        rounds = min(MAX_ROUNDS, max(1, -int(-MIN_REQUESTS // max(expected, 1.0))))
        lasts = np.tile([seconds for seconds, _ in readings], rounds)
        means = np.tile([count / pods for _, count in readings], rounds)
        return _spread(lasts, means, generator, whole=pods == 1)

    def _recent(self, most: float) -> tuple[tuple[float, float], ...]:
        """Return the latest readings that hold together at most so many requests, or one."""
        held, kept = 0.0, 0
        for _, count in reversed(self.readings):
            held += count
            if kept and held > most:
                break
            kept += 1
        return self.readings[-kept:]


def _bounded(
    readings: tuple[tuple[float, float], ...], most: float
) -> tuple[tuple[float, float], ...]:
    """Return a part of each reading, at its rate, if together they hold more than so many."""
    held = sum(count for _, count in readings)
    part = min(1.0, most / held) if held else 1.0
    return tuple((seconds * part, count * part) for seconds, count in readings)


def _readings(window: Window) -> tuple[tuple[float, float], ...]:
    """Return a window's readings; one for all of it where nothing finer was read."""
    if window.arrived:
        return window.arrived
    offered = window.offered_inferences_per_s * window.requests / max(window.inferences, 1)
    return ((window.seconds, offered * window.seconds),)


def _latest(
    readings: tuple[tuple[float, float], ...], seconds: float
) -> tuple[tuple[float, float], ...]:
    held_s, kept = 0.0, 0
    for lasted_s, _ in reversed(readings):
        held_s += lasted_s
        if kept and held_s > seconds:
            break
        kept += 1
    return readings[-kept:] if kept else ()


def _spread(
    lasts: Floats, means: Floats, generator: np.random.Generator, *, whole: bool
) -> OfferedLoad:
    """Place the requests of each reading at random moments of it.

    ``whole`` keeps the counts that were read; otherwise they are one pod's share, and random.
    """
    counts = np.rint(means).astype(np.int64) if whole else generator.poisson(means)
    # However little a pod's share is, there is something to replay.
    counts[means.argmax()] = max(counts[means.argmax()], 1)
    ends = np.cumsum(lasts)
    begins = np.repeat(ends - lasts, counts)
    arrivals = begins + generator.random(begins.size) * np.repeat(lasts, counts)
    return OfferedLoad(np.sort(arrivals), float(ends[-1]))
