"""Which of several load performance tables counts: all nodes of a type share one.

Nodes get their tables one after the other, so that for a moment they differ.
"""

from collections.abc import Iterable
from datetime import datetime

from ferryman.api.node_profile import Benchmark
from ferryman.core import timestamps


def newest(tables: Iterable[Benchmark]) -> Benchmark | None:
    """Return the newest table with rows; a failure only where there is nothing better."""
    return max(tables, key=precedence, default=None)


def precedence(table: Benchmark) -> tuple[bool, datetime, str, str]:
    """Order tables; the last two parts only make equal times come out alike, in any order."""
    measured_at = timestamps.parse(table.measured_at)
    return bool(table.points), measured_at, table.measured_on, table.image
