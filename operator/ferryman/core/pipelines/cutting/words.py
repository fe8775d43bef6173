"""What becomes of steps that are cut off for speed, in words and as events."""

from collections.abc import Mapping
from typing import Final

from ferryman.api.conditions import Reason
from ferryman.api.pipelines.execution_status import CutState, CutStatus
from ferryman.core.pipelines.cutting.trial import applied
from ferryman.core.pipelines.graph import listed
from ferryman.core.status.events import Event

_WORDS: Final[Mapping[CutState, str]] = {
    "Wanted": "{message}: {steps} cut off, once that has been so for 10 min",
    "Trial": "{steps} cut off on trial: {message}",
    "Kept": "{steps} cut off for good: {message}",
    "Doubted": "{steps} cut off, and taken back once that has gained nothing for 10 min",
    "TakenBack": "{steps} taken back: {message}",
}


def sentence(cut: CutStatus) -> str:
    """Return what becomes of the steps, and why."""
    return _WORDS[cut.state].format(steps=listed(cut.steps), message=cut.message)


def events_of(before: CutStatus | None, after: CutStatus | None) -> tuple[Event, ...]:
    """Return the events for what changed about them in what serves, or was found out."""
    if after is None or (before is not None and before.state == after.state):
        return ()
    if after.state == "TakenBack":
        return (Event("Warning", Reason.TAKEN_BACK, sentence(after)),)
    if not applied(after) or (applied(before) and after.state != "Kept"):
        return ()
    return (Event("Normal", Reason.CUT_GAINS, sentence(after)),)
