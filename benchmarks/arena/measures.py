"""The figures of one run beside the oracle's, rounded for a file.

*Reached* is after how many windows a run has at least 95 % of the oracle's goodput, in that
window and over the rest of the run; *stays* after how many it has that in every window. A
*turn* is a moment at which load or service time change for good: how many windows later the run
is back at 95 % of the oracle for the rest of that phase, and what it was worth in the phase.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Final

import numpy as np

from ferryman.api.batching import Batching
from ferryman.core.simulator.figures import CONVERGED, Floats, windows_to_converge
from ferryman.core.simulator.scenario import Scenario
from ferryman.core.simulator.tuned_run import Change, Run
from ferryman.core.tuners import needs

#: Changes that are kept one by one; of all of them their number by actuator is.
MAX_CHANGES: Final = 12
#: A window of a phase has recovered when this share of what arrived in it was in time.
RECOVERED: Final = 0.99
#: Below this goodput a ratio says nothing.
_NOTHING_PER_S: Final = 1.0

_MS_PER_S: Final = 1e3


def record(scenario: Scenario, run: Run, best: Sequence[float]) -> dict[str, Any]:
    """Return a run's figures; ``best`` is the oracle's goodput by window."""
    figures = run.figures
    mine = figures.goodput_by_window
    reached = windows_to_reach(mine, best)
    return {
        "goodput": round(figures.goodput_per_s, 3),
        "attainment": round(figures.attainment, 5),
        "p50": _rounded(figures.latency_ms.get(50)),
        "p99": _rounded(figures.latency_ms.get(99)),
        "busy": round(figures.device_busy_s, 1),
        "meanBatch": round(figures.mean_batch_size, 2),
        "offered": figures.offered,
        "rejected": figures.rejected,
        "failed": figures.failed,
        "ratio": ratio(mine, best),
        "reached": reached,
        "stays": windows_to_converge(mine, best),
        "ratioAfter": None if reached is None else ratio(mine[reached:], best[reached:]),
        "turns": turns(scenario, run, best),
        "windows": run.windows,
        "settledAt": round(run.changes[-1].at_s, 1) if run.changes else 0.0,
        "byActuator": run.changes_by_actuator,
        "changes": [_change(change) for change in run.changes[:MAX_CHANGES]],
        "final": brief(run.batching),
        "shortage": _shortage(run),
    }


def series(run: Run) -> list[float]:
    """Return goodput by window, for files."""
    return [round(value, 1) for value in run.figures.goodput_by_window]


def ratio(mine: Sequence[float], best: Sequence[float]) -> float | None:
    """Return the share of the oracle's goodput; None where the oracle has none to speak of."""
    if not best or sum(best) / len(best) < _NOTHING_PER_S:
        return None
    return round(sum(mine) / sum(best), 5)


def windows_to_reach(mine: Sequence[float], best: Sequence[float]) -> int | None:
    """Return after how many windows 95 % of the oracle's goodput is reached, and kept in sum."""
    own, other = np.array(mine), np.array(best)
    rest = np.cumsum(own[::-1])[::-1] >= CONVERGED * np.cumsum(other[::-1])[::-1]
    reached = np.flatnonzero((own >= CONVERGED * other) & rest)
    return int(reached[0]) if reached.size else None


def turns(scenario: Scenario, run: Run, best: Sequence[float]) -> list[dict[str, Any]]:
    """Return what became of the run after each turn, until the next."""
    size = scenario.window_seconds
    borders = [round(moment / size) for moment in (*scenario.turns_s, scenario.duration_s)]
    attained = attainment_by_window(scenario, run)
    mine = run.figures.goodput_by_window
    phases = []
    for begin, end in pairwise(borders):
        if begin == end:
            continue
        good = np.flatnonzero(attained[begin:end] >= RECOVERED)
        phases.append(
            {
                "atWindow": begin,
                "goodput": round(float(np.mean(mine[begin:end])), 2),
                "recovered": windows_to_converge(mine[begin:end], best[begin:end]),
                "attained": int(good[0]) if good.size else None,
            }
        )
    return phases


def attainment_by_window(scenario: Scenario, run: Run) -> Floats:
    """Return the share of the requests that arrived in each window that was in time."""
    offered, good = np.zeros(scenario.windows), np.zeros(scenario.windows)
    for pod in run.served:
        latencies_ms = (pod.ends_s - pod.arrivals_s) * _MS_PER_S
        in_time = (latencies_ms <= scenario.target_ms) & (pod.ends_s < scenario.duration_s)
        asked_s = np.concatenate([pod.arrivals_s, pod.rejected_s, pod.failed_s])
        offered += _by_window(scenario, asked_s)
        good += _by_window(scenario, pod.arrivals_s[in_time])
    return np.divide(good, offered, out=np.ones_like(good), where=offered > 0)


def _by_window(scenario: Scenario, moments_s: Floats) -> Floats:
    windows = (moments_s // scenario.window_seconds).astype(np.int64)
    return np.bincount(windows, minlength=scenario.windows).astype(np.float64)


def brief(batching: Batching) -> dict[str, Any]:
    """Return a batching without what is at its default."""
    return batching.model_dump(mode="json", by_alias=True, exclude_defaults=True)


def _change(change: Change) -> dict[str, Any]:
    return {
        "window": change.window,
        "at": round(change.at_s, 1),
        "actuator": change.actuator,
        "after": brief(change.after),
        "reason": str(change.reason),
    }


def _shortage(run: Run) -> dict[str, Any] | None:
    found = run.shortage
    if found is None:
        return None
    later = [change for change in run.changes if change.begun_at_s > found.at_s]
    return {
        "window": found.window,
        "replicas": needs.number(found.needs),
        "changesAfter": len(later),
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 1)
