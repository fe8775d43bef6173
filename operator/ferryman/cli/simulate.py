"""``ferryman simulate``: what a batching algorithm would do to a model, without a cluster."""

import argparse
import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from ferryman.api.batching import Batching, BatchingSpec
from ferryman.cli import simulate_view
from ferryman.cli.files import scenario_file
from ferryman.cli.files.scenario_file import ScenarioError
from ferryman.cli.simulate_view import Comparison
from ferryman.core.simulator import loads, oracle, simulation
from ferryman.core.simulator.scenario import MAX_REPLICAS, MAX_SEED, Scenario
from ferryman.core.simulator.tuned_run import Tuned
from ferryman.core.tuners.select import TunerState, tune

if TYPE_CHECKING:
    # argparse has no public name for what add_subparsers returns.
    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001

EXIT_FAILED = 1
#: Nothing ever changes.
FIXED = "Fixed"
ALGORITHMS = (*get_args(BatchingSpec.model_fields["algorithm"].annotation), FIXED)
#: Long work says how far it is, this often.
PROGRESS_EVERY_S = 2.0

DESCRIPTION = """\
Let a batching algorithm tune a simulated model, window by window, with the operator's own code,
and compare it with the best configuration that never changes (the oracle, found by trying them
all). The format of a scenario is described in docs/scenario-format.md. The same scenario and seed
always give the same figures.
"""


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
    add("--algorithm", choices=ALGORITHMS, help="instead of the scenario's")
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
        print(json.dumps(simulate_view.as_json(compared), indent=2))
    else:
        simulate_view.show(compared)
    return 0


def compare(
    scenario: Scenario, gaps_s: tuple[float, ...], algorithm: str | None = None
) -> Comparison:
    """Run an algorithm (None: the scenario's) and the static contenders.

    Raises ValueError for an unusable trace.
    """
    name = algorithm or _stated(scenario)
    if name != FIXED:
        scenario = scenario.with_(batching=scenario.batching.with_(algorithm=name))
    tuned = Tuned(None) if name == FIXED else Tuned(tune, TunerState())
    arrivals_s = loads.draw(scenario, gaps_s)
    limits = scenario.batching.limits
    largest = Batching(
        max_batch_size=limits.max_batch_size.max,
        max_queue_delay_microseconds=limits.max_queue_delay_microseconds.min,
        instances=limits.instances.min,
    )
    return Comparison(
        scenario=scenario,
        algorithm=name,
        run=simulation.simulate(scenario, arrivals_s, tuned),
        first=oracle.serve(scenario, arrivals_s, scenario.start),
        largest=oracle.serve(scenario, arrivals_s, largest),
        oracle=oracle.find(scenario, arrivals_s, _Progress()),
    )


def _stated(scenario: Scenario) -> str:
    return FIXED if scenario.batching.mode == "Fixed" else scenario.batching.algorithm


class _Progress:
    """Tells on standard error how far the oracle's search is, where it takes long."""

    def __init__(self) -> None:
        self._told_at_s = time.monotonic()

    def __call__(self, done: int, of: int) -> None:
        now_s = time.monotonic()
        if now_s - self._told_at_s >= PROGRESS_EVERY_S:
            self._told_at_s = now_s
            print(f"ferryman simulate: {done} of {of} static configurations", file=sys.stderr)


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
