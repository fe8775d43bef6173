"""What the objectives need: the replicas there are, a number of them, or what no number gives."""

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


def unattainable(needs: Needs) -> str | None:
    """Return why no number would do, where none would."""
    return needs.why if isinstance(needs, Unattainable) else None
