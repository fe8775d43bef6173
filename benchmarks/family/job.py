"""Run one scenario of the family: its oracle, and contenders under the same arrivals."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from benchmarks import traces
from benchmarks.arena import measures
from benchmarks.contenders.base import Contender
from benchmarks.contenders.ceiling import ceiling
from benchmarks.family import best_static
from ferryman.core.simulator import loads
from ferryman.core.simulator.arrivals import Floats
from ferryman.core.simulator.scenario import Scenario
from ferryman.core.simulator.simulation import simulate
from ferryman.core.simulator.tuned_run import Change, Run, Tuned

#: Changes that are kept, for whoever wants to know why.
MAX_CHANGES: Final = 12


def best(scenario: Scenario) -> dict[str, Any]:
    """Return the figures of the best configuration that never changes."""
    arrivals_s = loads.draw(scenario, traces.gaps_of(scenario))
    batching = best_static.find(scenario, arrivals_s).batching
    kept = simulate(scenario, arrivals_s, Tuned(None, start=batching))
    asked = employ(scenario, arrivals_s, ceiling(batching))
    ceiling_of = {"ceiling": measures.series(asked)}
    return {**figures(scenario, kept), **ceiling_of}


def contend(scenario: Scenario, contenders: Sequence[Contender]) -> dict[str, dict[str, Any]]:
    """Return the figures of each contender."""
    arrivals_s = loads.draw(scenario, traces.gaps_of(scenario))
    return {each.name: figures(scenario, employ(scenario, arrivals_s, each)) for each in contenders}


def employ(scenario: Scenario, arrivals_s: Sequence[Floats], contender: Contender) -> Run:
    """Let a contender tune a scenario; its settings may differ from the scenario's."""
    spec = contender.spec(scenario.batching)
    tuned = Tuned(contender.algorithm, contender.state, contender.start(spec), contender.guarded)
    return simulate(scenario.with_(batching=spec), arrivals_s, tuned)


def figures(scenario: Scenario, run: Run) -> dict[str, Any]:
    """Return what tables are made of."""
    first_s, second_s = busy_by_half(scenario, run)
    return {
        "goodput": measures.series(run),
        "busy": [round(first_s, 2), round(second_s, 2)],
        "attainment": round(run.figures.attainment, 4),
        "byActuator": run.changes_by_actuator,
        "changes": [told(change) for change in run.changes[:MAX_CHANGES]],
        "final": measures.brief(run.batching),
    }


def busy_by_half(scenario: Scenario, run: Run) -> tuple[float, float]:
    """Return the device time of the batches that began in each half of the run."""
    half_s, whole_s = scenario.duration_s / 2, scenario.duration_s
    parts = [_busy(pod.starts_s, pod.ends_s, pod.sizes) for pod in run.served]
    starts = [pod.starts_s for pod in run.served]
    first = sum(float(part[at < half_s].sum()) for part, at in zip(parts, starts, strict=True))
    both = sum(float(part[at < whole_s].sum()) for part, at in zip(parts, starts, strict=True))
    return first, both - first


def _busy(starts_s: Floats, ends_s: Floats, sizes: NDArray[np.int64]) -> Floats:
    busy: Floats = (ends_s - starts_s) / sizes
    return busy


def told(change: Change) -> str:
    """Return a change in a line."""
    return f"{change.at_s:.0f} s {change.actuator} {change.reason}: {measures.brief(change.after)}"
