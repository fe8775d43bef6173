"""``ferryman explain``: why a model is where it is, and how it is doing.

It runs the very ``plan`` that the operator runs, from the same snapshot, and carries nothing out.
"""

import argparse
import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from ferryman.cli import explain_view
from ferryman.cli.errors import GatherError
from ferryman.cli.explain_view import Explanation
from ferryman.cli.files import snapshot_file
from ferryman.cli.files.snapshot_file import SnapshotError
from ferryman.cli.prices import price
from ferryman.clients import pbtxt
from ferryman.core.batching.restored_state import recalled
from ferryman.core.placement.choose import score
from ferryman.core.placement.prices import priced
from ferryman.core.plan import Environment, plan
from ferryman.core.snapshot import Snapshot

if TYPE_CHECKING:
    # argparse has no public name for what add_subparsers returns.
    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001

EXIT_FAILED = 1
EXIT_USAGE = 2
#: Wide enough for messages where the output is no terminal.
PLAIN_WIDTH = 200

DESCRIPTION = """\
Show where a model is placed, why, why each other node type was not chosen or could not be, what a
fresh decision would say of them now, and how batching and objectives stand.

Reads the cluster that kubectl would, or a snapshot file (docs/snapshot-format.md); in a file the
decision is repeated exactly, wherever and whenever.
"""


def add_parser(commands: "Subparsers") -> None:
    """Add this subcommand."""
    parser = commands.add_parser(
        "explain",
        help="show where a model went, every candidate, and why",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("model", nargs="?", metavar="MODEL", help="an InferenceModel (not needed with --snapshot)")
    add("-n", "--namespace", metavar="NS", help="default: that of the kubeconfig's context")
    add("--context", metavar="NAME", help="a context of the kubeconfig instead of the current one")
    add("--snapshot", type=Path, metavar="FILE", help="decide from this file, without a cluster")
    add(
        "--price",
        action="append",
        default=[],
        type=price,
        metavar="NODETYPE=PRICE",
        dest="prices",
        help="what a node of a type costs per hour (may be repeated; a node's label comes first); "
        "default: what the operator published, or the file has",
    )
    add("--save-snapshot", type=Path, metavar="FILE", help="write what was read to a YAML file")
    add("-o", "--output", choices=("table", "json"), default="table", help="default: table")


def run(args: argparse.Namespace) -> int:
    """Explain one model; return 0 unless its snapshot cannot be had."""
    if (args.model is None) == (args.snapshot is None):
        print("ferryman explain: name either a MODEL or a --snapshot FILE", file=sys.stderr)
        return EXIT_USAGE
    try:
        snapshot, now = _snapshot(args)
        if args.save_snapshot:
            snapshot_file.write(args.save_snapshot, snapshot, now)
    except SnapshotError as error:
        return _fail(error)
    explanation = explain(snapshot, now)
    if args.output == "json":
        print(json.dumps(explain_view.as_json(explanation), indent=2, ensure_ascii=False))
    else:
        console = Console() if sys.stdout.isatty() else Console(width=PLAIN_WIDTH)
        explain_view.show(explanation, console)
    return 0


def explain(snapshot: Snapshot, now: datetime) -> Explanation:
    """Decide as the operator does, and add what a fresh decision would say."""
    # What is to serve is planned as well, and neither shown nor applied: no key, no namespace.
    decided = plan(
        snapshot,
        window=None,
        state=recalled(snapshot.model),
        now=now,
        encode=pbtxt.encode,
        control_key="",
        environment=Environment(operator_namespace=""),
    )
    return Explanation(snapshot.model, decided.status.placement, today=score(snapshot, now))


def _snapshot(args: argparse.Namespace) -> tuple[Snapshot, datetime]:
    now = datetime.now(UTC)
    if args.snapshot is None:
        return _gathered(args), now
    found, warnings = snapshot_file.read(args.snapshot)
    for warning in warnings:
        print(f"ferryman explain: {warning}", file=sys.stderr)
    return priced(found, dict(args.prices)), found.now or now


def _gathered(args: argparse.Namespace) -> Snapshot:
    # Imported here: the Kubernetes client takes a second that --snapshot need not wait for.
    from ferryman.cli.gather import gather_snapshot  # noqa: PLC0415

    try:
        return gather_snapshot(args.namespace, args.model, args.context, dict(args.prices))
    except GatherError as error:
        raise SnapshotError(str(error)) from error


def _fail(error: Exception) -> int:
    for line in str(error).splitlines():
        print(f"ferryman explain: {line}", file=sys.stderr)
    return EXIT_FAILED
