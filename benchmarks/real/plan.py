"""What there is to run on a real Triton: scenarios, contenders, seeds, and what they depend on."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

from benchmarks import common
from benchmarks.arena import fingerprint
from benchmarks.arena.plan import ORACLE
from benchmarks.contenders.registry import BY_NAME
from benchmarks.real import models
from benchmarks.real.drive import Employed
from ferryman.api.batching import Batching
from ferryman.cli.files import scenario_file
from ferryman.core.simulator.arrival_patterns import Arrivals
from ferryman.core.simulator.scenario import Scenario

SCENARIOS: Final = common.ROOT / "benchmarks" / "scenarios_real"
#: The one scenario whose model computes; the others' models sleep.
REAL_MODEL: Final = "digits"
CONTENDERS: Final = ("bound-128", "hill-climb", "trend", "guarded")
#: No configuration serves an overload: shown is what a queue policy makes of it. Where there is
#: slack all are in time: shown is what device time is saved.
FEWER: Final = {
    "overload-queue": ("bound-128", "guarded"),
    "overload-reject": ("bound-128", "guarded"),
    "slack": ("bound-128", "guarded"),
}
SEEDS: Final = 3
#: Scenarios with fewer: a model that computes says nothing of bursts, and an hour is an hour.
FEWER_SEEDS: Final = {REAL_MODEL: 1}
#: Starting and stopping a server, and the load's warm-up.
OVERHEAD_S: Final = 8.0
HASH_LENGTH: Final = 16

#: What a run is made of. Their imports are left out, else a new field of the Kubernetes client
#: would void hours; what decides (contenders, oracle) is followed through its imports.
_DRIVER: Final = (
    "benchmarks/real/drive.py",
    "benchmarks/real/generator.py",
    "benchmarks/real/logbook.py",
    "benchmarks/real/meter.py",
    "benchmarks/real/models.py",
    "hack/models/sleeper_model.py",
    "operator/ferryman/actuation/session.py",
    "operator/ferryman/clients/load/generator.py",
    "operator/ferryman/clients/load/transports.py",
)


@dataclass(frozen=True, slots=True)
class Task:
    """One run."""

    scenario: str
    contender: str
    seed: int

    def __str__(self) -> str:
        return f"{self.scenario}, {self.contender}, seed {self.seed}"


def names() -> list[str]:
    """Return the scenarios that there are."""
    return sorted(path.stem for path in SCENARIOS.glob("*.yaml"))


def path_of(scenario: str) -> Path:
    """Return a scenario's file."""
    return SCENARIOS / f"{scenario}.yaml"


def model_of(scenario: str) -> str:
    """Return the name of the model that serves a scenario."""
    return models.DIGITS if scenario == REAL_MODEL else models.SLEEPER


def contenders_of(scenario: str, chosen: Sequence[str] | None) -> tuple[str, ...]:
    """Return who runs in a scenario, besides the oracle: those chosen, or those that matter."""
    return tuple(chosen) if chosen is not None else FEWER.get(scenario, CONTENDERS)


def seeds_of(scenario: str, most: int) -> int:
    """Return how many seeds a scenario is run with."""
    return min(most, FEWER_SEEDS.get(scenario, most))


def read(scenario: str, seconds: int | None = None) -> Scenario:
    """Return a scenario, cut to so many seconds. Raises ScenarioError."""
    found, _ = scenario_file.read(path_of(scenario))
    return found if seconds is None else shortened(found, seconds)


def shortened(scenario: Scenario, seconds: int) -> Scenario:
    """Return a scenario with fewer windows; all its steps are there, each of them shorter."""
    windows = max(1, seconds // scenario.window_seconds)
    share = windows / scenario.windows
    steps = scenario.arrivals.steps
    if steps is None:
        return scenario.with_(windows=windows)
    shorter = tuple(step.with_(seconds=step.seconds * share) for step in steps)
    return scenario.with_(windows=windows, arrivals=Arrivals(steps=shorter))


def digits_key() -> dict[str, Any]:
    """Return what the service time of digits depends on."""
    host = common.machine()
    return {"cpu": host["cpu"], "cores": host["cores"]}


def employed(scenario: Scenario, contender: str) -> Employed:
    """Return how a contender is employed on a scenario."""
    entry = BY_NAME[contender]
    spec = entry.spec(scenario.batching)
    return Employed(entry.start(spec), spec, entry.algorithm, entry.state, entry.guarded)


def kept(scenario: Scenario, batching: Batching) -> Employed:
    """Return how a configuration is employed that never changes."""
    return Employed(batching, scenario.batching)


def inputs(scenario: Scenario, contender: str, best: bytes = b"") -> str:
    """Return the hash of what a result depends on; ``best`` is the oracle's, if not its own.

    The scenario holds the seed.
    """
    stated = scenario.model_dump_json(by_alias=True).encode()
    parts = (_code(contender).encode(), contender.encode(), stated, best)
    return hashlib.sha256(b"\n".join(parts)).hexdigest()[:HASH_LENGTH]


@cache
def _code(contender: str) -> str:
    """Return the hash of the code that takes part, as it was when it was first asked for.

    What runs is what was loaded then, whatever is edited in the hours that a benchmark takes.
    """
    modules = frozenset({"ferryman.core.simulator.oracle", "ferryman.core.simulator.loads"})
    if contender != ORACLE:
        entry = BY_NAME[contender]
        modules = fingerprint.modules_of(entry.algorithm, entry.start, entry.spec)
    driver = [(common.ROOT / path).read_bytes() for path in _DRIVER]
    return fingerprint.of(modules, *driver)
