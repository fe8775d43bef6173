"""Run the scenario benchmark on a real Triton, as far as its results are missing.

``make bench-triton`` calls this. For each seed and scenario of benchmarks/scenarios_real the
oracle's configuration runs first, the best static one that the twin's full grid finds, and then
one contender after the other, under the same arrivals and each on a fresh server. Every run is
written when it is over, so that the benchmark can be interrupted and goes on where it stopped.
Nothing else should run meanwhile. With --seconds it is a try-out: results go to
build/bench-triton, and nothing in docs changes.
"""

import argparse
import os
import sys
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from benchmarks import common
from benchmarks.arena import measures
from benchmarks.arena.plan import ORACLE
from benchmarks.contenders.registry import BY_NAME
from benchmarks.real import models, noise, plan, report, store
from benchmarks.real.drive import Job, drive
from benchmarks.real.plan import Task
from benchmarks.real.sender import Sender
from ferryman.clients.load.generator import TargetUnavailable
from ferryman.clients.triton import ConfigRefused, TritonUnavailable
from ferryman.core.simulator import loads, oracle
from ferryman.core.simulator.scenario import Scenario

TRIED: Final = common.ROOT / "build" / "bench-triton"
DIGITS_FILE: Final = "digits-service-time.json"
EXIT_INTERRUPTED: Final = 130
#: What a run can fail of; an ExceptionGroup holds what went wrong in the session.
FAILURES: Final = (
    ExceptionGroup,
    RuntimeError,
    OSError,
    ConfigRefused,
    TargetUnavailable,
    TritonUnavailable,
)


@dataclass(frozen=True, slots=True)
class Bench:
    """What is to run, and where results are kept."""

    scenarios: dict[str, Scenario]
    contenders: Sequence[str] | None
    """None: those that matter in each scenario."""
    seeds: int
    folder: Path

    def rounds(self) -> Iterator[tuple[Scenario, list[Task]]]:
        """Yield what is compared with each other: the oracle and its contenders."""
        for seed in range(self.seeds):
            for name, scenario in self.scenarios.items():
                if seed >= plan.seeds_of(name, self.seeds):
                    continue
                who = (ORACLE, *plan.contenders_of(name, self.contenders))
                yield scenario.with_(seed=seed), [Task(name, each, seed) for each in who]

    def missing(self, scenario: Scenario, tasks: Sequence[Task]) -> list[Task]:
        """Return those without a result. Without the oracle's there is none."""
        best = self.result(scenario, tasks[0])
        if best is None:
            return list(tasks)
        return [task for task in tasks if self.result(scenario, task) is None]

    def result(self, scenario: Scenario, task: Task) -> store.Result | None:
        """Return the result of a run that is up to date."""
        return store.read(task, self.inputs(scenario, task), self.folder)

    def inputs(self, scenario: Scenario, task: Task) -> str:
        """Return the hash of what a run depends on: for a contender the oracle's result, too."""
        if task.contender == ORACLE:
            return plan.inputs(scenario, ORACLE)
        best = store.path_of(Task(task.scenario, ORACLE, task.seed), self.folder)
        content = best.read_bytes() if best.exists() else b""
        return plan.inputs(scenario, task.contender, content)

    def left_s(self) -> float:
        """Return how long what is missing takes."""
        return sum(
            len(self.missing(scenario, tasks)) * (scenario.duration_s + plan.OVERHEAD_S)
            for scenario, tasks in self.rounds()
        )


def main(argv: Sequence[str] | None = None) -> int:
    """Run what is missing, write the report; return 0, or 1 when a run failed."""
    args = _parser().parse_args(argv)
    bench = _bench(args)
    try:
        failed = _run_missing(bench)
    except (KeyboardInterrupt, RuntimeError) as error:
        if not _is_interrupt(error):
            raise
        print("interrupted: what is done is kept, the same command goes on", file=sys.stderr)
        return EXIT_INTERRUPTED
    _report(bench, tried=args.seconds is not None or args.out is not None)
    return 1 if failed else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    add = parser.add_argument
    add("--only", nargs="+", default=plan.names(), choices=plan.names(), metavar="SCENARIO")
    add("--contenders", nargs="*", choices=list(BY_NAME), metavar="NAME", help="beside the oracle")
    add("--seeds", type=int, default=plan.SEEDS, metavar="N", help=f"default: {plan.SEEDS}")
    add("--seconds", type=int, metavar="S", help="of each run: a try-out, not for the record")
    add("--out", type=Path, metavar="FOLDER", help="where results go; docs then stay as they are")
    return parser


def _bench(args: argparse.Namespace) -> Bench:
    folder = args.out or (store.FOLDER if args.seconds is None else TRIED)
    scenarios = {name: plan.read(name, args.seconds) for name in args.only}
    if plan.REAL_MODEL in scenarios:
        scenario = scenarios[plan.REAL_MODEL]
        largest = scenario.batching.limits.max_batch_size.max
        curve = models.kept_service_time(folder / DIGITS_FILE, largest, plan.digits_key())
        scenarios[plan.REAL_MODEL] = scenario.with_(service_time=curve)
    return Bench(scenarios, args.contenders, args.seeds, folder)


def _run_missing(bench: Bench) -> int:
    """Run what is missing; return how many runs failed."""
    if not bench.left_s():
        print("every result is there")
        return 0
    print(f"about {bench.left_s() / 60:.0f} min left", flush=True)
    failed = 0
    with Sender() as sender:
        floor = noise.measure(sender)
        print(f"noise of this machine: {floor}", flush=True)
        for scenario, tasks in bench.rounds():
            for task in bench.missing(scenario, tasks):
                failed += not _run(bench, scenario, task, sender, floor)
                print(f"about {bench.left_s() / 60:.0f} min left", flush=True)
    return failed


def _run(
    bench: Bench, scenario: Scenario, task: Task, sender: Sender, floor: dict[str, float]
) -> bool:
    """Run one contender and write its result; say whether it came to its end."""
    [arrivals_s] = loads.draw(scenario)
    best = bench.result(scenario, Task(task.scenario, ORACLE, task.seed))
    if task.contender == ORACLE:
        found = oracle.find(scenario, (arrivals_s,), lambda _done, _of: None)
        employed = plan.kept(scenario, found.batching)
    elif best is None:
        print(f"{task}: not run, for there is no oracle to compare it with", flush=True)
        return False
    else:
        employed = plan.employed(scenario, task.contender)
    busy = os.getloadavg()[0]
    try:
        model = plan.model_of(task.scenario)
        driven = drive(Job(scenario, model, employed, arrivals_s), sender.executor)
    except FAILURES as error:
        if _is_interrupt(error):
            raise
        traceback.print_exc()
        print(f"{task}: failed, goes on with the next", flush=True)
        sender.renew()
        return False
    series = measures.series(driven.run)
    result = {
        "inputs": bench.inputs(scenario, task),
        "date": common.today(),
        "machine": {**common.machine(), "loadBefore": round(busy, 2), "noise": floor},
        **measures.record(scenario, driven.run, series if best is None else best["series"]),
        "series": series,
        **driven.extras(),
    }
    if driven.searching:  # how long its search takes is not known
        result["settledAt"] = None
    store.write(task, result, bench.folder)
    print(f"{task}: {_in_words(result)}", flush=True)
    return True


def _is_interrupt(error: BaseException) -> bool:
    """Say whether it is the user's wish, or an error of what was ending because of it."""
    return isinstance(error, KeyboardInterrupt) or isinstance(error.__context__, KeyboardInterrupt)


def _in_words(result: dict[str, Any]) -> str:
    return (
        f"goodput {result['goodput']:.1f}/s, attainment {result['attainment']:.3f}, "
        f"p99 {result['p99']} ms, busy {result['busy']:.0f} s, changes {result['byActuator']}, "
        f"failed {result['failures'] or 'none'}, ends at {result['final']}"
    )


def _report(bench: Bench, *, tried: bool) -> None:
    """Print the report of what was asked for, or write that of the whole benchmark."""
    if tried:
        print(report.text(bench.scenarios, _results(bench)))
        return
    whole = _bench(_parser().parse_args([]))
    report.write(whole.scenarios, _results(whole))


def _results(bench: Bench) -> report.Results:
    """Return every result that is up to date: scenario -> contender -> seed -> result."""
    found: dict[str, dict[str, dict[int, store.Result]]] = {}
    for scenario, tasks in bench.rounds():
        for task in tasks:
            result = bench.result(scenario, task)
            if result is not None:
                seeds = found.setdefault(task.scenario, {}).setdefault(task.contender, {})
                seeds[task.seed] = result
    return found


if __name__ == "__main__":
    common.end_on_signals()
    sys.exit(main())
