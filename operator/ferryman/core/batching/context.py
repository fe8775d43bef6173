"""What the rules about batching look at, and what each of them answers."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from ferryman.api.batching import Actuator, Batching, BatchingSpec
from ferryman.api.conditions import Reason
from ferryman.api.inference_model import InferenceModel
from ferryman.api.inference_model_status import BatchingStatus
from ferryman.api.model_source import TritonConfig
from ferryman.core.batching.actuators import cheapest_actuator
from ferryman.core.batching.changes import (
    Actuation,
    answers,
    in_force,
    interruption,
    refusal,
    why_not_again,
)
from ferryman.core.observation.window import Window
from ferryman.core.snapshot import PodView, ServingState
from ferryman.core.triton import config as triton_config
from ferryman.core.tuners.select import TunerState


@dataclass(frozen=True)
class BatchingDecision:
    """The batching status to report, what the tuner remembers, and a change to carry out."""

    status: BatchingStatus
    applied: Batching
    """What the serving objects are rendered from: ``status.applied``, which is never absent."""
    state: TunerState
    actuation: Actuation | None = None


@dataclass(frozen=True)
class BatchingContext:
    """One model's batching: what is reported, applied, in force, and observed."""

    model: InferenceModel
    serving: ServingState
    overlay: TritonConfig
    """The user's Triton configuration, whose own words on batching win."""
    batching: BatchingStatus
    applied: Batching
    window: Window | None
    steady: bool
    """Whether the window says nothing that the status does not say already."""
    state: TunerState
    now: datetime

    @property
    def spec(self) -> BatchingSpec:
        """How the user wants batching to be tuned."""
        return self.model.spec.batching

    @property
    def pods(self) -> tuple[PodView, ...]:
        """The pods that can be changed: those whose Triton answers."""
        return answers(self.serving.pods)

    def in_effect(self, batching: Batching) -> Batching:
        """Return a batching as it comes into force under the overlay."""
        return triton_config.in_effect(self.overlay, batching)

    def actuator(
        self, before: Batching, after: Batching, pods: tuple[PodView, ...] | None = None
    ) -> Actuator:
        """Return how these pods (all that answer) are changed.

        By the live cap where their annotation alone puts ``after`` in force: what each was loaded
        with counts, because preferred sizes beyond a cap show only once the cap is raised.
        """
        pods = self.pods if pods is None else pods
        if pods and all(self._reached_by_cap(pod, after) for pod in pods):
            return "LiveCap"
        return cheapest_actuator(before, after)

    def _reached_by_cap(self, pod: PodView, after: Batching) -> bool:
        cap, bound = pod.live_cap, after.max_batch_size
        if cap is None or bound > cap.largest:
            return False
        capped = self.in_effect(cap.loaded.with_(max_batch_size=bound))
        return in_force(pod.with_(batching=capped), after)

    def hold(
        self, reason: Reason | None = None, message: str = "", *, state: TunerState | None = None
    ) -> BatchingDecision:
        """Stay at what is applied, with another explanation where a reason is given."""
        status = self.batching.with_(applied=self.applied)
        if reason is not None:
            status = status.with_(reason=str(reason), message=message)
        return BatchingDecision(status, self.applied, self.state if state is None else state)

    def change(
        self,
        after: Batching,
        reason: Reason,
        message: str,
        *,
        before: Batching | None = None,
        pods: tuple[PodView, ...] | None = None,
        state: TunerState | None = None,
        if_refused: TunerState | None = None,
    ) -> BatchingDecision:
        """Change pods (all that answer) to another batching, unless that failed lately.

        ``state`` is what the tuner remembers of it, ``if_refused`` where it failed lately.
        """
        refused = refusal(self.batching, after, self.model.metadata.generation, self.now)
        if refused is not None:
            return self.hold(*why_not_again(refused), state=if_refused)
        interrupted = interruption(self.batching, self.now)
        if interrupted is not None and interrupted.after == after:
            return self.hold(state=if_refused)
        before = self.applied if before is None else before
        pods = self.pods if pods is None else pods
        actuation = Actuation(
            before=before,
            after=after,
            actuator=self.actuator(before, after, pods),
            reason=reason,
            message=message,
            pods=pods,
        )
        status = self.batching.with_(applied=self.applied)
        state = self.state if state is None else state
        return BatchingDecision(status, self.applied, state, actuation)


#: A rule answers, or leaves the answer to the rules after it.
Rule = Callable[[BatchingContext], BatchingDecision | None]
