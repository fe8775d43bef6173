"""Hill climb over bounds in powers of two and instance counts, each of them measured for long.

As Triton Model Analyzer's quick search does it, with perf_analyzer's rule for when a measurement
is good. Sources: Model Analyzer, docs/config_search.md ("Quick Search Mode": max_batch_size as a
power of two, instance count linearly, hill climbing); perf_analyzer,
docs/measurements_metrics.md (a measurement is stable when throughput and latency of the last 3
windows lie within 10 %; it is given up after 10 windows).

Differences: Model Analyzer makes synthetic load and looks for the highest throughput within the
latency budget; this one looks at live traffic, whose throughput cannot exceed what is asked
for, so that among configurations on the same side of the budget whose throughputs differ by
less than 10 %, the lower latency wins. Windows whose requests had mostly arrived before the
point was applied are left out, and neighbours are tried one by one, until one is better. It
begins where the scenario does, not at the smallest configuration, which could not serve.
Afterwards it never moves again, as a search that is run once.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from benchmarks.contenders.base import Contender, said
from ferryman.api.batching import Batching, BatchingSpec
from ferryman.api.objectives import Objectives
from ferryman.core.observation.window import Window
from ferryman.core.tuners.protocol import Decision

STABLE_WINDOWS: Final = 3
STABLE: Final = 0.10
MAX_WINDOWS: Final = 10

_MS_PER_S: Final = 1e3

#: (exponent of the bound, instances)
Point = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Score:
    """What a point was worth: means over its measurement."""

    throughput_per_s: float
    latency_ms: float
    within_budget: bool


@dataclass(frozen=True, slots=True)
class State:
    """Where the search stands."""

    centre: Point | None = None
    scores: Mapping[Point, Score] = field(default_factory=dict)
    begun_s: float | None = None
    """When the measurement of the present point began."""
    windows: tuple[Window, ...] = ()
    """Of the present point."""
    finished: bool = False


def climb(
    spec: BatchingSpec, objectives: Objectives, applied: Batching, window: Window, state: State
) -> Decision:
    """Measure the applied point; then measure a neighbour, move, or finish."""
    if state.finished or window.requests == 0 or window.latency_ms is None:
        return said(applied, "Holding", state)
    begun_s = window.ended_at_s - window.seconds if state.begun_s is None else state.begun_s
    state = replace(state, begun_s=begun_s)
    if (window.queue_ms or 0.0) / _MS_PER_S > window.ended_at_s - begun_s:
        return said(applied, "WarmingUp", state)
    state = replace(state, windows=(*state.windows, window))
    if not _measured(state.windows):
        return said(applied, "Measuring", state)
    here = point(applied)
    score = _score(state.windows[-STABLE_WINDOWS:], objectives)
    centre = here if state.centre is None else state.centre
    return _next(spec, applied, centre, State(scores={**state.scores, here: score}))


def point(batching: Batching) -> Point:
    """Return the point that is nearest below a configuration."""
    return batching.max_batch_size.bit_length() - 1, batching.instances


def _next(spec: BatchingSpec, applied: Batching, centre: Point, state: State) -> Decision:
    """Try one neighbour after the other; go on from the first that is better."""
    for there in _neighbours(spec, centre):
        if there not in state.scores:
            return said(_at(applied, there), "Probing", replace(state, centre=centre))
        if _better(state.scores[there], state.scores[centre]):
            return _next(spec, applied, there, state)
    return said(_at(applied, centre), "Finished", replace(state, finished=True))


def _neighbours(spec: BatchingSpec, centre: Point) -> Iterator[Point]:
    exponent, instances = centre
    bounds, counts = spec.limits.max_batch_size, spec.limits.instances
    for there in (exponent + 1, exponent - 1):
        if there >= 0 and bounds.min <= 2**there <= bounds.max:
            yield there, instances
    for count in (instances + 1, instances - 1):
        if counts.min <= count <= counts.max:
            yield exponent, count


def _at(applied: Batching, there: Point) -> Batching:
    exponent, instances = there
    return applied.with_(max_batch_size=2**exponent, instances=instances)


def _measured(windows: tuple[Window, ...]) -> bool:
    last = windows[-STABLE_WINDOWS:]
    if len(last) < STABLE_WINDOWS:
        return False
    steady = all(
        max(values) - min(values) <= STABLE * max(values)
        for values in ([w.requests_per_s for w in last], [w.latency_ms or 0.0 for w in last])
    )
    return steady or len(windows) >= MAX_WINDOWS


def _score(windows: tuple[Window, ...], objectives: Objectives) -> Score:
    latency_ms = sum(window.latency_ms or 0.0 for window in windows) / len(windows)
    objective = objectives.latency
    return Score(
        throughput_per_s=sum(window.requests_per_s for window in windows) / len(windows),
        latency_ms=latency_ms,
        within_budget=objective is None or latency_ms <= objective.target_milliseconds,
    )


def _better(one: Score, other: Score) -> bool:
    if one.within_budget != other.within_budget:
        return one.within_budget
    highest = max(one.throughput_per_s, other.throughput_per_s)
    if abs(one.throughput_per_s - other.throughput_per_s) > STABLE * highest:
        return one.throughput_per_s > other.throughput_per_s
    return one.latency_ms < other.latency_ms


HILL_CLIMB: Final = Contender("hill-climb", "hill climb", climb, State())
