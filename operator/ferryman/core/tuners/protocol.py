"""What a batching algorithm is: asked after each window, it answers with the batching to apply.

``core.tuner.tune`` is one. Whoever runs algorithms (the operator, the digital twin, a session
with a real Triton) keeps the state that it answers with and hands it back with the next window.
"""

from typing import Any, Protocol

from ferryman.api.batching import Batching, BatchingSpec
from ferryman.api.objectives import Objectives
from ferryman.core.observation.window import Window


class Decision(Protocol):
    """What an algorithm answers: the batching to apply, equal to the applied one for "hold"."""

    @property
    def batching(self) -> Batching:
        """The batching to apply."""

    @property
    def reason(self) -> str:
        """Why, in one CamelCase word."""

    @property
    def message(self) -> str:
        """Why, for people."""

    @property
    def state(self) -> Any:  # noqa: ANN401  the algorithm's own
        """What the algorithm wants to remember."""

    @property
    def needs_replicas(self) -> int | None:
        """Replicas that would do, where no configuration of these meets the objectives."""

    @property
    def if_refused(self) -> Any:  # noqa: ANN401  the algorithm's own
        """What it wants to remember if the change must wait; None: what it did before."""


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
