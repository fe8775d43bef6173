"""Whether a change did what was predicted of it, and what is done if it did not."""

from dataclasses import replace
from math import log
from typing import Final

from ferryman.api.batching import Batching
from ferryman.core.observation.window import Window
from ferryman.core.tuners.guarded.prediction import Prediction
from ferryman.core.tuners.state import MEMORY_S, Learned, Trial

#: Worse than predicted by more than this share counts against a change …
TOLERANCE: Final = 0.2
#: … if it is more than this, too: a server has its own noise.
NOISE_MS: Final = 1.0
#: Batches that take twice as long as was guessed.
SURPRISE: Final = log(2)
#: A copy that works for less than this share of the time, although requests wait, is kept from it.
HALF: Final = 0.5
#: So many windows in a row decide about a change, for or against.
WINDOWS: Final = 2
_MS_PER_S: Final = 1e3


def settled(learned: Learned, applied: Batching) -> Learned:
    """Return the knowledge without a trial that is not of what is applied.

    Then the change was refused or undone by somebody else.
    """
    trial = learned.trial
    if trial is None or trial.after == applied:
        return learned
    return replace(learned, trial=None)


def verified(trial: Trial, window: Window, foreseen: Prediction, *, missed: bool) -> Trial:
    """Return the trial after one more window.

    A window counts against the change when an objective is missed and the model does worse than
    predicted as well as before. It decides at once when batches of a size that was never run
    before take far longer than was guessed: beyond a knee each second makes a backlog that takes
    many to be worked off.
    """
    # Larger batches are still those of the configuration before, which drains.
    surprise = trial.service.surprise(
        trial.after.instances,
        window.service_times,
        above=trial.before.max_batch_size,
        upto=trial.after.max_batch_size,
    )
    worse = _slower if _backlog(trial.after, window.pending_before, window) else _later
    if missed and surprise > SURPRISE and window.inferences_per_s < trial.served_per_s:
        return replace(trial, bad=WINDOWS, good=0)
    if missed and worse(trial, window, foreseen):
        return replace(trial, bad=trial.bad + 1, good=0)
    return replace(trial, bad=0, good=trial.good + 1)


def draining(before: Batching, after: Batching, window: Window) -> bool:
    """Whether what is served is mostly what waited before a change, in batches as before it.

    Or by the copy that a reload replaced, on a processor that leaves the present one waiting.
    """
    if window.left_behind and _worked(after, window) < HALF:
        return True
    old, new = before.max_batch_size, after.max_batch_size
    if old == new or not _backlog(after, window.pending, window):
        return False
    served = {size: size * count for size, (count, _) in window.service_times.items()}
    grew = new > old
    as_after = [n for size, n in served.items() if (size > old if grew else size <= new)]
    return 2 * sum(as_after) < sum(served.values())


def _worked(applied: Batching, window: Window) -> float:
    """Return for which share of the window the instances were at work."""
    return window.busy_ms / (window.seconds * _MS_PER_S * applied.instances * window.pods)


def _backlog(applied: Batching, pending: int | None, window: Window) -> bool:
    """Whether so many wait that every batch is full."""
    return (pending or 0) > applied.max_batch_size * applied.instances * window.pods


def _slower(trial: Trial, window: Window, foreseen: Prediction) -> bool:
    """Whether less is served while requests never run out: then latency tells nothing."""
    served = window.inferences_per_s
    predicted = foreseen.capacity_per_s * window.pods * (1 - TOLERANCE)
    return _backlog(trial.after, window.pending, window) and served < min(
        predicted, trial.served_per_s
    )


def _later(trial: Trial, window: Window, foreseen: Prediction) -> bool:
    """Whether requests take longer; by the mean, which is exact for any window."""
    mean_ms = window.mean_latency_ms or 0.0
    allowed_ms = max(foreseen.mean_ms * (1 + TOLERANCE), foreseen.mean_ms + NOISE_MS)
    return mean_ms > max(allowed_ms, trial.mean_ms)


def taken_back(learned: Learned, trial: Trial, now_s: float) -> Learned:
    """Return the knowledge after a change was taken back: what failed is remembered."""
    failed = tuple((other, until_s) for other, until_s in learned.failed if until_s > now_s)
    failed = (*failed, (trial, now_s + MEMORY_S))
    return replace(learned, trial=None, failed=failed, evaluation=None, leaving=trial.after)
