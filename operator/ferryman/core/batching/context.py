"""What the rules about batching look at, and what each of them answers."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from ferryman.api.batching import Batching, BatchingSpec, Guardrails
from ferryman.api.conditions import Reason
from ferryman.api.inference_model import InferenceModel
from ferryman.api.inference_model_status import BatchingStatus
from ferryman.api.model_source import TritonConfig
from ferryman.core.batching.actuators import Server
from ferryman.core.batching.changes import Actuation, answers
from ferryman.core.batching.step import Rules, Step, StepContext, step
from ferryman.core.observation.window import Window
from ferryman.core.snapshot import PodView, ServingState
from ferryman.core.triton import config as triton_config
from ferryman.core.tuners.protocol import Decision
from ferryman.core.tuners.select import TunerState


@dataclass(frozen=True)
class BatchingDecision:
    """The batching status to report, what the tuner remembers, and a change to carry out."""

    status: BatchingStatus
    applied: Batching
    """What the serving objects are rendered from: ``status.applied``, which is never absent."""
    state: TunerState
    actuation: Actuation | None = None
    taken: Step | None = None
    """What became of a batching that was wanted; None where none was."""


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

    def step(
        self,
        word: Decision,
        *,
        before: Batching | None = None,
        pods: tuple[PodView, ...] | None = None,
        guardrails: Guardrails | None = None,
        recommend: bool = False,
    ) -> Step:
        """Return what is done about a word on pods (all that answer) that have ``before``."""
        generation = self.model.metadata.generation
        context = StepContext(
            applied=self.applied if before is None else before,
            history=self.batching,
            servers=tuple(map(_server, self.pods if pods is None else pods)),
            rules=Rules(guardrails, recommend, generation, self.in_effect),
            now=self.now,
        )
        return step(word, context, state=self.state)

    def hold(
        self, reason: str | None = None, message: str = "", *, taken: Step | None = None
    ) -> BatchingDecision:
        """Stay at what is applied, with another explanation where a reason is given."""
        status = self.batching.with_(applied=self.applied)
        if reason is not None:
            status = status.with_(reason=str(reason), message=message)
        state = self.state if taken is None else taken.state
        return BatchingDecision(status, self.applied, state, taken=taken)

    def carry_out(
        self,
        taken: Step,
        *,
        before: Batching | None = None,
        pods: tuple[PodView, ...] | None = None,
    ) -> BatchingDecision:
        """Change pods (all that answer) if that is what is done; else hold, and say why."""
        if taken.verb != "Change" or taken.actuator is None:
            return self.hold(taken.reason, taken.message, taken=taken)
        actuation = Actuation(
            before=self.applied if before is None else before,
            after=taken.batching,
            actuator=taken.actuator,
            reason=taken.reason,
            message=taken.message,
            pods=self.pods if pods is None else pods,
        )
        status = self.batching.with_(applied=self.applied)
        return BatchingDecision(status, self.applied, taken.state, actuation, taken)

    def change(
        self,
        after: Batching,
        reason: Reason,
        message: str,
        *,
        before: Batching | None = None,
        pods: tuple[PodView, ...] | None = None,
    ) -> BatchingDecision:
        """Change pods (all that answer) to what is no tuner's word: no guardrail binds it."""
        word = Decision(after, reason, message, self.state)
        taken = self.step(word, before=before, pods=pods)
        return self.carry_out(taken, before=before, pods=pods)


def _server(pod: PodView) -> Server:
    return Server(pod.live_cap, pod.instances_known)


#: A rule answers, or leaves the answer to the rules after it.
Rule = Callable[[BatchingContext], BatchingDecision | None]
