"""Run the scenario benchmark on the digital twin, as far as its results are missing.

``make bench-quick`` and ``make bench`` call this. Every scenario of benchmarks/scenarios is run
with every contender of benchmarks/contenders and every seed; for one scenario and seed, one
contender after the other under the same arrivals. Results are written as they come, so that a
run can be interrupted and goes on where it stopped. Figures do not depend on the machine.
"""

import argparse
import json
import multiprocessing
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from typing import Final

from benchmarks.arena import job as runner
from benchmarks.arena import plan, report, store
from benchmarks.arena.plan import Job
from benchmarks.arena.store import Result
from benchmarks.contenders.registry import BY_NAME, CONTENDERS

SEEDS: Final = 10
QUICK_SEEDS: Final = 2
#: Seeds of Guarded less one of its parts: these only show what a part is for.
ABLATION_SEEDS: Final = 3
WORKERS: Final = 2

Keep = Callable[[Job, Mapping[str, Result]], None]


def main(argv: Sequence[str] | None = None) -> int:
    """Run what is missing, write the report; return 0."""
    args = _parser().parse_args(argv)
    try:
        if args.confirm:
            _run(list(plan.confirmations(args.scenario, list(BY_NAME), 0)), args.workers, _confirm)
        else:
            _run(_jobs(args), args.workers, _store)
    except KeyboardInterrupt:
        print("interrupted: what is done is kept, the same command goes on", file=sys.stderr)
        return 130
    if not args.no_report:
        report.write(args.scenario)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    add = parser.add_argument
    add("--quick", action="store_true", help=f"{QUICK_SEEDS} seeds, Guarded with all its parts")
    add("--seeds", type=int, metavar="N", help=f"default: {SEEDS}")
    add("--scenario", nargs="+", default=plan.names(), choices=plan.names(), metavar="NAME")
    add("--contender", nargs="+", choices=list(BY_NAME), metavar="NAME")
    add("--workers", type=int, default=WORKERS, metavar="N", help=f"default: {WORKERS}")
    add(
        "--confirm",
        action="store_true",
        help="after a change of the code, run one seed again, and keep the results of all seeds "
        "where that comes out as it did, to the last bit",
    )
    add("--no-report", action="store_true", help="leave docs/benchmarks.md as it is")
    return parser


def _jobs(args: argparse.Namespace) -> list[Job]:
    seeds = range(args.seeds or (QUICK_SEEDS if args.quick else SEEDS))
    whole = args.contender or [contender.name for contender in CONTENDERS]
    parts = [name for name, contender in BY_NAME.items() if contender.part]
    ablated = () if args.contender or args.quick else seeds[:ABLATION_SEEDS]
    return [
        job
        for seed in seeds
        for job in plan.jobs(args.scenario, [*whole, *(parts if seed in ablated else ())], seed)
    ]


def _run(jobs: list[Job], workers: int, keep: Keep) -> None:
    """Run jobs side by side; keep the results of each when it is done."""
    if not jobs:
        print("every result is there")
        return
    began_s, done, whole = time.monotonic(), 0, sum(job.cost for job in jobs)
    with ProcessPoolExecutor(workers, initializer=_leave_interrupts_to_parent) as pool:
        futures = {pool.submit(runner.carry_out, job): job for job in jobs}
        try:
            for number, future in enumerate(as_completed(futures), start=1):
                job = futures[future]
                keep(job, future.result())
                done += job.cost
                left_s = (time.monotonic() - began_s) * (whole - done) / done
                told = f"{number} of {len(jobs)}: {job.scenario}, seed {job.seed}"
                print(f"{told}; about {left_s / 60:.0f} min left", flush=True)
        except BaseException:
            # What runs would be waited for: it can take a minute, and is not worth it.
            for worker in multiprocessing.active_children():
                worker.terminate()
            pool.shutdown(cancel_futures=True)
            raise


def _leave_interrupts_to_parent() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _store(job: Job, results: Mapping[str, Result]) -> None:
    for contender, result in results.items():
        inputs = plan.inputs(job.scenario, contender)
        store.add(job.scenario, contender, inputs, {job.seed: result})
    store.note_origin()


def _confirm(job: Job, results: Mapping[str, Result]) -> None:
    """Have all seeds count for the present code where one of them comes out as it did."""
    for contender, result in results.items():
        inputs = plan.inputs(job.scenario, contender)
        kept = store.read_outdated(job.scenario, contender, inputs)[job.seed]
        if json.loads(json.dumps(result)) == kept:
            store.renew(job.scenario, contender, inputs)
        else:
            print(f"{job.scenario}: {contender} comes out differently, and is to run again")


if __name__ == "__main__":
    sys.exit(main())
