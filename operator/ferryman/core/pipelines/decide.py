"""The assignment of this reconcile: what the user asks for, what pods have, what balancing wants.

At most one change at a time. In order: finish what was begun; follow the specification; bring pods
that differ back to what is applied; let the balancer take a step.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final

from ferryman.api.batching import Batching
from ferryman.api.conditions import Reason
from ferryman.api.pipelines.inference_pipeline import InferencePipeline
from ferryman.api.pipelines.inference_pipeline_status import BalancingStatus
from ferryman.api.pipelines.step import PipelineStep
from ferryman.core.balancing import learning
from ferryman.core.balancing.decide import BalancingDecision
from ferryman.core.balancing.state import Assignment, BalancerState
from ferryman.core.observation.pipeline_window import PipelineWindow
from ferryman.core.pipelines import assignment as assignments
from ferryman.core.pipelines import journal, needs
from ferryman.core.pipelines.steps import waits
from ferryman.core.snapshot import PodView
from ferryman.core.wording import same_words

#: Asks the balancer about one window of what is applied.
Balance = Callable[[Assignment, PipelineWindow, BalancerState], BalancingDecision]
#: A step may only lose instances where the others then run for less than this share of time: a
#: shrink waits for an instance that is idle (Triton's rate_limiter.cc reads its queue last).
MOST_BUSY_AFTER_SHRINK: Final = 0.7


@dataclass(frozen=True)
class WantedChange:
    """A change of steps in pods, without what is to be loaded."""

    steps: Mapping[str, tuple[Batching, Batching, tuple[PodView, ...]]]
    """Step -> what it has, what it is to have, and the pods to change."""
    reason: Reason
    message: str


@dataclass(frozen=True)
class AssignmentDecision:
    """The balancing status to report, what is remembered, and a change to carry out."""

    status: BalancingStatus
    applied: Assignment
    """What the serving objects are rendered from."""
    state: BalancerState
    change: WantedChange | None = None
    if_refused: BalancerState | None = None
    """What is to be remembered instead where the change is not made; None: the same."""
    decision: BalancingDecision | None = None
    """The balancer's word, where it was asked."""


@dataclass(frozen=True)
class BalancingContext:
    """One pipeline's steps: what is applied, in force and observed."""

    pipeline: InferencePipeline
    pods: Mapping[str, tuple[PodView, ...]]
    """Step -> what each pod has of it."""
    settled: bool
    """Whether all replicas are ready and none of before is left."""
    window: PipelineWindow | None
    state: BalancerState
    balance: Balance
    now: datetime
    balancing: BalancingStatus = field(default_factory=BalancingStatus)
    applied: Assignment = field(default_factory=dict)
    waits_us: Mapping[str, int] = field(default_factory=dict)
    """Step -> how long requests may wait for it; none where that is not limited, or unknown."""
    has_steps_elsewhere: bool = False
    """Whether another server answers for a step: then pods of this one are not all that it
    takes."""

    def answering(self, step: str) -> tuple[PodView, ...]:
        """Return the pods that said what they have of a step."""
        return tuple(pod for pod in self.pods.get(step, ()) if pod.batching is not None)

    def hold(self, reason: Reason | None = None, message: str = "") -> AssignmentDecision:
        """Stay at what is applied, with another explanation where a reason is given."""
        status = self.balancing
        if reason is not None:
            status = status.with_(reason=str(reason), message=message)
        return AssignmentDecision(status, self.applied, self.state)

    def change(
        self, wanted: Assignment, reason: Reason, message: str, state: BalancerState | None = None
    ) -> AssignmentDecision:
        """Have all pods that answer get this, where it failed lately not again."""
        failed = journal.refusal(
            self.balancing, wanted, self.pipeline.metadata.generation, self.now
        )
        if failed is not None:
            return self.hold(Reason.CONFIG_REFUSED, failed.message)
        steps = {
            step: (self.applied[step], wanted[step], self.answering(step))
            for step in assignments.differences(self.applied, wanted)
        }
        change = WantedChange(steps, reason, message)
        return AssignmentDecision(
            self.balancing, self.applied, self.state if state is None else state, change
        )


def decide_assignment(context: BalancingContext) -> AssignmentDecision:
    """Decide about the steps of one pipeline."""
    pipeline = context.pipeline
    balancing = journal.resolve(pipeline.status.balancing, context.pods)
    applied = assignments.read(balancing.applied, pipeline)
    balancing = _explained(balancing, pipeline).with_(applied=_written(applied, balancing))
    if pipeline.spec.balancing.mode == "Fixed" or context.has_steps_elsewhere:
        balancing = needs.unsaid(balancing)
    found = replace(context, balancing=balancing, applied=applied)
    return next(decision for rule in _RULES if (decision := rule(found)) is not None)


def _written(applied: Assignment, before: BalancingStatus) -> tuple[object, ...]:
    budgets = {entry.step: entry.budget_milliseconds for entry in before.applied}
    known = {step: budget for step, budget in budgets.items() if budget is not None}
    return assignments.written(applied, known)


def _explained(balancing: BalancingStatus, pipeline: InferencePipeline) -> BalancingStatus:
    """Replace an explanation that the specification made obsolete."""
    mode, reason = pipeline.spec.balancing.mode, balancing.reason
    if mode == "Fixed" and reason not in {
        Reason.MODE_FIXED,
        Reason.SPEC_CHANGED,
        Reason.DRIFTED,
        Reason.CONFIG_REFUSED,
    }:
        message = "mode Fixed: each step stays as stated"
        return balancing.with_(reason=str(Reason.MODE_FIXED), message=message, recommended=())
    if mode != "Fixed" and reason in {"", Reason.MODE_FIXED}:
        message = "no observation window has ended yet"
        return balancing.with_(reason=str(Reason.OBSERVING), message=message)
    return balancing if mode == "Observe" else balancing.with_(recommended=())


def _await_outcome(context: BalancingContext) -> AssignmentDecision | None:
    """Nothing else happens while a change is under way whose outcome cannot be told yet."""
    return context.hold() if journal.in_progress(context.balancing) else None


def _pause(context: BalancingContext) -> AssignmentDecision | None:
    """Leave pods alone for a while that did not answer to a change."""
    return context.hold() if journal.interruption(context.balancing, context.now) else None


def _follow_spec(context: BalancingContext) -> AssignmentDecision | None:
    """Apply what the user states."""
    pipeline = context.pipeline
    wanted = {step.name: _asked(context, step) for step in pipeline.spec.steps}
    changed = assignments.differences(context.applied, wanted)
    if not changed:
        return None
    answering = {step: context.answering(step) for step in changed}
    if not all(answering.values()):
        if any(pod.ready for step in changed for pod in context.pods.get(step, ())):
            return context.hold()  # they serve what is applied, and are changed once one answers
        status = context.balancing.with_(applied=_written(wanted, context.balancing))
        return AssignmentDecision(status, wanted, context.state)  # pods will come up with it
    message = f"the specification asks for {assignments.words(context.applied, wanted)}"
    return context.change(wanted, Reason.SPEC_CHANGED, message)


def _asked(context: BalancingContext, step: PipelineStep) -> Batching:
    """Return what the specification makes of what is applied to a step."""
    pipeline = context.pipeline
    if pipeline.spec.balancing.mode == "Fixed":
        return assignments.start(pipeline, step)
    return assignments.clamped(pipeline, step, context.applied[step.name])


def _converge(context: BalancingContext) -> AssignmentDecision | None:
    """Bring pods in which a step differs back to what is applied."""
    applied = context.applied
    for step, wanted in applied.items():
        pods = tuple(
            pod for pod in context.answering(step) if not assignments.in_force(pod, wanted)
        )
        found = pods[0].batching if pods else None
        if found is None:
            continue
        if journal.convergences(context.balancing, context.now) >= (
            journal.MAX_CONVERGENCES_PER_HOUR
        ):
            message = (
                f"pods have {found.instances} instances of step {step} in force although "
                f"{wanted.instances} were loaded {journal.MAX_CONVERGENCES_PER_HOUR} times within "
                "an hour: look at Triton's log"
            )
            return context.hold(Reason.DRIFTED, message)
        differs = assignments.words({step: found}, {step: wanted})
        message = f"{len(pods)} of {len(context.pods[step])} pods differ: {differs}"
        alike = tuple(pod for pod in pods if pod.batching == found)
        change = WantedChange({step: (found, wanted, alike)}, Reason.DRIFTED, message)
        return AssignmentDecision(context.balancing, applied, context.state, change)
    return None


def _reject_in_time(context: BalancingContext) -> AssignmentDecision | None:
    """Have steps reject what has waited for longer than their part of the budget lets it.

    That reloads a step, so that it is done seldom, and where much is amiss.
    """
    is_auto = context.pipeline.spec.balancing.mode == "Auto"
    if not is_auto or not context.settled or journal.limited_lately(context.balancing, context.now):
        return None
    steps = {}
    for step, wait_us in context.waits_us.items():
        pods = tuple(
            pod
            for pod in context.answering(step)
            if (loaded_us := _limit_us(pod)) and waits.differs(loaded_us, wait_us)
        )
        if pods:
            now, limited = context.applied[step], {"default_timeout_microseconds": wait_us}
            before = now.with_(default_timeout_microseconds=_limit_us(pods[0]))
            steps[step] = before, now.with_(**limited), pods
    if not steps:
        return None
    told = ", ".join(
        f"{step} what waited for {after.default_timeout_microseconds / 1e3:.3g} ms"
        for step, (_, after, _) in steps.items()
    )
    change = WantedChange(steps, Reason.REJECTS_IN_TIME, f"steps reject in time: {told}")
    return AssignmentDecision(context.balancing, context.applied, context.state, change)


def _limit_us(pod: PodView) -> int:
    """Return how long requests may wait for a step in a pod; 0 where that is not limited."""
    return pod.batching.default_timeout_microseconds if pod.batching else 0


def _balance(context: BalancingContext) -> AssignmentDecision | None:
    """Let the balancer take a step after a window of what is applied."""
    pipeline, window = context.pipeline, context.window
    if window is None or not context.settled or pipeline.spec.balancing.mode == "Fixed":
        return None
    word = context.balance(context.applied, window, context.state)
    wanted = {**context.applied, **word.assignment}
    status = _told(context, word)
    if not context.has_steps_elsewhere:
        status = needs.noted(status, word.needs, pipeline.replicas, context.now)
    told = replace(context, balancing=status)
    if not assignments.differences(context.applied, wanted):
        held = told.hold()
        return _with_word(held, word, word.state)
    if pipeline.spec.balancing.mode == "Observe":
        recommended = told.balancing.with_(recommended=assignments.written(wanted))
        return _with_word(
            AssignmentDecision(recommended, context.applied, word.if_refused), word, word.if_refused
        )
    kept = _too_busy_to_shrink(context, wanted, window)
    if kept is not None:
        return _with_word(told.hold(word.reason, kept), word, word.if_refused)
    changed = told.change(wanted, word.reason, word.message, word.state)
    if changed.change is None:
        return _with_word(changed, word, word.if_refused)
    return _with_word(changed, word, word.state)


def _with_word(
    found: AssignmentDecision, word: BalancingDecision, state: BalancerState
) -> AssignmentDecision:
    return AssignmentDecision(
        found.status, found.applied, state, found.change, word.if_refused, word
    )


def _told(context: BalancingContext, word: BalancingDecision) -> BalancingStatus:
    """Return the status with the balancer's word; figures that only waver write nothing.

    What served the window well is the last good assignment, unless it is about to be taken back.
    """
    budgets = {each.name: each.budget_ms for each in word.steps if each.budget_ms is not None}
    applied = assignments.written(context.applied, budgets)
    before, window = context.balancing, context.window
    good = window is not None and window.requests.requests > 0 and not window.requests.failures
    taken_back = word.reason == Reason.TAKEN_BACK
    same = before.reason == word.reason and same_words(before.message, word.message)
    return before.with_(
        applied=applied if budgets else before.applied,
        last_good=applied if good and not taken_back else before.last_good,
        reason=str(word.reason),
        message=before.message if same else word.message,
    )


def _too_busy_to_shrink(
    context: BalancingContext, wanted: Assignment, window: PipelineWindow
) -> str | None:
    """Return why steps keep their instances for now, or None."""
    for step in assignments.differences(context.applied, wanted):
        before, after = context.applied[step].instances, wanted[step].instances
        if after >= before or step not in window.steps:
            continue
        busy = busy_instances(window, step)
        if busy is not None and busy > MOST_BUSY_AFTER_SHRINK * after:
            return (
                f"step {step} keeps its {before} workers for now: {after} would be busy for "
                f"{busy / after:.0%} of the time, and one ends only where others are idle"
            )
    return None


def busy_instances(window: PipelineWindow, step: str) -> float | None:
    """Return how many instances of a step ran on average in each pod; None where unknown."""
    shown = window.steps[step]
    if not shown.seconds or not shown.pods:
        return None
    return learning.busy_instances(shown)


_RULES: Final[tuple[Callable[[BalancingContext], AssignmentDecision | None], ...]] = (
    _await_outcome,
    _pause,
    _follow_spec,
    _converge,
    _reject_in_time,
    _balance,
    BalancingContext.hold,
)
