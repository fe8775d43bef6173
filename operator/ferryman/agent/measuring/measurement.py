"""The rules of the reference benchmark: what to measure, when it is stable, what it amounts to.

Pure functions on frozen values: the runner (benchmark.py) holds the clock and the connection.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Final

from ferryman.agent.measuring import confidence
from ferryman.api.node_profile import BenchmarkPoint

#: Kubernetes keeps so much of a container's termination message.
MAX_RESULT_BYTES: Final = 4096
MAX_ERROR_BYTES: Final = 3000
MAX_POINTS: Final = 16
#: Bytes of the result that a note may take: sixteen of the longest rows leave so much.
MAX_NOTE_BYTES: Final = 500
GROWTH: Final = 0.05
_SIGNIFICANT: Final = 4


@dataclass(frozen=True, slots=True)
class Round:
    """What one round of closed-loop requests showed."""

    images: int
    elapsed_s: float
    latencies_ms: tuple[float, ...]

    @property
    def images_per_second(self) -> float:
        """Images answered per second of the round."""
        return self.images / self.elapsed_s


def batch_sizes(bound: int) -> tuple[int, ...]:
    """Return 1, 2, 4, … and the bound itself."""
    doubled = tuple(2**power for power in range(bound.bit_length()) if 2**power <= bound)
    return doubled if doubled[-1] == bound else (*doubled, bound)


def is_stable(rounds: Sequence[Round]) -> bool:
    """Say whether no more rounds are needed: see ``confidence.is_narrow``."""
    return confidence.is_narrow([each.images_per_second for each in rounds])


def throughput(rounds: Sequence[Round]) -> float:
    """Return the mean images per second of the last rounds."""
    return fmean(_rates(rounds))


def _rates(rounds: Sequence[Round]) -> list[float]:
    return [each.images_per_second for each in rounds[-confidence.LAST_ROUNDS :]]


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the nearest-rank percentile: the least value that so many percent do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(percent / 100 * len(ordered)) - 1)]


def to_point(batch_size: int, rounds: Sequence[Round]) -> BenchmarkPoint:
    """Return one row of the load performance table, from the last rounds (at least one)."""
    last = rounds[-confidence.LAST_ROUNDS :]
    latencies = [latency for each in last for latency in each.latencies_ms]
    half_width = confidence.half_width(_rates(rounds))
    return BenchmarkPoint(
        batch_size=batch_size,
        images_per_second=_round(throughput(rounds)),
        latency_p50_milliseconds=_round(percentile(latencies, 50)),
        latency_p99_milliseconds=_round(percentile(latencies, 99)),
        images_per_second_half_width=None if half_width is None else _round(half_width),
        rounds=len(last),
        ended="Stable" if is_stable(rounds) else "TimeUp",
    )


def grows(before: float, after: float) -> bool:
    """Say whether one more instance raised the throughput by more than 5 %."""
    return after > (1 + GROWTH) * before


def peak(points: Sequence[BenchmarkPoint]) -> BenchmarkPoint:
    """Return the row with the best throughput; of equals the smallest batch."""
    return max(points, key=lambda point: (point.images_per_second, -point.batch_size))


def result(points: Sequence[BenchmarkPoint], max_instances: int | None, note: str = "") -> str:
    """Return the result as one line of JSON that fits a termination message."""
    rows = [point.as_dict() for point in points[:MAX_POINTS]]
    said = {"note": _plain(note, MAX_NOTE_BYTES)} if note else {}
    return _line({"points": rows, "maxInstances": max_instances, **said})


def failure(message: str) -> str:
    """Return a failure as one line of JSON that fits a termination message."""
    return _line({"error": _plain(message, MAX_ERROR_BYTES) or "unknown"})


def _plain(message: str, most_bytes: int) -> str:
    """Return the message on one line, cut to what its JSON text may take."""
    words = " ".join("".join(c if c.isprintable() else " " for c in message).split())
    # A quotation mark or backslash takes two bytes in JSON, any other at most what UTF-8 takes.
    while len(json.dumps(words, ensure_ascii=False).encode()) - 2 > most_bytes:
        words = words[: len(words) * 9 // 10]
    return words


def _line(value: object) -> str:
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    size = len(text.encode())
    if size > MAX_RESULT_BYTES:
        raise ValueError(f"the result is {size} bytes, more than {MAX_RESULT_BYTES}")
    return text


def _round(value: float) -> float:
    """Return four significant digits: more would be noise, and a longer message."""
    return float(f"{value:.{_SIGNIFICANT}g}")
