"""What a batching algorithm is: asked after each window, it answers with the batching to apply.

``core.tuners.select.tune`` is one. Whoever runs algorithms (the operator, the digital twin, a
session with a real Triton) keeps the state that it answers with and hands it back with the next
window.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from ferryman.api.batching import Batching, BatchingSpec
from ferryman.api.objectives import Objectives
from ferryman.core.observation.window import Window
from ferryman.core.tuners.needs import ENOUGH, Needs

#: A batching as it comes into force where the model's own configuration has its say.
InEffect = Callable[[Batching], Batching]


@dataclass(frozen=True, slots=True)
class Decision:
    """What an algorithm answers: the batching to apply, equal to the applied one for "hold"."""

    batching: Batching
    reason: str
    """Why, in one CamelCase word."""
    message: str
    """Why, for people."""
    state: Any
    """What the algorithm wants to remember."""
    needs: Needs = ENOUGH
    """What it takes to meet the objectives. That more is needed outlives a few good windows, so
    that demand around the capacity makes no noise."""
    if_refused: Any = None
    """What to remember if the change must wait; without it, what was remembered before."""
    urgent: bool = False
    """Whether hardly a request is answered in time: then a reload costs nothing, and waiting
    for one costs everything."""


class Algorithm(Protocol):
    """Decides after one window; sees nothing but what a server shows."""

    def __call__(
        self,
        spec: BatchingSpec,
        objectives: Objectives,
        applied: Batching,
        window: Window,
        state: Any,  # noqa: ANN401  the algorithm's own
        /,
    ) -> Decision:
        """Return the decision and the state for the next window."""
