"""Batchings and objectives in words, as messages and tables have them."""

import re
from collections.abc import Iterator
from math import isclose
from typing import Final

from ferryman.api.batching import Batching
from ferryman.api.objectives import Objectives


def describe(batching: Batching) -> str:
    """Return a batching in words, for messages."""
    plural = "" if batching.instances == 1 else "s"
    parts = (
        f"batch {batching.max_batch_size}",
        f"delay {batching.max_queue_delay_microseconds} µs",
        f"{batching.instances} instance{plural}",
        *describe_more(batching),
    )
    return ", ".join(parts)


def describe_more(batching: Batching) -> Iterator[str]:
    """Yield in words what most batchings leave open: preferred sizes and when requests go."""
    if batching.preferred_batch_size:
        yield f"preferred {' and '.join(map(str, batching.preferred_batch_size))}"
    if batching.default_timeout_microseconds:
        yield f"rejected after {batching.default_timeout_microseconds} µs"
    if batching.max_queue_size:
        yield f"queue of {batching.max_queue_size}"


def target(objectives: Objectives) -> str:
    """Return the objectives in one short phrase."""
    latency, throughput = objectives.latency, objectives.throughput
    parts = []
    if latency is not None:
        parts.append(f"p{latency.percentile} ≤ {latency.target_milliseconds} ms")
    if throughput is not None:
        parts.append(f"≥ {throughput.min_per_second}/s")
    return ", ".join(parts)


_NUMBER: Final = re.compile(r"[0-9]+(?:\.[0-9]+)?")
#: Figures that differ by less are the same: noise writes nothing.
_TOLERANCE: Final = 0.1


def same_words(one: str, other: str) -> bool:
    """Whether two messages say the same, but for figures that differ by noise."""
    if _NUMBER.sub("", one) != _NUMBER.sub("", other):
        return False
    pairs = zip(_NUMBER.findall(one), _NUMBER.findall(other), strict=True)
    return all(isclose(float(a), float(b), rel_tol=_TOLERANCE) for a, b in pairs)
