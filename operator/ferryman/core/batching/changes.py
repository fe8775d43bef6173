"""The record of batching changes in the status: begun, finished, interrupted, refused.

A change is written as ``InProgress`` before it is carried out and with its outcome after, so
that an operator that restarts in between can tell from the pods what came of it.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal

from ferryman.api.batching import Actuator, Batching
from ferryman.api.conditions import Reason
from ferryman.api.inference_model_status import (
    BatchingChange,
    BatchingStatus,
    ChangeOutcome,
    InferenceModelStatus,
)
from ferryman.core import timestamps
from ferryman.core.batching import guardrails
from ferryman.core.batching.actuators import ACTUATORS
from ferryman.core.snapshot import PodView
from ferryman.core.wording import describe

MAX_CHANGES: Final = 10
#: The status holds no more times than the API allows; the budget never allows more.
MAX_RELOADS: Final = 128
MAX_MESSAGE: Final = 1024
#: For so long a batching that Triton refused is not tried again under the same specification.
REFUSAL_MEMORY: Final = timedelta(hours=1)
#: For so long a change that no pod answered to is not begun again.
INTERRUPTION_PAUSE: Final = timedelta(seconds=30)
_FAILED: Final = ("Refused", "RolledBack")


@dataclass(frozen=True)
class Actuation:
    """A change of batching to carry out on running Triton pods, without touching any other."""

    before: Batching
    after: Batching
    actuator: Actuator
    reason: str
    message: str
    pods: tuple[PodView, ...]
    config_pbtxt: str = ""
    """The whole Triton configuration with ``after``, as the ConfigMap will hold it."""
    config_has_live_cap: bool = False
    """Whether only pods made for a live cap can load it."""


def clip(message: str) -> str:
    """Return a message that is no longer than the API allows."""
    return message if len(message) <= MAX_MESSAGE else f"{message[: MAX_MESSAGE - 1]}…"


def record_started(
    status: InferenceModelStatus, actuation: Actuation, now: datetime
) -> InferenceModelStatus:
    """Return the status to write before the change is carried out.

    A reload counts from here, so that a crash in the middle cannot spend the budget twice.
    """
    batching = status.batching
    change = BatchingChange(
        time=timestamps.text(now),
        before=actuation.before,
        after=actuation.after,
        actuator=actuation.actuator,
        reason=actuation.reason,
        message=clip(actuation.message),
        outcome="InProgress",
        generation=status.observed_generation,
    )
    reloads = guardrails.prune(batching.recent_reloads, now)
    if ACTUATORS[actuation.actuator].reloads:
        reloads = (*reloads, timestamps.text(now))[-MAX_RELOADS:]
    return status.with_(
        batching=batching.with_(
            changes=(change, *batching.changes)[:MAX_CHANGES],
            recent_reloads=reloads,
            reason=change.reason,
            message=change.message,
        )
    )


def record_outcome(
    status: InferenceModelStatus,
    actuation: Actuation,
    outcome: Literal["Applied", "Refused", "RolledBack", "Interrupted"],
    message: str,
    now: datetime,
) -> InferenceModelStatus:
    """Return the status to write after the change was carried out, or was not.

    ``message`` is what Triton or the adapter said; it may be empty. Without a begun change
    the status is returned as it is.
    """
    batching = status.batching
    begun = in_progress(batching)
    if begun is None:
        return status
    reason, text = explain(actuation, outcome, message)
    finished = begun.with_(outcome=outcome, message=text)
    return status.with_(
        batching=batching.with_(
            applied=actuation.after if outcome == "Applied" else batching.applied,
            changes=(finished, *_undone(finished, batching.changes[1:])),
            recent_reloads=guardrails.prune(batching.recent_reloads, now),
            reason=reason,
            message=text,
        )
    )


def explain(actuation: Actuation, outcome: ChangeOutcome, words: str) -> tuple[str, str]:
    """Return the reason and message of a batching status after a change."""
    after, before = describe(actuation.after), describe(actuation.before)
    said = f": {words}" if words else ""
    if outcome == "Refused":
        text = (
            f"Triton refused {after}; {before} stays. It is tried again after an hour or when "
            f"the specification changes{said}"
        )
        return Reason.CONFIG_REFUSED, clip(text)
    if outcome == "RolledBack":
        return Reason.ROLLED_BACK, clip(f"{after} was taken back to {before}{said}")
    if outcome == "Interrupted":
        text = f"the change from {before} to {after} was interrupted and is tried again{said}"
        return actuation.reason, clip(text)
    return actuation.reason, clip(actuation.message)


def in_progress(batching: BatchingStatus) -> BatchingChange | None:
    """Return the change that was begun and has no outcome yet: only the newest can be."""
    newest = batching.changes[0] if batching.changes else None
    return newest if newest is not None and newest.outcome == "InProgress" else None


def resolve(batching: BatchingStatus, pods: tuple[PodView, ...]) -> BatchingStatus:
    """Give a change whose operator vanished the outcome that its pods show.

    All pods that answer have it in force: it is applied. Otherwise it was interrupted, and
    pods that have it are taken back to what is applied, as for any drift. While pods exist
    and none answers, nothing can be told and the change stays in progress.
    """
    begun = in_progress(batching)
    answering = answers(pods)
    if begun is None or (pods and not answering):
        return batching
    carried_out = bool(answering) and all(in_force(pod, begun.after) for pod in answering)
    finished = begun.with_(outcome="Applied" if carried_out else "Interrupted")
    return batching.with_(
        changes=(finished, *_undone(finished, batching.changes[1:])),
        applied=begun.after if carried_out else batching.applied,
    )


def _undone(
    change: BatchingChange, earlier: tuple[BatchingChange, ...]
) -> tuple[BatchingChange, ...]:
    """Mark the change that a rollback took back, so that it is not made again soon."""
    if change.outcome != "Applied" or change.reason != Reason.ROLLED_BACK:
        return earlier
    for index, one in enumerate(earlier):
        if one.after == change.before and one.outcome == "Applied":
            return (*earlier[:index], one.with_(outcome="RolledBack"), *earlier[index + 1 :])
    return earlier


def answers(pods: tuple[PodView, ...]) -> tuple[PodView, ...]:
    """Return the pods whose Triton said what it has in force."""
    return tuple(pod for pod in pods if pod.batching is not None)


def in_force(pod: PodView, batching: Batching) -> bool:
    """Whether a pod has this batching in force, as far as it can be told."""
    if pod.batching is None:
        return False
    instances = pod.batching.instances if pod.instances_known else batching.instances
    return pod.batching.with_(instances=instances) == batching


def refusal(
    batching: BatchingStatus, wanted: Batching, generation: int, now: datetime
) -> BatchingChange | None:
    """Return the recent change in which this batching failed under this specification, if any."""
    return next(
        (
            change
            for change in batching.changes
            if change.after == wanted
            and change.outcome in _FAILED
            and change.generation == generation
            and now - timestamps.parse(change.time) < REFUSAL_MEMORY
        ),
        None,
    )


def why_not_again(change: BatchingChange) -> tuple[Reason, str]:
    """Return why what a refused or undone change was to bring is not tried again yet."""
    if change.outcome == "Refused":
        return Reason.CONFIG_REFUSED, change.message
    text = (
        f"{describe(change.after)} of {change.time} was worse than predicted and taken back: it is "
        "tried again after an hour or when the specification changes"
    )
    return Reason.ROLLED_BACK, text


def interruption(batching: BatchingStatus, now: datetime) -> BatchingChange | None:
    """Return the newest change if it was interrupted moments ago: its pods need a pause."""
    newest = batching.changes[0] if batching.changes else None
    if newest is None or newest.outcome != "Interrupted":
        return None
    return newest if now - timestamps.parse(newest.time) < INTERRUPTION_PAUSE else None
