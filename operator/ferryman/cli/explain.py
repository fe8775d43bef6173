"""``ferryman explain``: why a model is where it is, and how it is doing.

It runs the very ``plan`` that the operator runs, from the same snapshot, and carries nothing out.
"""

import argparse
import json
from datetime import UTC, datetime
from pathlib import Path

from ferryman.cli import arguments, explain_view, prices
from ferryman.cli.errors import InputError
from ferryman.cli.explain_view import Explanation
from ferryman.cli.files import snapshot_file
from ferryman.cli.terminal import console, say
from ferryman.clients import pbtxt
from ferryman.core.batching.restored_state import recalled
from ferryman.core.placement.choose import score
from ferryman.core.placement.prices import priced
from ferryman.core.plan import Environment, plan
from ferryman.core.snapshot import Snapshot

DESCRIPTION = """\
Show where a model is placed, why, why each other node type was not chosen or could not be, what a
fresh decision would say of them now, and how batching and objectives stand.

Reads the cluster that kubectl would, or a snapshot file (docs/snapshot-format.md); in a file the
decision is repeated exactly, wherever and whenever.
"""
EPILOG = """\
examples:
  ferryman explain resnet50                        why a model is where it is
  ferryman explain resnet50 --save-snapshot FILE   keep what it was decided from
  ferryman explain --snapshot FILE -o json         the same decision offline
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    add = parser.add_argument
    add("model", nargs="?", metavar="MODEL", help="an InferenceModel (not needed with --snapshot)")
    add("-n", "--namespace", metavar="NS", help="default: that of the kubeconfig's context")
    add("--context", metavar="NAME", help="a context of the kubeconfig instead of the current one")
    add("--snapshot", type=Path, metavar="FILE", help="decide from this file, without a cluster")
    prices.add_argument(
        parser,
        words=" (may be repeated; a node's label comes first); default: what the operator "
        "published, or the file has",
    )
    add("--save-snapshot", type=Path, metavar="FILE", help="write what was read to a YAML file")
    arguments.add_output(parser)


def run(args: argparse.Namespace) -> int:
    """Explain one model. Raises Fault when its snapshot cannot be had, or not be saved."""
    if (args.model is None) == (args.snapshot is None):
        raise InputError("name either a MODEL or a --snapshot FILE")
    snapshot, now = _snapshot(args)
    if args.save_snapshot:
        snapshot_file.write(args.save_snapshot, snapshot, now)
    explanation = explain(snapshot, now)
    if args.output == "json":
        print(json.dumps(explain_view.as_json(explanation), indent=2, ensure_ascii=False))
    else:
        explain_view.show(explanation, console())
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
        say("explain", warning)
    return priced(found, dict(args.prices)), found.now or now


def _gathered(args: argparse.Namespace) -> Snapshot:
    # Imported here: the Kubernetes client takes a second that --snapshot need not wait for.
    from ferryman.cli.gather import gather_snapshot  # noqa: PLC0415

    return gather_snapshot(args.namespace, args.model, args.context, dict(args.prices))
