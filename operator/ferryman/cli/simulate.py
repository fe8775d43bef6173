"""``ferryman simulate``: what a batching algorithm would do to a model, without a cluster."""

import argparse
import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from ferryman.api.batching import Batching
from ferryman.cli import scenario_file
from ferryman.cli.scenario_file import ScenarioError
from ferryman.core import oracle, simulation
from ferryman.core.changes import describe
from ferryman.core.figures import Figures, windows_to_converge
from ferryman.core.oracle import Contender
from ferryman.core.scenario import MAX_REPLICAS, MAX_SEED, Scenario
from ferryman.core.simulation import ALGORITHMS, Algorithm, Run

if TYPE_CHECKING:
    # argparse has no public name for what add_subparsers returns.
    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001

EXIT_FAILED = 1
#: Long work says how far it is, this often.
PROGRESS_EVERY_S = 2.0
#: Wide enough where the output is no terminal.
PLAIN_WIDTH = 160

DESCRIPTION = """\
Let a batching algorithm tune a simulated model, window by window, with the operator's own code,
and compare it with the best configuration that never changes (the oracle, found by trying them
all). The format of a scenario is described in docs/scenario-format.md. The same scenario and seed
always give the same figures.
"""


@dataclass(frozen=True)
class Comparison:
    """One algorithm beside the static contenders, under the same arrivals."""

    scenario: Scenario
    run: Run
    first: Contender
    """Where tuning starts, kept."""
    largest: Contender
    """The largest bound that the limits allow, without delay where they allow none."""
    oracle: Contender

    @property
    def windows_to_converge(self) -> int | None:
        """Windows until the algorithm stays within 5 % of the oracle; None for never."""
        best = self.oracle.figures.goodput_by_window
        return windows_to_converge(self.run.figures.goodput_by_window, best)


def add_parser(commands: "Subparsers") -> None:
    """Add this subcommand."""
    parser = commands.add_parser(
        "simulate",
        help="run a batching algorithm on a simulated model and compare it with the best",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--scenario", type=Path, required=True, metavar="FILE", help="YAML or JSON")
    add("--algorithm", choices=ALGORITHMS, default="Trend", help="default: Trend")
    add("--seed", type=_seed, metavar="N", help="instead of the scenario's")
    add("--replicas", type=_replicas, metavar="N", help="Triton pods, instead of the scenario's")
    add("-o", "--output", choices=("table", "json"), default="table", help="default: table")


def run(args: argparse.Namespace) -> int:
    """Simulate; return 0 unless the scenario cannot be had."""
    changes = {"seed": args.seed, "replicas": args.replicas}
    given = {field: value for field, value in changes.items() if value is not None}
    try:
        scenario, gaps_s = scenario_file.read(args.scenario)
        compared = compare(scenario.with_(**given), gaps_s, args.algorithm)
    except ScenarioError as error:
        return _fail(str(error))
    except ValueError as error:
        return _fail(f"{args.scenario}: arrivals: {error}")
    if args.output == "json":
        print(json.dumps(as_json(compared), indent=2))
    else:
        _show(compared)
    return 0


def compare(scenario: Scenario, gaps_s: tuple[float, ...], algorithm: Algorithm) -> Comparison:
    """Run the algorithm and the static contenders. Raises ValueError for an unusable trace."""
    loads = simulation.loads(scenario, gaps_s)
    run = simulation.simulate(scenario, loads, algorithm)
    limits = scenario.batching.limits
    largest = Batching(
        max_batch_size=limits.max_batch_size.max,
        max_queue_delay_microseconds=limits.max_queue_delay_microseconds.min,
        instances=limits.instances.min,
    )
    return Comparison(
        scenario=scenario,
        run=run,
        first=oracle.serve(scenario, loads, scenario.start),
        largest=oracle.serve(scenario, loads, largest),
        oracle=oracle.find(scenario, loads, _Progress()),
    )


class _Progress:
    """Tells on standard error how far the oracle's search is, where it takes long."""

    def __init__(self) -> None:
        self._told_at_s = time.monotonic()

    def __call__(self, done: int, of: int) -> None:
        now_s = time.monotonic()
        if now_s - self._told_at_s >= PROGRESS_EVERY_S:
            self._told_at_s = now_s
            print(f"ferryman simulate: {done} of {of} static configurations", file=sys.stderr)


def as_json(compared: Comparison) -> dict[str, Any]:
    """Return the comparison as JSON values; units are in the names."""
    tuned = compared.run
    changes = [
        {
            "window": change.window,
            "atSeconds": change.at_s,
            "actuator": change.actuator,
            "after": change.after.as_dict(),
            "reason": change.reason,
            "message": change.message,
        }
        for change in tuned.changes
    ]
    return {
        "seed": compared.scenario.seed,
        "replicas": compared.scenario.replicas,
        "algorithm": {
            "name": tuned.algorithm,
            **_contender(tuned.batching, tuned.figures),
            "windowsToConverge": compared.windows_to_converge,
            "changesByActuator": tuned.changes_by_actuator,
            "changes": changes,
        },
        "initial": _contender(compared.first.batching, compared.first.figures),
        "largest": _contender(compared.largest.batching, compared.largest.figures),
        "oracle": _contender(compared.oracle.batching, compared.oracle.figures),
    }


def _contender(batching: Batching, figures: Figures) -> dict[str, Any]:
    return {
        "batching": batching.as_dict(),
        "offered": figures.offered,
        "goodputPerSecond": figures.goodput_per_s,
        "attainment": figures.attainment,
        "latencyMilliseconds": {f"p{p}": value for p, value in figures.latency_ms.items()},
        "deviceBusySeconds": figures.device_busy_s,
        "meanBatchSize": figures.mean_batch_size,
        "goodputByWindow": list(figures.goodput_by_window),
    }


def _show(compared: Comparison) -> None:
    console = Console() if sys.stdout.isatty() else Console(width=PLAIN_WIDTH)
    scenario, tuned = compared.scenario, compared.run
    table = Table(title=f"{tuned.figures.offered} requests in {scenario.duration_s:.0f} s")
    columns = ("goodput/s", "attained", "p50 ms", "p90 ms", "p95 ms", "p99 ms", "busy s", "mean b")
    table.add_column("contender")
    table.add_column("batching at the end")
    for column in columns:
        table.add_column(column, justify="right")
    table.add_row(tuned.algorithm, describe(tuned.batching), *_cells(tuned.figures))
    for name, static in (
        ("initial, kept", compared.first),
        ("largest bound", compared.largest),
        ("oracle", compared.oracle),
    ):
        table.add_row(name, describe(static.batching), *_cells(static.figures))
    console.print(table)
    console.print(_story(compared), highlight=False)


def _cells(figures: Figures) -> tuple[str, ...]:
    return (
        f"{figures.goodput_per_s:.1f}",
        f"{figures.attainment:.1%}",
        *(f"{latency:.1f}" for latency in figures.latency_ms.values()),
        *("-" * (0 if figures.latency_ms else 4)),
        f"{figures.device_busy_s:.1f}",
        f"{figures.mean_batch_size:.2f}",
    )


def _story(compared: Comparison) -> str:
    """Return what the algorithm did, in one line."""
    after = compared.windows_to_converge
    used = compared.run.changes_by_actuator
    changes = ", ".join(f"{count} {actuator}" for actuator, count in used.items()) or "none"
    converged = (
        f"never stays within 5 % of the oracle in {compared.scenario.windows} windows"
        if after is None
        else f"within 5 % of the oracle after {after} of {compared.scenario.windows} windows"
    )
    return f"{compared.run.algorithm}: {converged}; changes: {changes}"


def _seed(text: str) -> int:
    return _number(text, 0, MAX_SEED)


def _replicas(text: str) -> int:
    return _number(text, 1, MAX_REPLICAS)


def _number(text: str, least: int, most: int) -> int:
    value = int(text)
    if not least <= value <= most:
        raise argparse.ArgumentTypeError(f"must be from {least} to {most}")
    return value


def _fail(message: str) -> int:
    for line in message.splitlines():
        print(f"ferryman simulate: {line}", file=sys.stderr)
    return EXIT_FAILED
