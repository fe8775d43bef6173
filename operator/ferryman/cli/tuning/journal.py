"""The journal of ``ferryman tune``: each event as a JSON object, described in docs/tune.md."""

import json
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from functools import singledispatch
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TextIO

from ferryman.actuation.events import (
    Began,
    ChangeBegun,
    ChangeEnded,
    Decided,
    Ended,
    Entry,
    Moved,
    Observed,
    Silence,
)
from ferryman.cli.files import content
from ferryman.core.observation.window import Window
from ferryman.core.tuners import needs

_DIGITS = 3


class Journal:
    """A file to which every event is appended at once, so that a killed session leaves its own."""

    def __init__(self, path: Path) -> None:
        """Open the file. Raises OutputError."""
        content.expect_writable(path)
        self._path = path
        self._file: TextIO = path.open("a", encoding="utf-8")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        # What was written is flushed: to close can fail only where a write has failed before.
        with suppress(OSError):
            self._file.close()

    def write(self, record: Mapping[str, Any]) -> None:
        """Append one record. Raises OutputError."""
        try:
            self._file.write(json.dumps(record, ensure_ascii=False) + "\n")
            self._file.flush()
        except OSError as error:
            raise content.unwritten(self._path, error) from error


def as_json(entry: Entry) -> dict[str, Any] | None:
    """Return an event as JSON values with units in the names; None for what is not recorded."""
    body = _body(entry.event)
    if not body:
        return None
    return {**head(entry.at, entry.elapsed_s), **body}


def head(at: datetime, elapsed_s: float) -> dict[str, Any]:
    """Return when something happened: RFC 3339 with milliseconds, and since the beginning."""
    moment = at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return {"time": moment, "elapsedSeconds": round(elapsed_s, _DIGITS)}


@singledispatch
def _body(event: object) -> dict[str, Any]:  # noqa: ARG001  readings are not recorded
    return {}


@_body.register
def _began(event: Began) -> dict[str, Any]:
    return {"event": "began", "applied": event.applied.as_dict()}


@_body.register
def _silence(event: Silence) -> dict[str, Any]:
    return {
        "event": "silence",
        "message": event.message,
        "silentSeconds": round(event.since_s, _DIGITS),
    }


@_body.register
def _observed(event: Observed) -> dict[str, Any]:
    return {
        "event": "window",
        "number": event.number,
        "applied": event.applied.as_dict(),
        **_window(event.window),
        "met": event.verdict.met,
        "reason": str(event.verdict.reason),
        "message": event.verdict.message,
    }


def _window(window: Window) -> dict[str, Any]:
    figures = {
        "seconds": window.seconds,
        "requestsPerSecond": window.requests_per_s,
        "inferencesPerSecond": window.inferences_per_s,
        "offeredInferencesPerSecond": window.offered_inferences_per_s,
        "latencyMilliseconds": window.latency_ms,
        "meanLatencyMilliseconds": window.mean_latency_ms,
        "queueMilliseconds": window.queue_ms,
        "computeMilliseconds": window.compute_ms,
        "meanBatchSize": window.mean_batch_size,
    }
    return {
        **{name: None if v is None else round(v, _DIGITS) for name, v in figures.items()},
        "latencyEstimated": window.latency_estimated,
        "requests": window.requests,
        "inferences": window.inferences,
        "failures": window.failures,
        "rejected": window.rejected,
        "pending": window.pending,
        "serviceTimes": {
            str(size): {"executions": count, "milliseconds": round(mean_ms, _DIGITS)}
            for size, (count, mean_ms) in sorted(window.service_times.items())
        },
    }


@_body.register
def _decided(event: Decided) -> dict[str, Any]:
    done = event.step
    return {
        "event": "decision",
        "window": event.number,
        "verb": done.verb,
        "applied": event.applied.as_dict(),
        "wanted": done.batching.as_dict(),
        "actuator": done.actuator,
        "reason": str(done.reason),
        "message": done.message,
        "needsReplicas": needs.number(done.needs),
        "unattainable": needs.unattainable(done.needs),
        "tookMilliseconds": round(event.took_ms, _DIGITS),
    }


@_body.register
def _begun(event: ChangeBegun) -> dict[str, Any]:
    return {
        "event": "changeBegun",
        "before": event.before.as_dict(),
        "after": event.after.as_dict(),
        "actuator": event.actuator,
        "reason": str(event.reason),
        "message": event.message,
    }


@_body.register
def _ended_change(event: ChangeEnded) -> dict[str, Any]:
    return {
        "event": "change",
        "before": event.before.as_dict(),
        "after": event.after.as_dict(),
        "actuator": event.actuator,
        "reason": str(event.reason),
        "outcome": event.outcome,
        "message": event.message,
        "applied": event.applied.as_dict(),
        "tookSeconds": round(event.took_s, _DIGITS),
    }


@_body.register
def _moved(event: Moved) -> dict[str, Any]:
    return {
        "event": "moved",
        "before": event.before.as_dict(),
        "applied": event.applied.as_dict(),
    }


@_body.register
def _ended(event: Ended) -> dict[str, Any]:
    return {
        "event": "ended",
        "why": event.why,
        "message": event.message,
        "applied": event.applied.as_dict(),
        "windows": event.windows,
    }
