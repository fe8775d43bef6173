"""The account of a load test: every request that was due is answered, or it is a failure."""

import csv
import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Self


class Outcome(StrEnum):
    """What became of a request. All but ``ok`` are failed requests."""

    OK = "ok"
    NOT_SENT = "not sent"
    """Too many requests were in flight when it was due, or its deadline had passed."""
    DEADLINE = "deadline"
    CONNECTION = "connection"
    REFUSED = "refused"
    """Answered with an error."""
    INVALID = "invalid answer"


@dataclass(frozen=True, slots=True)
class Record:
    """One request. Times in seconds since the start of the run."""

    due_s: float
    """When it was to be sent: latency counts from here, however late it was sent."""
    finished_s: float
    outcome: Outcome
    detail: str = ""
    rows: int = 0
    """Rows whose label was compared."""
    correct: float = 0
    """How many of them are right; of a text, the share of it."""

    @property
    def latency_ms(self) -> float | None:
        """Milliseconds from the intended send time to the answer; None without an answer."""
        return (self.finished_s - self.due_s) * 1e3 if self.outcome is Outcome.OK else None


@dataclass(frozen=True, slots=True)
class Figures:
    """Latency and accuracy over some requests.

    A failed request counts as slower than any answer: a percentile that falls on one is None.
    """

    ok: int
    failed: int
    mean_ms: float | None
    """Over the answers alone."""
    p50_ms: float | None
    p90_ms: float | None
    p99_ms: float | None
    max_ms: float | None
    accuracy: float | None
    """Share of correct labels among the answers; None where nothing was compared."""

    @classmethod
    def of(cls, records: Iterable[Record]) -> Self:
        """Compute the figures of some requests."""
        records = list(records)
        answered = sorted(r.latency_ms for r in records if r.latency_ms is not None)
        latencies = [*answered, *[math.inf] * (len(records) - len(answered))]
        rows = sum(record.rows for record in records)
        return cls(
            ok=len(answered),
            failed=len(records) - len(answered),
            mean_ms=_rounded(math.fsum(answered) / len(answered)) if answered else None,
            p50_ms=_rounded(nearest_rank(latencies, 50)),
            p90_ms=_rounded(nearest_rank(latencies, 90)),
            p99_ms=_rounded(nearest_rank(latencies, 99)),
            max_ms=_rounded(latencies[-1] if latencies else None),
            accuracy=round(sum(r.correct for r in records) / rows, 4) if rows else None,
        )


@dataclass(frozen=True, slots=True)
class Interval:
    """One second of a run: requests due in it, and requests that ended in it."""

    t: float
    """The interval's end, in seconds since the start."""
    sent: int
    """Requests that were due in the interval."""
    in_flight: int
    figures: Figures

    def as_dict(self) -> dict[str, Any]:
        """Return the JSON form: one flat object."""
        head = {"t": round(self.t, 3), "sent": self.sent, "in_flight": self.in_flight}
        return head | asdict(self.figures)


@dataclass(frozen=True, slots=True)
class Summary:
    """A whole run: ``sent == ok + failed`` always."""

    duration_s: float
    """From the first intended send time to the last answer."""
    sent: int
    figures: Figures
    answers_per_s: float
    """Until the last answer: under overload, less than was offered."""
    failures: dict[str, int] = field(default_factory=dict)
    """Outcome -> number of requests."""
    examples: dict[str, str] = field(default_factory=dict)
    """Outcome -> the first such failure in words."""

    @classmethod
    def of(cls, records: Sequence[Record], offered_s: float) -> Self:
        """Sum up a run whose sending took ``offered_s`` seconds."""
        bad = [record for record in records if record.outcome is not Outcome.OK]
        figures = Figures.of(records)
        duration_s = max((r.finished_s for r in records), default=0.0)
        lasted_s = max(duration_s, offered_s)
        return cls(
            duration_s=round(duration_s, 3),
            sent=len(records),
            figures=figures,
            answers_per_s=round(figures.ok / lasted_s, 2) if lasted_s > 0 else 0.0,
            failures=dict(Counter(record.outcome.value for record in bad)),
            examples={record.outcome.value: record.detail for record in reversed(bad)},
        )

    def as_dict(self) -> dict[str, Any]:
        """Return the JSON form: one flat object, marked as the summary."""
        head = {"summary": True, "duration_s": self.duration_s, "sent": self.sent}
        tail = {
            "answers_per_s": self.answers_per_s,
            "failures": self.failures,
            "examples": self.examples,
        }
        return head | asdict(self.figures) | tail


def nearest_rank(ascending: Sequence[float], percentile: float) -> float | None:
    """Return the least value that at least ``percentile`` % of the values do not exceed."""
    if not ascending:
        return None
    return ascending[max(0, math.ceil(percentile / 100 * len(ascending)) - 1)]


def write(path: Path, records: Iterable[Record]) -> None:
    """Write one line per request, as CSV or (with the suffix .jsonl) as JSON. Raises OSError."""
    rows = _rows(records)
    with path.open("w", encoding="utf-8", newline="") as file:
        if path.suffix == ".jsonl":
            file.writelines(json.dumps(row) + "\n" for row in rows)
            return
        columns = ("due_s", "latency_ms", "outcome", "detail", "rows", "correct")
        table = csv.DictWriter(file, columns, lineterminator="\n")
        table.writeheader()
        table.writerows(rows)


def _rows(records: Iterable[Record]) -> Iterator[dict[str, Any]]:
    for record in sorted(records, key=lambda record: record.due_s):
        yield {
            "due_s": round(record.due_s, 6),
            "latency_ms": _rounded(record.latency_ms),
            "outcome": record.outcome.value,
            "detail": record.detail,
            "rows": record.rows,
            "correct": record.correct,
        }


def _rounded(value_ms: float | None) -> float | None:
    """Round to microseconds; an infinite latency (a failure) is no number."""
    return None if value_ms is None or math.isinf(value_ms) else round(value_ms, 3)
