"""What was recorded of an act: what the load saw each second, and what was looked at beside it.

Values only: pictures, tables and verdicts are made of these and of nothing else. Times are Unix
times, or seconds since the load began where a name says ``at_s``.
"""

import itertools
import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

#: Around a change: its journal has whole seconds, and what is under way answers after it.
BEFORE_S: Final = 1.0
AFTER_S: Final = 3.0
IN_A_ROW: Final = 3
#: A second has too few batches to tell how busy a device is.
SPAN_S: Final = 4
#: So many seconds at the end stand for what was reached.
SETTLED_S: Final = 10


@dataclass(frozen=True, slots=True)
class Second:
    """One second of the load; latencies and accuracy are of what was answered in it."""

    at_s: float
    asked: int
    ok: int
    failed: int
    waiting: int
    """Requests without an answer at its end."""
    p50_ms: float | None
    p99_ms: float | None
    accuracy: float | None


@dataclass(frozen=True, slots=True)
class Look:
    """What the operator and the server showed at one moment."""

    at_s: float
    setting: Mapping[str, int]
    """What is in force: a batching, or the workers of each step."""
    busy_s: float | None
    """Seconds that the server has executed the model for, since it was loaded."""


@dataclass(frozen=True, slots=True)
class Change:
    """One change that the operator made."""

    at_s: float
    how: str
    why: str


@dataclass(frozen=True)
class Story:
    """One act, as it was recorded."""

    seconds: tuple[Second, ...]
    looks: tuple[Look, ...]
    changes: tuple[Change, ...]
    allowed_at_s: float
    """Since when the operator may change anything; until then it only watched."""

    @property
    def failed(self) -> int:
        """Requests that were not answered."""
        return sum(second.failed for second in self.seconds)

    @property
    def first_change_s(self) -> float | None:
        """When the first change was made."""
        return self.changes[0].at_s if self.changes else None

    def watched(self) -> tuple[Second, ...]:
        """Return the seconds in which the operator only watched."""
        return tuple(each for each in self.seconds if each.at_s <= self.allowed_at_s)

    def settled(self) -> tuple[Second, ...]:
        """Return the last seconds in which something was asked for."""
        return tuple(each for each in self.seconds if each.asked)[-SETTLED_S:]

    def back_in_time_s(self, target_ms: float) -> float | None:
        """Return when latency came back within the target after a change; None: it did not.

        A few seconds in a row must be: one alone is chance, and so is one that is late again later.
        """
        since = self.first_change_s
        after = [each for each in self.seconds if since is not None and each.at_s >= since]
        for place in range(len(after) - IN_A_ROW + 1):
            if all(is_within(each, target_ms) for each in after[place : place + IN_A_ROW]):
                return after[place].at_s - 1
        return None

    def phases(self) -> dict[str, tuple[Second, ...]]:
        """Return the seconds before, during and after the changes, as far as there are any."""
        if not self.changes:
            return {"throughout": self.seconds}
        first, last = self.changes[0].at_s - BEFORE_S, self.changes[-1].at_s + AFTER_S
        found = {
            "before": tuple(each for each in self.seconds if each.at_s < first),
            "during": tuple(each for each in self.seconds if first <= each.at_s <= last),
            "after": tuple(each for each in self.seconds if each.at_s > last),
        }
        return {phase: seconds for phase, seconds in found.items() if seconds}

    def busy(self) -> list[tuple[float, float]]:
        """Return the share of the last seconds in which the device was busy, at each look."""
        used = self._used()
        return [
            (at_s, _share([each for each in used if at_s - SPAN_S < each[1] <= at_s]))
            for _, at_s, _ in used
        ]

    def busy_before_and_after(self) -> tuple[float, float]:
        """Return the share of time that the device was busy before and after the changes."""
        first = self.changes[0].at_s if self.changes else math.inf
        last = self.changes[-1].at_s + AFTER_S if self.changes else math.inf
        end_s = max((each.at_s for each in self.seconds if each.asked), default=0.0)
        used = self._used()
        before = [each for each in used if each[0] >= 0 and each[1] <= first]
        return _share(before), _share([e for e in used if e[0] >= last and e[1] <= end_s])

    def _used(self) -> list[tuple[float, float, float]]:
        """Return from when to when the device was busy for how many seconds, look by look.

        Counters begin anew when a model is loaded anew: what lies between is left out.
        """
        known = [(each.at_s, each.busy_s) for each in self.looks if each.busy_s is not None]
        return [
            (since_s, at_s, after_s - before_s)
            for (since_s, before_s), (at_s, after_s) in itertools.pairwise(known)
            if after_s >= before_s and at_s > since_s
        ]


def seconds_of(lines: Sequence[Mapping[str, Any]]) -> tuple[Second, ...]:
    """Return the seconds that ``ferryman load`` printed, each with the ``time`` it came at."""
    return tuple(
        Second(
            line["t"],
            line["sent"],
            line["ok"],
            line["failed"],
            line["in_flight"],
            line["p50_ms"],
            line["p99_ms"],
            line["accuracy"],
        )
        for line in lines
    )


def began(lines: Sequence[Mapping[str, Any]]) -> float:
    """Return the Unix time at which a load began: no line comes before its time."""
    return float(min(line["time"] - line["t"] for line in lines))


def changes_of(journal: Iterable[Mapping[str, Any]], began_s: float) -> tuple[Change, ...]:
    """Return the changes that were applied, oldest first."""
    applied = [
        Change(
            datetime.fromisoformat(each["time"]).timestamp() - began_s,
            each.get("actuator", ""),
            each["reason"],
        )
        for each in journal
        if each["outcome"] == "Applied"
    ]
    return tuple(sorted(applied, key=lambda change: change.at_s))


def is_within(second: Second, target_ms: float) -> bool:
    """Whether what was answered in a second was in time; a second without answers is not."""
    return second.p99_ms is not None and second.p99_ms <= target_ms


def accuracy(seconds: Iterable[Second]) -> float:
    """Return the share of right answers; NaN where none was compared."""
    scored = [(each.ok, each.accuracy) for each in seconds if each.accuracy is not None]
    answered = sum(ok for ok, _ in scored)
    return sum(ok * share for ok, share in scored) / answered if answered else math.nan


def _share(used: Iterable[tuple[float, float, float]]) -> float:
    parts = list(used)
    past_s = sum(at_s - since_s for since_s, at_s, _ in parts)
    return sum(used_s for *_, used_s in parts) / past_s if past_s else math.nan


def chance(share: float, answers: int) -> float:
    """Return by how much a share of so many answers may be off by chance: three deviations."""
    return 3 * math.sqrt(share * (1 - share) / answers) if answers else math.inf


def per_s(seconds: Sequence[Second]) -> float:
    """Return answers per second."""
    return sum(each.ok for each in seconds) / len(seconds) if seconds else math.nan


def typical_p99_ms(seconds: Iterable[Second]) -> float:
    """Return the median over seconds of each second's p99; NaN without answers."""
    values = [each.p99_ms for each in seconds if each.p99_ms is not None]
    return statistics.median(values) if values else math.nan
