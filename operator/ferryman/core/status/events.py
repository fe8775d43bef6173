"""Kubernetes events about a model: only for transitions, in the words of the status."""

from dataclasses import dataclass
from typing import Final, Literal

from ferryman.api.conditions import ConditionType, Reason, find
from ferryman.api.inference_model_status import ChangeOutcome, InferenceModelStatus
from ferryman.core.batching.changes import Actuation, clip, explain, in_progress
from ferryman.core.wording import describe

EventType = Literal["Normal", "Warning"]
#: Of measuring before traffic, what somebody may want to put right.
_NOT_MEASURABLE: Final = (
    Reason.INPUTS_UNKNOWN,
    Reason.REQUESTS_REFUSED,
    Reason.TRITON_UNREACHABLE,
    Reason.MEASUREMENT_INTERRUPTED,
    Reason.NOTHING_TO_MEASURE,
)


@dataclass(frozen=True)
class Event:
    """A Kubernetes event about the model."""

    type: EventType
    reason: str
    message: str


def of_outcome(actuation: Actuation, outcome: ChangeOutcome, words: str) -> Event:
    """Return the event for a change of batching that was carried out, or was not.

    ``words`` are Triton's or the adapter's; they may be empty.
    """
    reason, message = explain(actuation, outcome, words)
    if outcome == "Applied":
        kind: EventType = "Warning" if reason == Reason.ROLLED_BACK else "Normal"
        return Event(kind, reason, clip(f"{describe(actuation.after)} applied: {message}"))
    return Event("Warning", reason, message)


def of_transition(before: InferenceModelStatus, after: InferenceModelStatus) -> tuple[Event, ...]:
    """Return the events for what changed between two statuses."""
    return (
        *_placement(before, after),
        *_resolved(before, after),
        *of_warm_start(before, after),
        *_readiness(before, after),
        *_capacity(before, after),
        *_scaled(before, after),
        *_hindered(ConditionType.SCALING_LIMITED, before, after),
        *_hindered(ConditionType.SCALING_CONTESTED, before, after),
    )


def _placement(before: InferenceModelStatus, after: InferenceModelStatus) -> tuple[Event, ...]:
    old, new = before.placement, after.placement
    if new is None or new.node_type is None:
        return ()
    if old is not None and (old.node_type, old.processor) == (new.node_type, new.processor):
        return ()
    return (Event("Normal", new.reason, new.message),)


def _resolved(before: InferenceModelStatus, after: InferenceModelStatus) -> tuple[Event, ...]:
    """Tell what came of a change that an earlier operator began."""
    begun = in_progress(before.batching)
    if begun is None or in_progress(after.batching) is not None:
        return ()
    change = after.batching.changes[0]
    kind: EventType = "Normal" if change.outcome == "Applied" else "Warning"
    message = f"{describe(change.after)}: found {change.outcome.lower()} after a restart"
    return (Event(kind, change.reason, message),)


def of_warm_start(before: InferenceModelStatus, after: InferenceModelStatus) -> tuple[Event, ...]:
    """Tell that service times are being measured, and what came of it."""
    old, new = before.batching.warm_start, after.batching.warm_start
    if new is None or (old is not None and (old.time, old.reason) == (new.time, new.reason)):
        return ()
    kind: EventType = "Warning" if new.reason in _NOT_MEASURABLE else "Normal"
    return (Event(kind, new.reason, new.message),)


def _readiness(before: InferenceModelStatus, after: InferenceModelStatus) -> tuple[Event, ...]:
    old = find(before.conditions, ConditionType.READY)
    new = find(after.conditions, ConditionType.READY)
    stalled = find(after.conditions, ConditionType.STALLED) is not None
    if new is None:
        return ()
    flipped = old is not None and old.status != new.status
    began_ready = old is None and new.status == "True"
    newly_stalled = stalled and (old is None or old.reason != new.reason)
    if not (flipped or began_ready or newly_stalled):
        return ()
    return (Event("Warning" if stalled else "Normal", new.reason, new.message),)


def _capacity(before: InferenceModelStatus, after: InferenceModelStatus) -> tuple[Event, ...]:
    old = find(before.conditions, ConditionType.NEEDS_CAPACITY)
    new = find(after.conditions, ConditionType.NEEDS_CAPACITY)
    if (old is None) == (new is None):
        return ()
    if new is None:
        return (Event("Normal", Reason.CAPACITY_SUFFICES, "no more replicas are needed"),)
    return (Event("Warning", new.reason, new.message),)


def _scaled(before: InferenceModelStatus, after: InferenceModelStatus) -> tuple[Event, ...]:
    """Tell of another number of replicas, and why."""
    old = before.scaling.changes if before.scaling else ()
    new = after.scaling.changes if after.scaling else ()
    if not new or new == old:
        return ()
    change = new[0]
    message = f"{change.before} to {change.after} replicas: {change.message}"
    return (Event("Normal", change.reason, message),)


def _hindered(
    kind: ConditionType, before: InferenceModelStatus, after: InferenceModelStatus
) -> tuple[Event, ...]:
    old, new = find(before.conditions, kind), find(after.conditions, kind)
    if new is None or (old is not None and old.reason == new.reason):
        return ()
    return (Event("Warning", new.reason, new.message),)
