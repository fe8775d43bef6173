"""Run contenders on random models, as far as results are missing, and print what they were worth.

``make bench-family`` and ``make bench-quick`` call this. Results are written as they come, so
that a run can be interrupted and goes on where it stopped. Figures do not depend on the machine.
"""

import argparse
import sys
import time
from collections.abc import Generator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from math import inf
from typing import Any, Final

from benchmarks.contenders.registry import BY_NAME, CONTENDERS
from benchmarks.family import confirm, plan, report, store
from benchmarks.family import job as runner
from benchmarks.family.plan import HALVES, LARGEST, ORACLE, Job

SCENARIOS: Final = 200
QUICK_SCENARIOS: Final = 20
WORKERS: Final = 2
_S_PER_MINUTE: Final = 60.0
_ALL: Final = tuple(contender.name for contender in CONTENDERS)


def main(argv: Sequence[str] | None = None) -> int:
    """Run what is missing, write the report; return 0."""
    args = _parser().parse_args(argv)
    measured = args.commit or plan.commit()
    asked = [report.GUARDED] if args.quick and not args.contender else args.contender or _ALL
    wanted = list(dict.fromkeys([LARGEST, *asked]))
    chosen = {half: _seeds(args, half, measured) for half in args.half}
    if args.confirm:
        for half in args.half:
            confirm.confirm(half, chosen[half], wanted, args.confirm)
    jobs = [
        each
        for half in args.half
        for each in plan.jobs(half, chosen[half], [BY_NAME[name] for name in wanted])
    ]
    try:
        _run(jobs, args.workers, args.minutes)
    except KeyboardInterrupt:
        print("interrupted: what is done is kept, the same command goes on", file=sys.stderr)
        return 130
    told = [report.told(half, chosen[half], wanted, worst=args.worst) for half in args.half]
    print("\n\n".join(told))
    if args.report:
        report.write(chosen, wanted, measured)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    add = parser.add_argument
    add("--quick", action="store_true", help=f"{QUICK_SCENARIOS} scenarios a half, Guarded alone")
    add("--scenarios", type=int, metavar="N", help=f"of each half; default: {SCENARIOS}")
    add("--seeds", type=int, nargs="+", metavar="SEED", help="these scenarios alone")
    add("--half", nargs="+", choices=HALVES, default=list(HALVES))
    add("--commit", help="whose validation half; default: the one that is checked out")
    add("--contender", nargs="+", choices=list(BY_NAME), metavar="NAME")
    add("--minutes", type=float, default=inf, metavar="N", help="begin nothing after so long")
    add(
        "--confirm",
        type=int,
        metavar="N",
        help="after a change that should bear on no figure, run N scenarios of each half again "
        "first, and keep the results of contenders where these come out to the last bit as before",
    )
    add("--workers", type=int, default=WORKERS, metavar="N", help=f"default: {WORKERS}")
    add("--worst", type=int, default=0, metavar="N", help="show the worst scenarios of Guarded")
    add("--report", action="store_true", help="write the section of docs/benchmarks.md")
    return parser


def _seeds(args: argparse.Namespace, half: str, measured: str) -> list[int]:
    if args.seeds:
        return list(args.seeds)
    count = args.scenarios or (QUICK_SCENARIOS if args.quick else SCENARIOS)
    return list(plan.seeds(half, count, measured))


def _run(jobs: list[Job], workers: int, minutes: float) -> None:
    """Run jobs and keep what comes of each; those that were not begun in time are left out."""
    began_s = time.monotonic()
    done = _carried_out(jobs, workers)
    for number, (job, results) in enumerate(done, start=1):
        for contender, result in results.items():
            key = store.key(job.drawn.scenario)
            store.add(job.half, contender, plan.inputs(contender), {key: result})
        left_s = (time.monotonic() - began_s) / number * (len(jobs) - number)
        told = f"{number} of {len(jobs)}: {job.half} {job.seed}; about {left_s / 60:.0f} min left"
        print(told, file=sys.stderr, flush=True)
        if time.monotonic() - began_s > minutes * _S_PER_MINUTE:
            done.close()
            return


def _carried_out(jobs: list[Job], workers: int) -> Generator[tuple[Job, store.Results], None, None]:
    if workers == 1:
        yield from ((job, carry_out(job)) for job in jobs)
        return
    with ProcessPoolExecutor(workers) as pool:
        futures = {pool.submit(carry_out, job): job for job in jobs}
        try:
            for future in as_completed(futures):
                yield futures[future], future.result()
        finally:
            pool.shutdown(cancel_futures=True)


def carry_out(job: Job) -> dict[str, dict[str, Any]]:
    """Return the results of a job by contender, the oracle's among them if it was searched."""
    scenario = job.drawn.scenario
    results = runner.contend(scenario, [BY_NAME[name] for name in job.contenders])
    if not job.searched:
        results[ORACLE] = runner.best(scenario)
    return results


if __name__ == "__main__":
    sys.exit(main())
