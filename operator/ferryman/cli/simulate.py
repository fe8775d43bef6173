"""``ferryman simulate``: what a batching algorithm would do to a model, without a cluster."""

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Final, get_args

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ferryman.api.batching import Batching, BatchingSpec
from ferryman.cli import arguments, output, simulate_view
from ferryman.cli.files import content, profile_file, scenario_file
from ferryman.cli.files.scenario_file import ScenarioError
from ferryman.cli.simulate_view import Comparison
from ferryman.cli.terminal import console, say
from ferryman.core.simulator import loads, oracle, oracle_search, simulation
from ferryman.core.simulator.figures import Floats
from ferryman.core.simulator.oracle import Static
from ferryman.core.simulator.scenario import MAX_REPLICAS, MAX_SEED, Scenario
from ferryman.core.simulator.tuned_run import Tuned
from ferryman.core.tuners.profile import tuner_state
from ferryman.core.tuners.select import TunerState, tune

#: Nothing ever changes.
FIXED = "Fixed"
ALGORITHMS = (*get_args(BatchingSpec.model_fields["algorithm"].annotation), FIXED)
#: Long work says how far it is, this often, where no bar can be drawn.
PROGRESS_EVERY_S = 2.0
#: Instead of a number of configurations.
ALL: Final = "all"

DESCRIPTION = """\
Let a batching algorithm tune a simulated model, window by window, with the operator's own code,
and compare it with the best configuration that never changes: the oracle, found by trying. What
cannot win is not tried, and the answer says how many were. The format of a scenario is described
in docs/scenario-format.md. The same scenario, seed and selection always give the same figures.
"""
EPILOG = """\
examples:
  ferryman simulate --scenario - <<END
  serviceTime: {coefficients: {t0: 5, a: 1}}
  arrivals: {poisson: {ratePerSecond: 50}}
  objectives: {latency: {percentile: 99, targetMilliseconds: 50}}
  END
  ferryman simulate --scenario FILE --no-oracle   what the algorithm does, at once
  ferryman simulate --scenario FILE --oracle all  each configuration, however long it takes
  ferryman simulate --scenario FILE --algorithm Trend --seed 7 -o json  for a program
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    add = parser.add_argument
    add("--scenario", type=Path, required=True, metavar="FILE", help="YAML or JSON; - is stdin")
    add("--algorithm", **arguments.one_of(ALGORITHMS), help="instead of the scenario's")
    add(
        "--seed",
        type=arguments.whole(0, MAX_SEED),
        metavar="N",
        help="instead of the scenario's",
    )
    add(
        "--replicas",
        type=arguments.whole(1, MAX_REPLICAS),
        metavar="N",
        help="Triton pods, instead of the scenario's",
    )
    add(
        "--profile",
        type=Path,
        metavar="FILE",
        help="let the algorithm begin with the service times in this file (docs/tune.md)",
    )
    search = parser.add_mutually_exclusive_group()
    search.add_argument(
        "--oracle",
        type=_tries,
        metavar="N",
        help=f"try about N configurations for the oracle, evenly chosen, or `{ALL}` of them "
        "(default: those that may win)",
    )
    search.add_argument("--no-oracle", action="store_true", help="do without the oracle")
    arguments.add_output(parser)


def run(args: argparse.Namespace) -> int:
    """Simulate. Raises ScenarioError or ProfileError when what is given cannot be had."""
    changes = {"seed": args.seed, "replicas": args.replicas}
    given = {field: value for field, value in changes.items() if value is not None}
    scenario, gaps_s = scenario_file.read(args.scenario)
    scenario = scenario.with_(**given)
    try:
        arrivals_s = loads.draw(scenario, gaps_s)
    except ValueError as error:
        raise ScenarioError(f"{content.name(args.scenario)}: arrivals: {error}") from error
    most = 0 if args.no_oracle else args.oracle
    known = TunerState() if args.profile is None else tuner_state(profile_file.read(args.profile))
    compared = compare(scenario, arrivals_s, args.algorithm, most, known)
    if not output.data(args.output, simulate_view.as_json(compared)):
        simulate_view.show(compared)
    return 0


def compare(
    scenario: Scenario,
    arrivals_s: Sequence[Floats],
    algorithm: str | None,
    most: float | None,
    known: TunerState,
) -> Comparison:
    """Run an algorithm (None: the scenario's) and the static contenders.

    The oracle is found among at most so many configurations, None among those that may win; 0 does
    without. ``known`` is what the algorithm remembers in the beginning.
    """
    name = algorithm or _stated(scenario)
    if name != FIXED:
        scenario = scenario.with_(batching=scenario.batching.with_(algorithm=name))
    ours = partial(tune, in_effect=scenario.in_effect)
    tuned = Tuned(None) if name == FIXED else Tuned(ours, known)
    limits = scenario.batching.limits
    largest = Batching(
        max_batch_size=limits.max_batch_size.max,
        max_queue_delay_microseconds=limits.max_queue_delay_microseconds.min,
        instances=limits.instances.min,
    )
    run_of_it = simulation.simulate(scenario, arrivals_s, tuned)
    best, tried = _oracle(scenario, arrivals_s, most)
    return Comparison(
        scenario=scenario,
        algorithm=name,
        run=run_of_it,
        first=oracle.serve(scenario, arrivals_s, scenario.start),
        largest=oracle.serve(scenario, arrivals_s, scenario.in_effect(largest)),
        oracle=best,
        tried=tried,
        of=len(oracle.candidates(scenario)),
    )


def _oracle(
    scenario: Scenario, arrivals_s: Sequence[Floats], most: float | None
) -> tuple[Static | None, int]:
    """Return the oracle and among how many configurations it was found."""
    if most == 0:
        return None, 0
    if most is None:
        with _progress() as tell:
            return oracle_search.find(scenario, arrivals_s, tell)
    among = oracle.candidates(scenario, None if most == float("inf") else int(most))
    with _progress() as tell:
        return oracle.find(scenario, arrivals_s, tell, among), len(among)


def _stated(scenario: Scenario) -> str:
    return FIXED if scenario.batching.mode == "Fixed" else scenario.batching.algorithm


@contextmanager
def _progress() -> Iterator[oracle.Progress]:
    """Tell on standard error how far the oracle's search is: as a bar, or now and then a line."""
    if not sys.stderr.isatty():
        yield _Lines()
        return
    columns = (
        TextColumn("static configurations"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("at most"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console(stderr=True), transient=True) as bar:
        task = bar.add_task("oracle", total=None)
        yield lambda done, of: bar.update(task, completed=done, total=of)


class _Lines:
    """Says how far it is, and about how long the rest takes at most."""

    def __init__(self) -> None:
        self._began_s = self._told_at_s = time.monotonic()

    def __call__(self, done: int, of: int) -> None:
        now_s = time.monotonic()
        if now_s - self._told_at_s >= PROGRESS_EVERY_S:
            self._told_at_s = now_s
            left_s = (now_s - self._began_s) / done * (of - done)
            left = f"at most {left_s:.0f} s left"
            say("simulate", f"{done} of at most {of} static configurations, {left}")


def _tries(text: str) -> float:
    if text.lower() == ALL:
        return float("inf")
    return arguments.whole(1)(text)
