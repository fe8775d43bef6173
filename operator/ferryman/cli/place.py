"""``ferryman place``: where the models of a whole fleet go, offline."""

import argparse
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from ferryman.api.inference_model import Policy
from ferryman.cli import arguments, output, place_view
from ferryman.cli.files import content, fleet_file
from ferryman.cli.files.fleet_file import FleetError
from ferryman.cli.place_view import Answer
from ferryman.core.fleet.fleet import Fleet
from ferryman.core.fleet.options import offers
from ferryman.core.fleet.packing import left
from ferryman.core.fleet.solve import TIME_LIMIT_S, solve
from ferryman.core.placement.policies import MEASURES

EXIT_NOT_ALL: Final = 1
#: A day.
LONGEST_S: Final = 86_400

DESCRIPTION = """\
Place all models of a file on its node types together, at the least cost that meets their
objectives, and say what is left, what it costs and how far that is from the least possible.
No cluster is asked. The format of the file is described in docs/fleet-format.md.

The answer is one of
  Optimal     all models are placed, and none of it can cost less (by 0.1 %)
  Feasible    all models are placed; the bound says how much less it could cost at most
  Infeasible  not all models can be placed: that is proved. Shown is what can be
  Unknown     not all models were placed, and it is not proved that they cannot be
"""
EPILOG = """\
examples:
  ferryman place --snapshot FILE                where each model goes
  ferryman place --snapshot FILE --add l4=4     what if there were four more L4 nodes
  ferryman place --snapshot FILE --policy Cheapest -o json  by price, for a program
"""
STATUSES: Final = {0: "all models are placed", EXIT_NOT_ALL: "not all models are placed"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    add = parser.add_argument
    add("--snapshot", type=Path, required=True, metavar="FILE", help="YAML or JSON; - is stdin")
    add(
        "--policy",
        **arguments.one_of(tuple(MEASURES)),
        default="BestFit",
        help="BestFit: the smallest share of nodes; Cheapest: the lowest price; default: BestFit",
    )
    add(
        "--add",
        type=_more,
        action="append",
        default=[],
        metavar="TYPE=N",
        help="so many more nodes of a type (fewer with a minus sign); may be repeated",
    )
    add(
        "--time-limit",
        type=arguments.number(above=0, most=LONGEST_S, unit="seconds"),
        default=TIME_LIMIT_S,
        metavar="SECONDS",
        help=f"for the programs; the local search comes on top; default: {TIME_LIMIT_S:g}",
    )
    arguments.add_output(parser)


def run(args: argparse.Namespace) -> int:
    """Place; return 0 if all models are placed, 1 if not. Raises FleetError."""
    fleet = fleet_file.with_more(fleet_file.read(args.snapshot), _sums(args.add))
    try:
        answer = place(fleet, args.policy, args.time_limit)
    except ValueError as error:
        raise FleetError(f"{content.name(args.snapshot)}: {error}") from error
    if not output.data(args.output, place_view.as_json(answer)):
        place_view.show(answer)
    return EXIT_NOT_ALL if answer.solution.unplaced else 0


def place(fleet: Fleet, policy: Policy, time_limit_s: float) -> Answer:
    """Place the models of a fleet. Raises ValueError when a price is missing."""
    found = offers(fleet, priced=MEASURES[policy].priced)
    with _no_chatter():
        solution = solve(found.problem, time_limit_s)
    return Answer(fleet, policy, found, solution, left(found.problem, solution.placed.values()))


@contextmanager
def _no_chatter() -> Iterator[None]:
    """Keep standard output for the answer: HiGHS has a line of debugging that it prints there."""
    sys.stdout.flush()
    kept, nowhere = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 1)
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)
        os.close(nowhere)


def _more(text: str) -> tuple[str, int]:
    name, equals, number = text.rpartition("=")
    if not equals or not name:
        raise argparse.ArgumentTypeError("must be TYPE=N, for example l4=4")
    try:
        return name, int(number)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{number!r} is no whole number") from error


def _sums(added: list[tuple[str, int]]) -> dict[str, int]:
    return {name: sum(n for other, n in added if other == name) for name, _ in added}
