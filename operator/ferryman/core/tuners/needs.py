"""What the objectives need: the replicas there are, a number of them, or what no number gives."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from ferryman.api.scaling import MAX_SCALED_REPLICAS

#: More replicas than this are not asked for.
MAX_REPLICAS: Final = MAX_SCALED_REPLICAS


@dataclass(frozen=True, slots=True)
class Enough:
    """The replicas there are can meet the objectives, as far as is known."""

    replicas: int | None = None
    """So many would still do, with headroom; None where nothing tells how many."""


@dataclass(frozen=True, slots=True)
class Replicas:
    """With so many replicas the objectives could be met, where no configuration of these can."""

    count: int


@dataclass(frozen=True, slots=True)
class Unattainable:
    """No number of replicas that may be asked for would meet the objectives."""

    why: str
    """A clause without figures that change while nothing changes."""


Needs = Enough | Replicas | Unattainable
#: Nothing is known to be lacking, and nothing to be more than is needed.
ENOUGH: Final = Enough()


def number(needs: Needs) -> int | None:
    """Return the replicas that are asked for beyond those there are, where there is a number."""
    return needs.count if isinstance(needs, Replicas) else None


def count(needs: Needs, present: int) -> int:
    """Return how many replicas are asked for; where no number is named the present one."""
    if isinstance(needs, Replicas):
        return max(needs.count, 1)
    if isinstance(needs, Enough) and needs.replicas is not None:
        return needs.replicas
    return max(present, 1)


def least_count(suffices: Callable[[int], bool], first: int, most: int) -> int | None:
    """Return the least number from first to most that suffices, by doubling and bisection.

    None where the most does not. Larger numbers are taken to suffice where smaller ones do.
    """
    low, high = first - 1, min(first, most)
    while not suffices(high):
        if high >= most:
            return None
        low, high = high, min(2 * high, most)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if suffices(middle) else (middle, high)
    return high


def unattainable(needs: Needs) -> str | None:
    """Return why no number would do, where none would."""
    return needs.why if isinstance(needs, Unattainable) else None
