"""Observation windows of a pipeline: its own and those of its steps, which begin and end together.

What an ensemble counts begins anew whenever the instances of one of its steps change; such a
window is thrown away in any case.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final

from ferryman.api.batching import WindowSettings
from ferryman.api.statistics import Statistics
from ferryman.core.observation.window import Window, WindowState, observe

#: A window that has ended for one model ends for all: none is shorter than a second.
_AT_ONCE: Final = WindowSettings(max_requests=1, max_seconds=1, min_seconds=1)
#: The pipeline itself, beside the names of its steps.
_WHOLE: Final = ""

#: Pod -> what it shows of one model.
Samples = Mapping[str, Statistics]


@dataclass(frozen=True, slots=True)
class PipelineReading:
    """What one look at all servers of a pipeline showed."""

    requests: Samples
    """Of the pipeline as a whole: the ensemble."""
    steps: Mapping[str, Samples]
    cpu_s: float | None = None
    """Processor seconds that all of its pods used so far; None where that is unknown."""


@dataclass(frozen=True, slots=True)
class PipelineWindow:
    """One complete observation interval of a pipeline."""

    requests: Window
    """Of the pipeline as a whole: what clients sent, how long it took from end to end."""
    steps: Mapping[str, Window]
    cpu_s: float | None = None
    """Processor seconds that all of its pods used in it; None where that is unknown."""

    @property
    def as_judged(self) -> Window:
        """The whole, with the wait and the computation of the step before which it is longest.

        An ensemble has no queue of its own: what clients sent may wait before a step for minutes.
        """
        waiting = max(self.steps.values(), key=_waits_ms, default=self.requests)
        return replace(self.requests, queue_ms=waiting.queue_ms, compute_ms=waiting.compute_ms)


@dataclass(frozen=True, slots=True)
class PipelineWindowState:
    """The windows that are open."""

    requests: WindowState = field(default_factory=WindowState)
    steps: Mapping[str, WindowState] = field(default_factory=dict)
    cpu_s_at_start: float | None = None


def _waits_ms(step: Window) -> float:
    """Return for how much longer requests wait before a step than a batch of it takes."""
    return (step.queue_ms or 0.0) - (step.compute_ms or 0.0)


def observe_pipeline(
    state: PipelineWindowState,
    reading: PipelineReading,
    settings: WindowSettings,
    *,
    percentile: int,
    now_s: float,
    changed_at_s: float | None,
) -> tuple[PipelineWindowState, PipelineWindow | None]:
    """Add one reading; return the new state and the window, if one ended.

    As ``window.observe`` for a single model: the first of the windows that may end, ends all. A
    window in which a step's configuration changed (``changed_at_s``), or its set of pods, is
    discarded, and a new one begins now.
    """
    look = partial(observe, percentile=percentile, now_s=now_s, changed_at_s=changed_at_s)
    changed = changed_at_s is not None and changed_at_s >= state.requests.started_at_s
    if changed or _differ(state, reading):
        return _looked(look, PipelineWindowState(), reading, settings)[0], None
    after, ended = _looked(look, state, reading, settings)
    if not ended:
        return replace(after, cpu_s_at_start=state.cpu_s_at_start), None
    after, ended = _looked(look, state, reading, _AT_ONCE)
    requests = ended.pop(_WHOLE)
    return after, PipelineWindow(requests, ended, _used(state.cpu_s_at_start, reading.cpu_s))


def _looked(
    look: Callable[..., tuple[WindowState, Window | None]],
    state: PipelineWindowState,
    reading: PipelineReading,
    settings: WindowSettings,
) -> tuple[PipelineWindowState, dict[str, Window]]:
    """Add a reading to each of the windows; return them, and those that ended."""
    before = {_WHOLE: state.requests, **state.steps}
    found = {
        name: look(before.get(name, WindowState()), samples, settings)
        for name, samples in {_WHOLE: reading.requests, **reading.steps}.items()
    }
    states = {name: after for name, (after, _) in found.items()}
    ended = {name: window for name, (_, window) in found.items() if window is not None}
    return PipelineWindowState(states.pop(_WHOLE), states, reading.cpu_s), ended


def _differ(state: PipelineWindowState, reading: PipelineReading) -> bool:
    """Whether there is no window yet, or other pods or steps than it began with."""
    if state.requests.baselines.keys() != reading.requests.keys() or not reading.requests:
        return True
    if state.steps.keys() != reading.steps.keys():
        return True
    return any(
        state.steps[name].baselines.keys() != reading.steps[name].keys() for name in state.steps
    )


def _used(before: float | None, after: float | None) -> float | None:
    """Return the increase of a counter; None where it is unknown or began anew."""
    return None if before is None or after is None or after < before else after - before
