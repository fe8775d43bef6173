"""The record of a pipeline's changes: begun, finished, interrupted, refused, taken back.

As for a single model (``core.batching.changes``) a change is written as ``InProgress`` before it
is carried out and with its outcome after, so that an operator that restarts in between tells from
the pods what came of it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal

from ferryman.api.batching import Batching
from ferryman.api.conditions import Reason
from ferryman.api.pipelines.inference_pipeline_status import (
    BalancingChange,
    BalancingStatus,
    InferencePipelineStatus,
    StepAssignment,
)
from ferryman.core import timestamps
from ferryman.core.balancing.state import Assignment
from ferryman.core.batching.changes import (
    INTERRUPTION_PAUSE,
    MAX_CHANGES,
    REFUSAL_MEMORY,
    clip,
)
from ferryman.core.pipelines import assignment as assignments
from ferryman.core.snapshot import PodView

Outcome = Literal["Applied", "Refused", "Interrupted"]
#: A pod that keeps showing something else than it was given must not be changed for ever.
MAX_CONVERGENCES_PER_HOUR: Final = 3
#: Limits of waits stay for so long.
LIMITS_REST: Final = timedelta(minutes=10)
_HOUR: Final = timedelta(hours=1)


@dataclass(frozen=True)
class StepMove:
    """What one step gets in some pods."""

    step: str
    before: Batching
    after: Batching
    pods: tuple[PodView, ...]
    """Those that are to be changed, as they are."""
    cap_annotation: str
    """By which a pod's live cap of the step is changed."""
    configs: Mapping[str, str]
    """Pod -> the whole configuration of the step with as many instances as it is to have."""
    restoring: Mapping[str, str]
    """Likewise with those that it had."""

    @property
    def grows(self) -> bool:
        """Whether it has more instances afterwards."""
        return self.after.instances > self.before.instances

    @property
    def shrinks(self) -> bool:
        """Whether it has fewer instances afterwards."""
        return self.after.instances < self.before.instances


@dataclass(frozen=True)
class PipelineChange:
    """A change of steps to carry out on running pods, without touching any other."""

    moves: tuple[StepMove, ...]
    reason: Reason
    message: str
    ensemble_pbtxt: str
    """The ensemble's configuration, to be loaded again where a step took it down."""

    @property
    def before(self) -> dict[str, Batching]:
        """What these steps had."""
        return {move.step: move.before for move in self.moves}

    @property
    def after(self) -> dict[str, Batching]:
        """What they are to have."""
        return {move.step: move.after for move in self.moves}


def record_started(
    status: InferencePipelineStatus, change: PipelineChange, now: datetime
) -> InferencePipelineStatus:
    """Return the status to write before a change is carried out."""
    entry = BalancingChange(
        time=timestamps.text(now),
        before=assignments.written(change.before),
        after=assignments.written(change.after),
        reason=change.reason,
        message=clip(change.message),
        outcome="InProgress",
        generation=status.observed_generation,
    )
    balancing = status.balancing
    changes = (entry, *balancing.changes)[:MAX_CHANGES]
    return status.with_(
        balancing=balancing.with_(changes=changes, reason=entry.reason, message=entry.message)
    )


def record_outcome(
    status: InferencePipelineStatus, outcome: Outcome, words: str
) -> InferencePipelineStatus:
    """Return the status to write after a change was carried out, or was not.

    ``words`` are Triton's or the adapter's; they may be empty. Without a begun change the status
    is returned as it is.
    """
    begun = in_progress(status.balancing)
    if begun is None:
        return status
    reason, message = explain(begun, outcome, words)
    finished = _finished(status.balancing, begun.with_(outcome=outcome, message=message))
    return status.with_(balancing=finished.with_(reason=reason, message=message))


def explain(change: BalancingChange, outcome: Outcome, words: str) -> tuple[str, str]:
    """Return the reason and message of the balancing status after a change."""
    said = f": {words}" if words else ""
    what = change.message
    if outcome == "Refused":
        return Reason.CONFIG_REFUSED, clip(f"Triton refused it, and what was before stays{said}")
    if outcome == "Interrupted":
        return change.reason, clip(f"{what}: this was interrupted and is tried again{said}")
    return change.reason, what


def in_progress(balancing: BalancingStatus) -> BalancingChange | None:
    """Return the change that was begun and has no outcome yet: only the newest can be."""
    newest = balancing.changes[0] if balancing.changes else None
    return newest if newest is not None and newest.outcome == "InProgress" else None


def resolve(balancing: BalancingStatus, pods: Mapping[str, tuple[PodView, ...]]) -> BalancingStatus:
    """Give a change whose operator vanished the outcome that the steps' pods show.

    All pods that answer have all of it in force: it is applied. Otherwise it was interrupted, and
    what has it is taken back, as for any drift. While pods exist of which none answers, nothing
    can be told and it stays in progress.
    """
    begun = in_progress(balancing)
    if begun is None:
        return balancing
    concerned = {entry.step: pods.get(entry.step, ()) for entry in begun.after}
    answers = {
        step: [pod for pod in shown if pod.batching is not None]
        for step, shown in concerned.items()
    }
    if any(concerned[step] and not answers[step] for step in concerned):
        return balancing
    carried_out = all(
        answers[entry.step] and all(_has(pod, entry) for pod in answers[entry.step])
        for entry in begun.after
    )
    outcome: Outcome = "Applied" if carried_out else "Interrupted"
    return _finished(balancing, begun.with_(outcome=outcome))


def refusal(
    balancing: BalancingStatus, wanted: Assignment, generation: int, now: datetime
) -> BalancingChange | None:
    """Return the recent change to just this that failed under this specification, if any."""
    return next(
        (
            change
            for change in balancing.changes
            if change.outcome == "Refused"
            and change.generation == generation
            and now - timestamps.parse(change.time) < REFUSAL_MEMORY
            and all(
                entry.step in wanted
                and assignments.batching_of(entry, 0 or wanted[entry.step].max_batch_size)
                == wanted[entry.step]
                for entry in change.after
            )
        ),
        None,
    )


def interruption(balancing: BalancingStatus, now: datetime) -> BalancingChange | None:
    """Return the newest change if it was interrupted moments ago: its pods need a pause."""
    newest = balancing.changes[0] if balancing.changes else None
    if newest is None or newest.outcome != "Interrupted":
        return None
    return newest if now - timestamps.parse(newest.time) < INTERRUPTION_PAUSE else None


def limited_lately(balancing: BalancingStatus, now: datetime) -> bool:
    """Say whether limits of waits were changed moments ago, or were to be: that is a reload."""
    return any(
        change.reason == Reason.REJECTS_IN_TIME
        and now - timestamps.parse(change.time) < LIMITS_REST
        for change in balancing.changes
    )


def convergences(balancing: BalancingStatus, now: datetime) -> int:
    """Count the last hour's attempts to bring pods to what is applied."""
    return sum(
        change.reason == Reason.DRIFTED and now - timestamps.parse(change.time) < _HOUR
        for change in balancing.changes
    )


def _has(pod: PodView, entry: StepAssignment) -> bool:
    return assignments.in_force(
        pod, assignments.batching_of(entry, pod.batching.max_batch_size if pod.batching else 1)
    )


def _finished(balancing: BalancingStatus, change: BalancingChange) -> BalancingStatus:
    """Put a change's outcome in the journal and, if it was applied, into what is applied."""
    earlier = balancing.changes[1:]
    if change.outcome == "Applied" and change.reason == Reason.TAKEN_BACK:
        earlier = _undone(change, earlier)
    applied = balancing.applied
    if change.outcome == "Applied":
        new = {entry.step: entry for entry in change.after}
        kept = tuple(_with_budget(new.pop(entry.step, entry), entry) for entry in applied)
        applied = (*kept, *new.values())
    return balancing.with_(changes=(change, *earlier), applied=applied)


def _with_budget(entry: StepAssignment, before: StepAssignment) -> StepAssignment:
    """Return an entry with the budget of before: the next window may tell another."""
    return entry.with_(budget_milliseconds=before.budget_milliseconds)


def _undone(
    change: BalancingChange, earlier: tuple[BalancingChange, ...]
) -> tuple[BalancingChange, ...]:
    """Mark the change that was taken back."""
    for index, one in enumerate(earlier):
        if one.outcome == "Applied" and set(one.after) == set(change.before):
            return (*earlier[:index], one.with_(outcome="RolledBack"), *earlier[index + 1 :])
    return earlier
