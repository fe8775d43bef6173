"""Run one scenario of the family: its oracle, and contenders under the same arrivals."""

from collections.abc import Sequence
from typing import Any, Final

from benchmarks import traces
from benchmarks.arena import measures
from benchmarks.contenders.base import Contender
from benchmarks.contenders.ceiling import ceiling
from ferryman.core.simulator import loads, oracle_search
from ferryman.core.simulator.arrivals import Floats
from ferryman.core.simulator.scenario import Scenario
from ferryman.core.simulator.simulation import simulate
from ferryman.core.simulator.tuned_run import Change, Run, Tuned

#: Changes that are kept, for whoever wants to know why.
MAX_CHANGES: Final = 12


def best(scenario: Scenario) -> dict[str, Any]:
    """Return the figures of the best configuration that never changes."""
    arrivals_s = loads.draw(scenario, traces.gaps_of(scenario))
    batching = oracle_search.find(scenario, arrivals_s)[0].batching
    kept = simulate(scenario, arrivals_s, Tuned(None, start=batching))
    asked = employ(scenario, arrivals_s, ceiling(batching))
    ceiling_of = {"ceiling": measures.series(asked)}
    return {**figures(kept), **ceiling_of}


def contend(scenario: Scenario, contenders: Sequence[Contender]) -> dict[str, dict[str, Any]]:
    """Return the figures of each contender."""
    arrivals_s = loads.draw(scenario, traces.gaps_of(scenario))
    return {each.name: figures(employ(scenario, arrivals_s, each)) for each in contenders}


def employ(scenario: Scenario, arrivals_s: Sequence[Floats], contender: Contender) -> Run:
    """Let a contender tune a scenario; its settings may differ from the scenario's."""
    spec = contender.spec(scenario.batching)
    tuned = Tuned(contender.algorithm, contender.state, contender.start(spec), contender.guarded)
    return simulate(scenario.with_(batching=spec), arrivals_s, tuned)


def figures(run: Run) -> dict[str, Any]:
    """Return what tables are made of."""
    halves_s = run.figures.device_busy_by_half_s
    return {
        "goodput": measures.series(run),
        "busy": [round(half_s, 2) for half_s in halves_s or ()],
        "attainment": round(run.figures.attainment, 4),
        "byActuator": run.changes_by_actuator,
        "changes": [told(change) for change in run.changes[:MAX_CHANGES]],
        "final": measures.brief(run.batching),
    }


def told(change: Change) -> str:
    """Return a change in a line."""
    return f"{change.at_s:.0f} s {change.actuator} {change.reason}: {measures.brief(change.after)}"
