"""What the founding documents promise of pipelines, on a real Triton, round after round.

``make bench-pipelines`` runs the founding examples, large tensors handed on in four ways, a step
on another server behind a proxy and behind a program that chains, pipelines of unequal steps that
are balanced live beside the best assignment there is, twice as many requests as can be answered,
and hundreds of changes. It fails where a request is lost, or a step reloaded that need not be.
Figures go to benchmarks/results and docs/benchmarks.md.
"""

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
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


def run(rounds: int, names: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Run these parts so many times, one after the other; yield the figures of each round."""
    for number in range(rounds):
        figures = {}
        for name in names:
            print(f"round {number + 1} of {rounds}: {name}", flush=True)
            figures[name] = PARTS[name]()
        yield figures


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


def measured_today() -> list[dict[str, Any]]:
    """Return the rounds that were written today."""
    path = common.results_path(NAME, common.today())
    found: list[dict[str, Any]] = json.loads(path.read_text())["rounds"] if path.exists() else []
    return found


def main() -> int:
    """Measure, write the results round by round, and fail where something was lost."""
    common.end_on_signals()
    parser = argparse.ArgumentParser(prog="make bench-pipelines", description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument(
        "--only",
        nargs="+",
        default=list(PARTS),
        choices=list(PARTS),
        help="of rounds that were measured today only these are measured again",
    )
    parser.add_argument("--more", action="store_true", help="add rounds to today's")
    args = parser.parse_args()
    again = len(args.only) < len(PARTS) and not args.more
    rounds = measured_today() if again or args.more else []
    for number, figures in enumerate(run(args.rounds, args.only)):
        if again and number < len(rounds):
            rounds[number] |= figures
        else:
            rounds.append(figures)
        # At once: a round takes half an hour, and the next may be interrupted.
        found = {"date": common.today(), "machine": common.machine(), "rounds": rounds}
        common.write_results(NAME, found)
        common.write_section(NAME, report.section(found))
        print(report.section(found))
    return 0 if is_good(rounds) else 1


if __name__ == "__main__":
    sys.exit(main())
