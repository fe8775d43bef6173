"""When steps are cut off for speed, and when they are taken back: what serves changes seldom.

A gain that is predicted must be clear, and last; then the steps are cut off and requests measured;
a cut that did not make them faster is taken back, and not tried again for a day.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from ferryman.api.pipelines.execution_status import CutState, CutStatus
from ferryman.core import timestamps
from ferryman.core.pipelines.graph import listed
from ferryman.core.rounding import significant

#: What is wanted, doubted or tried is so for this time before anything follows from it.
LASTING: Final = timedelta(minutes=10)
#: Pods are new, and connections not there yet, for so long: such windows tell nothing.
SETTLES: Final = timedelta(minutes=1)
#: Fewer windows tell too little.
MIN_WINDOWS: Final = 5
#: A cut is kept where requests take at most this share of what they took.
WORTH_IT: Final = 0.95
#: What was taken back is not tried again before.
REFUSED_FOR: Final = timedelta(days=1)
#: In these the steps are cut off.
_APPLIED: Final[Collection[CutState]] = ("Trial", "Kept", "Doubted")


@dataclass(frozen=True, slots=True)
class CutSituation:
    """What bears on whether steps are cut off for speed."""

    gains: tuple[str, ...]
    """The steps whose cut makes a request clearly faster, as far as was measured."""
    gain_s: float | None
    """By how much a request is faster with the steps cut off that are; None: unknown."""
    possible: Collection[str]
    """Steps that may be cut off."""
    answering: Collection[str]
    """Steps whose InferenceModel is ready."""
    settled: bool
    """Whether all pods serve what was asked for last."""
    latency_ms: float | None
    """What requests took on average in the window that ended; None: none did, or was empty."""
    failing: bool
    """Whether many requests failed in it."""
    generation: int
    now: datetime


def applied(cut: CutStatus | None) -> tuple[str, ...]:
    """Return the steps that are cut off for speed."""
    return cut.steps if cut is not None and cut.state in _APPLIED else ()


def decide_cut(before: CutStatus | None, seen: CutSituation) -> CutStatus | None:
    """Return what becomes of steps that are cut off, or would be, for speed."""
    if before is not None and not set(before.steps) <= set(seen.possible):
        before = None  # the specification, or the model it refers to, is another
    if before is None:
        return _begun(seen)
    return _AFTER[before.state](before, seen)


def _begun(seen: CutSituation) -> CutStatus | None:
    if not seen.gains:
        return None
    return _now("Wanted", seen, seen.gains, "a request would be faster")


def _wanted(before: CutStatus, seen: CutSituation) -> CutStatus | None:
    if seen.gains != before.steps:
        return _begun(seen)
    found = _with_window(before, seen, "before_milliseconds")
    if not _lasted(found, seen) or found.windows < MIN_WINDOWS:
        return found
    message = f"a request takes {found.before_milliseconds:g} ms on one server"
    return _now("Trial", seen, before.steps, message, found)


def _trial(before: CutStatus, seen: CutSituation) -> CutStatus:
    if silent := _silent(before, seen):
        return silent
    if seen.failing and seen.settled:
        return _now("TakenBack", seen, before.steps, "requests failed that way", before)
    if seen.now - _since(before) < SETTLES:
        return before
    found = _with_window(before, seen, "after_milliseconds")
    if not _lasted(found, seen) or found.windows < MIN_WINDOWS:
        return found
    was_ms, is_ms = found.before_milliseconds or 0.0, found.after_milliseconds or 0.0
    message = f"a request took {was_ms:g} ms on one server, and takes {is_ms:g} ms over several"
    state: CutState = "Kept" if is_ms <= WORTH_IT * was_ms else "TakenBack"
    return _now(state, seen, before.steps, message, found)


def _kept(before: CutStatus, seen: CutSituation) -> CutStatus:
    if silent := _silent(before, seen):
        return silent
    if seen.gain_s is None or seen.gain_s > 0:
        return before
    return _now("Doubted", seen, before.steps, before.message, before)


def _doubted(before: CutStatus, seen: CutSituation) -> CutStatus:
    if silent := _silent(before, seen):
        return silent
    if seen.gain_s is None or seen.gain_s > 0:
        return _now("Kept", seen, before.steps, before.message, before)
    if not _lasted(before, seen):
        return before
    message = "on one server a request would be as fast, by what calls and steps take now"
    return _now("TakenBack", seen, before.steps, message, before)


def _taken_back(before: CutStatus, seen: CutSituation) -> CutStatus | None:
    if before.generation == seen.generation and seen.now - _since(before) < REFUSED_FOR:
        return before
    return _begun(seen)


def _silent(before: CutStatus, seen: CutSituation) -> CutStatus | None:
    """Return that steps are taken back which their servers do not answer; None: they do."""
    silent = [name for name in before.steps if name not in seen.answering]
    if not silent:
        return None
    message = f"the InferenceModels of {listed(silent)} were not ready"
    return _now("TakenBack", seen, before.steps, message, before)


def _with_window(cut: CutStatus, seen: CutSituation, figure: str) -> CutStatus:
    """Take the window that ended into the mean of its state."""
    if seen.latency_ms is None or not seen.settled:
        return cut
    windows, mean_ms = cut.windows + 1, getattr(cut, figure) or 0.0
    mean_ms += (seen.latency_ms - mean_ms) / windows
    return cut.with_(windows=windows, **{figure: significant(mean_ms)})


def _now(
    state: CutState,
    seen: CutSituation,
    steps: tuple[str, ...],
    message: str,
    before: CutStatus | None = None,
) -> CutStatus:
    return CutStatus(
        steps=steps,
        state=state,
        since=timestamps.text(seen.now),
        generation=seen.generation,
        message=message,
        before_milliseconds=before.before_milliseconds if before else None,
        after_milliseconds=before.after_milliseconds if before else None,
    )


def _since(cut: CutStatus) -> datetime:
    return timestamps.parse(cut.since)


def _lasted(cut: CutStatus, seen: CutSituation) -> bool:
    return seen.now - _since(cut) >= LASTING


_AFTER: Final[Mapping[CutState, Callable[[CutStatus, CutSituation], CutStatus | None]]] = {
    "Wanted": _wanted,
    "Trial": _trial,
    "Kept": _kept,
    "Doubted": _doubted,
    "TakenBack": _taken_back,
}
