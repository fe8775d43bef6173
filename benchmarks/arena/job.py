"""Run one scenario with one seed: the oracle, and every contender under the same arrivals."""

from typing import Any

from benchmarks.arena import measures, plan
from benchmarks.arena.plan import ORACLE, Job
from benchmarks.contenders.base import Contender
from benchmarks.contenders.registry import BY_NAME
from ferryman.api.batching import Batching
from ferryman.core.simulator import loads, oracle
from ferryman.core.simulator.arrivals import Floats
from ferryman.core.simulator.scenario import Scenario
from ferryman.core.simulator.simulation import simulate
from ferryman.core.simulator.tuned_run import Run, Tuned

#: Goodput by window is kept of this seed alone, for the plots.
PLOTTED_SEED = 0


def carry_out(job: Job) -> dict[str, dict[str, Any]]:
    """Return the results by contender, the oracle's among them if it was to be found."""
    scenario, gaps_s = plan.load(job.scenario)
    scenario = scenario.with_(seed=job.seed)
    arrivals_s = loads.draw(scenario, gaps_s)
    results: dict[str, dict[str, Any]] = {}
    best = job.best
    if best is None:
        best = results[ORACLE] = _oracle(scenario, arrivals_s)
    for name in job.contenders:
        run = employ(scenario, arrivals_s, BY_NAME[name])
        results[name] = measures.record(scenario, run, best["series"])
        if job.seed == PLOTTED_SEED:
            results[name]["series"] = measures.series(run)
    return results


def employ(scenario: Scenario, arrivals_s: tuple[Floats, ...], contender: Contender) -> Run:
    """Let a contender tune a scenario; its settings may differ from the scenario's."""
    spec = contender.spec(scenario.batching)
    tuned = Tuned(contender.algorithm, contender.state, contender.start(spec), contender.guarded)
    return simulate(scenario.with_(batching=spec), arrivals_s, tuned)


def _oracle(scenario: Scenario, arrivals_s: tuple[Floats, ...]) -> dict[str, Any]:
    batching = oracle.find(scenario, arrivals_s, lambda _done, _of: None).batching
    run = _kept(scenario, arrivals_s, batching)
    series = measures.series(run)
    return {**measures.record(scenario, run, series), "series": series}


def _kept(scenario: Scenario, arrivals_s: tuple[Floats, ...], batching: Batching) -> Run:
    return simulate(scenario, arrivals_s, Tuned(algorithm=None, start=batching))
