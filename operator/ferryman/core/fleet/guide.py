"""Whose service times tell how long batches take on a node type: its own, or another's, scaled."""

from collections.abc import Iterable, Mapping
from typing import Final

from ferryman.api.inference_model_status import MAX_SERVICE_TIME_MS

Key = tuple[str, str]
"""A node type and a processor class."""
#: No batch is faster. What lies beyond these bounds comes from rates that nobody measured.
LEAST_MS: Final = 1e-6


def guide(
    here: Key, measured: Iterable[Key], images_per_second: Mapping[Key, float]
) -> tuple[Key, float] | None:
    """Return where to take the service times from, and what to multiply them by.

    What was measured here counts as it is. Otherwise the reference benchmarks of both scale it,
    of a processor of the same class if there is one, of equals the first. None where no
    measurement can be scaled.
    """
    known = list(measured)
    if here in known:
        return here, 1.0
    rated = [key for key in known if key in images_per_second]
    if here not in images_per_second or not rated:
        return None
    there = min(rated, key=lambda key: key[1] != here[1])
    return there, images_per_second[there] / images_per_second[here]


def scaled(ms: float, factor: float) -> float:
    """Return a service time on another node type, no longer than the status can tell."""
    return min(max(ms * factor, LEAST_MS), MAX_SERVICE_TIME_MS)
