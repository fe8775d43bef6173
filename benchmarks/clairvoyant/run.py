"""Run Guarded and both oracles on loads that change, as far as results are missing.

``make bench-clairvoyant`` calls this. Results are written as they come, so that a run can be
interrupted and goes on where it stopped. Figures do not depend on the machine.
"""

import argparse
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from benchmarks import common, traces
from benchmarks.arena import fingerprint, measures
from benchmarks.clairvoyant import report, schedule
from benchmarks.clairvoyant.report import CLAIRVOYANT, FOLDER, GUARDED, LARGEST, STATIC
from benchmarks.contenders.registry import BY_NAME
from benchmarks.family import job, store
from ferryman.cli.files import scenario_file
from ferryman.core.simulator import loads, oracle_search
from ferryman.core.simulator.arrivals import Floats
from ferryman.core.simulator.figures import Figures, measure
from ferryman.core.simulator.scenario import Scenario

SCENARIOS: Final = common.ROOT / "benchmarks" / "scenarios_clairvoyant"

Result = dict[str, Any]


def main(argv: Sequence[str] | None = None) -> int:
    """Run what is missing, write the report; return 0."""
    args = _parser().parse_args(argv)
    for name in args.scenario:
        path = SCENARIOS / f"{name}.yaml"
        scenario, gaps_s = scenario_file.read(path)
        arrivals_s = loads.draw(scenario, gaps_s)
        for contender in RUNNERS:
            inputs = _inputs(contender, path.read_bytes())
            key = store.key(scenario)
            if key not in store.read(name, contender, inputs, FOLDER):
                print(f"{name}: {contender}", file=sys.stderr, flush=True)
                found = RUNNERS[contender](scenario, arrivals_s)
                store.add(name, contender, inputs, {key: found}, FOLDER)
    report.write([path.stem for path in sorted(SCENARIOS.glob("*.yaml"))])
    return 0


def _parser() -> argparse.ArgumentParser:
    names = [path.stem for path in sorted(SCENARIOS.glob("*.yaml"))]
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--scenario", nargs="+", default=names, choices=names, metavar="NAME")
    return parser


def _static(scenario: Scenario, arrivals_s: Sequence[Floats]) -> Result:
    found, _ = oracle_search.find(scenario, arrivals_s)
    return {**_figures(found.figures), "final": measures.brief(found.batching)}


def _clairvoyant(scenario: Scenario, arrivals_s: Sequence[Floats]) -> Result:
    phases = schedule.find(scenario, arrivals_s)
    figures = measure(scenario, schedule.serve(scenario, arrivals_s, phases))
    told = [f"{phase.begin_s:.0f} s: {measures.brief(phase.batching)}" for phase in phases]
    return {**_figures(figures), "phases": told}


def _contender(name: str) -> Callable[[Scenario, Sequence[Floats]], Result]:
    def run(scenario: Scenario, arrivals_s: Sequence[Floats]) -> Result:
        ran = job.employ(scenario, arrivals_s, BY_NAME[name])
        told = [job.told(change) for change in ran.changes]
        return {**_figures(ran.figures), "changes": told, "byActuator": ran.changes_by_actuator}

    return run


def _figures(figures: Figures) -> Result:
    return {
        "attainment": round(figures.attainment, 5),
        "busy": round(figures.device_busy_s, 1),
        "p99": round(figures.latency_ms[99], 1),
    }


RUNNERS: Final[Mapping[str, Callable[[Scenario, Sequence[Floats]], Result]]] = {
    STATIC: _static,
    CLAIRVOYANT: _clairvoyant,
    LARGEST: _contender(LARGEST),
    GUARDED: _contender(GUARDED),
}


def _inputs(contender: str, scenario: bytes) -> str:
    """Return the hash of all that a result depends on."""
    recorded = traces.path_of(traces.AZURE).read_bytes()
    return fingerprint.of(frozenset(_modules(contender)), scenario, recorded, contender.encode())


def _modules(contender: str) -> Iterator[str]:
    if contender in (STATIC, CLAIRVOYANT):
        yield from ("ferryman.core.simulator.oracle_search", "benchmarks.clairvoyant.schedule")
        return
    entry = BY_NAME[contender]
    yield "benchmarks.family.job"
    yield from fingerprint.modules_of(entry.algorithm, entry.start, entry.spec)


if __name__ == "__main__":
    sys.exit(main())
