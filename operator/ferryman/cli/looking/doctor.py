"""``ferryman doctor``: what is wrong with an installation, and what to do about each fault."""

import argparse
from collections.abc import Sequence
from dataclasses import asdict
from typing import Final

from rich.text import Text

from ferryman.cli import arguments, output
from ferryman.cli.tables import Column, Listing
from ferryman.cli.terminal import console
from ferryman.core.doctor.checks import Diagnosed, diagnose

DESCRIPTION = """\
Look at the installation that kubectl would: versions, permissions, CRDs, policies, agents, clocks,
GPUs, runtimes and their published advisories, benchmarks, Services, metrics. Each fault comes with
what to do about it. Nothing is changed.

What you may not read is said to be unknown: run it as somebody who may.
"""
EPILOG = """\
examples:
  ferryman doctor                what is wrong, and what was fine
  ferryman doctor -o json        the same for programs
  ferryman doctor --faults       the faults alone
"""
#: Unlike a command that failed, this one did what it was asked to.
FOUND: Final = 1
STATUSES = {0: "nothing is wrong in what could be read", FOUND: "something is wrong"}
_STYLES: Final = {"ok": "green", "fault": "red", "unknown": "yellow"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    add = parser.add_argument
    add("--context", metavar="NAME", help="a context of the kubeconfig instead of the current one")
    add("--faults", action="store_true", help="leave out what is fine")
    arguments.add_output(parser)


def run(args: argparse.Namespace) -> int:
    """Examine a cluster. Raises Fault when it cannot be asked at all."""
    # Imported here: the Kubernetes client takes a second that --help need not wait for.
    from ferryman.cli.looking.examine import examine  # noqa: PLC0415

    found = diagnose(examine(args.context))
    shown = [each for each in found if not args.faults or each.verdict != "ok"]
    if not output.data(args.output, [asdict(each) for each in shown]):
        show(shown, found)
    return FOUND if any(each.verdict == "fault" for each in found) else 0


def show(shown: Sequence[Diagnosed], found: Sequence[Diagnosed]) -> None:
    """Show some of what was found as a table, and how much there is of all of it."""
    listing = Listing(
        (
            Column("CHECK"),
            Column("VERDICT"),
            Column("WHAT", fold=24, below=True),
            Column("WHAT TO DO", fold=24, below=True),
        )
    )
    for each in shown:
        verdict = Text(each.verdict, _STYLES[each.verdict])
        listing.add(each.check, verdict, each.message, each.remedy)
    screen = console()
    if shown:
        screen.print(listing)
    counts = {verdict: sum(each.verdict == verdict for each in found) for verdict in _STYLES}
    screen.print(f"{counts['fault']} wrong, {counts['unknown']} unknown, {counts['ok']} fine")
