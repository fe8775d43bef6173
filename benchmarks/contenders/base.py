"""The shape of a contender."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ferryman.api.batching import Batching, BatchingSpec
from ferryman.core.batching import limits
from ferryman.core.tuners.protocol import Algorithm, Decision


def said(batching: Batching, reason: str, state: object, message: str = "") -> Decision:
    """Return the decision of an algorithm that is not Ferryman's own, in a word of its own."""
    return Decision(batching, reason, message, state)


def as_stated(spec: BatchingSpec) -> BatchingSpec:
    """Return the scenario's own settings."""
    return spec


@dataclass(frozen=True, slots=True)
class Contender:
    """An algorithm, or a configuration that never changes, and how it is employed."""

    name: str
    """In file names: lower case, digits and hyphens."""
    title: str
    algorithm: Algorithm | None = None
    """None: nothing ever changes."""
    state: Any = None
    """What the algorithm is handed with the first window."""
    start: Callable[[BatchingSpec], Batching] = limits.start
    """Where it starts."""
    spec: Callable[[BatchingSpec], BatchingSpec] = as_stated
    """The settings that it is given instead of the scenario's."""
    guarded: bool = False
    """Whether reload interval and budget bind it: they do Ferryman's own, and no other."""
    part: str = ""
    """For Guarded less one of its parts: which."""


def within(spec: BatchingSpec, bound: int) -> int:
    """Return a bound moved inside the limits."""
    allowed = spec.limits.max_batch_size
    return min(max(bound, allowed.min), allowed.max)
