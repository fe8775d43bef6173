"""The rules of the reference benchmark: what to measure, when it is stable, what it amounts to.

Pure functions on frozen values: the runner (benchmark.py) holds the clock and the connection.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final

from ferryman.api.node_profile import BenchmarkPoint

#: Kubernetes keeps so much of a container's termination message.
MAX_RESULT_BYTES: Final = 4096
MAX_ERROR: Final = 1000
MAX_POINTS: Final = 16
STABLE_ROUNDS: Final = 3
STABLE_WITHIN: Final = 0.10
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


def is_stable(rates: Sequence[float]) -> bool:
    """Say whether the last three rounds agree: each within 10 % of their median."""
    last = rates[-STABLE_ROUNDS:]
    middle = median(last) if last else 0.0
    return len(last) == STABLE_ROUNDS and all(
        abs(rate - middle) <= STABLE_WITHIN * middle for rate in last
    )


def throughput(rounds: Sequence[Round]) -> float:
    """Return the median images per second of the last three rounds."""
    return median(each.images_per_second for each in rounds[-STABLE_ROUNDS:])


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the nearest-rank percentile: the least value that so many percent do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(percent / 100 * len(ordered)) - 1)]


def to_point(batch_size: int, rounds: Sequence[Round]) -> BenchmarkPoint:
    """Return one row of the load performance table, from the last three rounds."""
    latencies = [latency for each in rounds[-STABLE_ROUNDS:] for latency in each.latencies_ms]
    return BenchmarkPoint(
        batch_size=batch_size,
        images_per_second=_round(throughput(rounds)),
        latency_p50_milliseconds=_round(percentile(latencies, 50)),
        latency_p99_milliseconds=_round(percentile(latencies, 99)),
    )


def grows(before: float, after: float) -> bool:
    """Say whether one more instance raised the throughput by more than 5 %."""
    return after > (1 + GROWTH) * before


def peak(points: Sequence[BenchmarkPoint]) -> BenchmarkPoint:
    """Return the row with the best throughput; of equals the smallest batch."""
    return max(points, key=lambda point: (point.images_per_second, -point.batch_size))


def result(points: Sequence[BenchmarkPoint], max_instances: int | None) -> str:
    """Return the result as one line of JSON that fits a termination message."""
    rows = [point.as_dict() for point in points[:MAX_POINTS]]
    return _line({"points": rows, "maxInstances": max_instances})


def failure(message: str) -> str:
    """Return a failure as one line of JSON that fits a termination message."""
    words = "".join(c if c.isprintable() else " " for c in message).split()
    return _line({"error": " ".join(words)[:MAX_ERROR] or "unknown"})


def _line(value: object) -> str:
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    size = len(text.encode())
    if size > MAX_RESULT_BYTES:
        raise ValueError(f"the result is {size} bytes, more than {MAX_RESULT_BYTES}")
    return text


def _round(value: float) -> float:
    """Return four significant digits: more would be noise, and a longer message."""
    return float(f"{value:.{_SIGNIFICANT}g}")
