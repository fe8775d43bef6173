"""What there is to run: scenarios, contenders and seeds whose results are missing or outdated."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

from benchmarks.arena import fingerprint, store
from benchmarks.common import ROOT
from benchmarks.contenders.registry import BY_NAME
from ferryman.cli.files import scenario_file
from ferryman.core.simulator import oracle
from ferryman.core.simulator.scenario import Scenario

SCENARIOS: Final = ROOT / "benchmarks" / "scenarios"
ORACLE: Final = "oracle"
_HARNESS: Final = "benchmarks.arena.job"
#: What a run of a tuned model costs, in runs of one that never changes.
_TUNED_COST: Final = 12


@dataclass(frozen=True, slots=True)
class Job:
    """One scenario with one seed, and the contenders that are still to run, one by one."""

    scenario: str
    seed: int
    contenders: tuple[str, ...]
    best: dict[str, Any] | None
    """The oracle's result; None: it is to be found."""

    @property
    def cost(self) -> int:
        """How long it takes, in runs of a model that is never changed."""
        tuned = sum(BY_NAME[name].algorithm is not None for name in self.contenders)
        searched = 0 if self.best is not None else len(oracle.candidates(load(self.scenario)[0]))
        return len(self.contenders) + tuned * _TUNED_COST + searched


def names() -> list[str]:
    """Return the scenarios that there are."""
    return sorted(path.stem for path in SCENARIOS.glob("*.yaml"))


def path_of(scenario: str) -> Path:
    """Return a scenario's file."""
    return SCENARIOS / f"{scenario}.yaml"


@cache
def load(scenario: str) -> tuple[Scenario, tuple[float, ...]]:
    """Return a scenario and the gaps of its trace. Raises ScenarioError."""
    return scenario_file.read(path_of(scenario))


@cache
def inputs(scenario: str, contender: str) -> str:
    """Return the hash of all that a result depends on, apart from the seed."""
    modules = {_HARNESS, "ferryman.core.simulator.oracle"}
    if contender != ORACLE:
        entry = BY_NAME[contender]
        modules |= fingerprint.modules_of(entry.algorithm, entry.start, entry.spec)
    contents = [path_of(scenario).read_bytes(), contender.encode()]
    trace = load(scenario)[0].arrivals.trace
    if trace is not None:
        contents.append((SCENARIOS / trace.file).read_bytes())
    return fingerprint.of(frozenset(modules), *contents)


def confirmations(scenarios: Sequence[str], contenders: Sequence[str], seed: int) -> Iterator[Job]:
    """Yield what is to run again with one seed, as the code changed since all seeds ran."""
    for scenario in scenarios:
        outdated = [
            name
            for name in (ORACLE, *contenders)
            if seed in store.read_outdated(scenario, name, inputs(scenario, name))
        ]
        best = store.read(scenario, ORACLE, inputs(scenario, ORACLE)).get(seed)
        names = tuple(name for name in outdated if name != ORACLE)
        if outdated and (best is not None or ORACLE in outdated):
            yield Job(scenario, seed, names, best)


def jobs(scenarios: Sequence[str], contenders: Sequence[str], seed: int) -> Iterator[Job]:
    """Yield what is to run with one seed."""
    for scenario in scenarios:
        best = store.read(scenario, ORACLE, inputs(scenario, ORACLE)).get(seed)
        missing = tuple(
            name
            for name in contenders
            if seed not in store.read(scenario, name, inputs(scenario, name))
        )
        if best is None or missing:
            yield Job(scenario, seed, missing, best)
