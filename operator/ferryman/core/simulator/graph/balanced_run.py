"""A pipeline's life under load without a cluster: the live balancer on the twin.

Once a second all counters are read as Triton would show them; ``observe_pipeline`` makes the
windows, ``balance`` decides at the end of each, and a change is carried out after the time that it
takes, during which the assignment before serves. No change fails.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from ferryman.api.batching import WindowSettings
from ferryman.core.balancing.decide import BalancingDecision, balance
from ferryman.core.balancing.state import Assignment, BalancerState, BalancingRules
from ferryman.core.observation.pipeline_window import (
    PipelineWindow,
    PipelineWindowState,
    observe_pipeline,
)
from ferryman.core.simulator.graph.steps import PipelineLoad, SimulatedPipeline
from ferryman.core.simulator.graph.twin import PipelineTwin

#: Counters are read this often, as by the operator.
READING_S: Final = 1.0
#: What changes in place take: measured on real Triton, Python backend.
GROWING_S: Final = 0.5
SHRINKING_S: Final = 1.1


@dataclass(frozen=True, slots=True)
class SlowerFrom:
    """From a moment on batches of a step take other times."""

    at_s: float
    step: str
    service_s: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class BalancedWindow:
    """A window and what was decided after it."""

    ended_at_s: float
    applied: Assignment
    window: PipelineWindow
    decision: BalancingDecision

    @property
    def served_per_s(self) -> float:
        """What was answered in it."""
        return self.window.requests.requests_per_s


@dataclass(frozen=True, slots=True)
class BalancedRun:
    """What the balancer did and what it was worth."""

    windows: tuple[BalancedWindow, ...]
    served: tuple[tuple[float, float], ...]
    """When each request was sent and answered, in the order of answers."""
    assignment: Assignment
    """What was in force at the end."""


@dataclass(slots=True)
class _Standing:
    """What the operator knows between two readings."""

    applied: Assignment
    state: BalancerState = field(default_factory=BalancerState)
    window: PipelineWindowState = field(default_factory=PipelineWindowState)
    changed_at_s: float | None = None
    pending: tuple[float, Assignment] | None = None
    windows: list[BalancedWindow] = field(default_factory=list)


def run_balanced(
    pipeline: SimulatedPipeline,
    load: PipelineLoad,
    rules: BalancingRules,
    *,
    seconds: float,
    settings: WindowSettings,
    start: Assignment | None = None,
    slower: Sequence[SlowerFrom] = (),
) -> BalancedRun:
    """Let the balancer run a pipeline, from one instance of each step on unless told otherwise."""
    standing = _Standing(pipeline.unbatched() if start is None else start)
    twin = PipelineTwin(pipeline, load, standing.applied)
    happens = _moments(slower)
    for number in range(int(seconds / READING_S) + 1):
        now_s = number * READING_S
        for change in happens.pop(now_s, ()):
            twin.change_service(change.step, change.service_s, now_s)
        _second(twin, standing, rules, settings, now_s)
    return BalancedRun(tuple(standing.windows), tuple(twin.served), standing.applied)


def _moments(slower: Sequence[SlowerFrom]) -> dict[float, list[SlowerFrom]]:
    moments: dict[float, list[SlowerFrom]] = {}
    for change in slower:
        moments.setdefault(change.at_s // READING_S * READING_S, []).append(change)
    return moments


def _second(
    twin: PipelineTwin,
    standing: _Standing,
    rules: BalancingRules,
    settings: WindowSettings,
    now_s: float,
) -> None:
    """Let time pass to the next reading, look at the counters, and decide where a window ended."""
    if standing.pending is not None and standing.pending[0] <= now_s:
        at_s, standing.applied = standing.pending
        twin.change(standing.applied, at_s)
        standing.changed_at_s, standing.pending = at_s, None
    twin.run(now_s)
    percentile = 99 if rules.objectives is None else rules.objectives.percentile
    standing.window, window = observe_pipeline(
        standing.window,
        twin.look(),
        settings,
        percentile=percentile,
        now_s=now_s,
        changed_at_s=standing.changed_at_s,
    )
    if window is None or standing.pending is not None:
        return
    decision = balance(rules, standing.applied, window, standing.state)
    standing.windows.append(BalancedWindow(now_s, standing.applied, window, decision))
    standing.state = decision.state
    if decision.assignment != standing.applied:
        takes_s = _seconds(standing.applied, decision.assignment)
        standing.pending = (now_s + takes_s, decision.assignment)


def _seconds(before: Assignment, after: Assignment) -> float:
    """Return how long a change takes: steps one after the other, and their instances likewise."""
    return sum(_step_seconds(before[name].instances, after[name].instances) for name in before)


def _step_seconds(before: int, after: int) -> float:
    return SHRINKING_S * (before - after) if after < before else GROWING_S * (after > before)
