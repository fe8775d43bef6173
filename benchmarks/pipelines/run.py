"""What the founding documents promise of pipelines, on a real Triton, round after round.

``make bench-pipelines`` runs the founding examples, large tensors handed on in four ways, a step
on another server behind a proxy and behind a program that chains, pipelines of unequal steps that
are balanced live beside the best assignment there is, twice as many requests as can be answered,
and hundreds of changes. It fails where a request is lost, or a step reloaded that need not be.
Figures go to benchmarks/results and docs/benchmarks.md.
"""

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from benchmarks import common
from benchmarks.pipelines import (
    balanced,
    changes,
    founding,
    ocr,
    overload,
    proxied,
    report,
    transfers,
)

NAME: Final = "pipelines"
ROUNDS: Final = 3

PARTS: Final[Mapping[str, Callable[[], Any]]] = {
    "founding": founding.run,
    "transfers": transfers.run,
    "proxy": proxied.run,
    "balanced": balanced.run,
    "overload": overload.run,
    "ocr": ocr.run,
    "changes": changes.run,
}


def run(rounds: int, names: Sequence[str]) -> list[dict[str, Any]]:
    """Run these parts so many times, one after the other."""
    found = []
    for number in range(rounds):
        figures = {}
        for name in names:
            print(f"round {number + 1} of {rounds}: {name}", flush=True)
            figures[name] = PARTS[name]()
        found.append(figures)
    return found


def is_good(rounds: report.Rounds) -> bool:
    """Whether nothing was lost and nothing reloaded."""
    runs = [one["balanced"] for one in rounds if "balanced" in one]
    lost = sum(one["overload"]["otherwise"] for one in rounds if "overload" in one)
    lost += sum(changes.lost(one["changes"]) for one in rounds if "changes" in one)
    read = [one["ocr"] for one in rounds if "ocr" in one]
    wrong = sum(each["all_failed"] + each["reloads"] for each in read)
    return not (lost or wrong) and all(
        balanced.totals([*each.values()])[1:] == (0, 0) for each in runs
    )


def main() -> int:
    """Measure, write the results, and fail where something was lost."""
    common.end_on_signals()
    parser = argparse.ArgumentParser(prog="make bench-pipelines", description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--only", nargs="+", default=list(PARTS), choices=list(PARTS))
    args = parser.parse_args()
    results: dict[str, Any] = {
        "date": common.today(),
        "machine": common.machine(),
        "rounds": run(args.rounds, args.only),
    }
    whole = set(args.only) == set(PARTS)
    name = NAME if whole else "-".join((NAME, *args.only))
    common.write_results(name, results)
    common.write_section(name, report.section(results))
    print(report.section(results))
    return 0 if is_good(results["rounds"]) else 1


if __name__ == "__main__":
    sys.exit(main())
