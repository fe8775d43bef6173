"""``ferryman explain``: why a model is where it is, and how it is doing.

It runs the very ``plan`` that the operator runs, from the same snapshot, and carries nothing out.
"""

import argparse
from datetime import UTC, datetime
from pathlib import Path

from ferryman.cli import arguments, output, prices
from ferryman.cli.errors import InputError
from ferryman.cli.explaining import explain_pipeline, explain_view
from ferryman.cli.explaining.explain_view import Explanation
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
  ferryman explain ocr --pipeline                  what each step does, and which one limits
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
    add("--pipeline", action="store_true", help="MODEL is an InferencePipeline")
    arguments.add_output(parser)


def run(args: argparse.Namespace) -> int:
    """Explain one model. Raises Fault when its snapshot cannot be had, or not be saved."""
    if (args.model is None) == (args.snapshot is None):
        raise InputError("name either a MODEL or a --snapshot FILE")
    if args.pipeline:
        return _run_pipeline(args)
    snapshot, now = _snapshot(args)
    if args.save_snapshot:
        snapshot_file.write(args.save_snapshot, snapshot, now)
    explanation = explain(snapshot, now)
    if not output.data(args.output, explain_view.as_json(explanation)):
        explain_view.show(explanation, console())
    return 0


def _run_pipeline(args: argparse.Namespace) -> int:
    """Explain one pipeline. Raises Fault when its snapshot cannot be had."""
    if args.snapshot or args.save_snapshot:
        raise InputError("snapshot files are of models: leave out --pipeline, or the file")
    # Imported here: the Kubernetes client takes a second.
    from ferryman.cli.gather import gather_pipeline  # noqa: PLC0415

    found = gather_pipeline(args.namespace, args.model, args.context, dict(args.prices))
    explanation, pipeline = explain_pipeline.explain(found, datetime.now(UTC))
    if not output.data(args.output, explain_pipeline.as_json(explanation, pipeline)):
        explain_pipeline.show(explanation, pipeline, console())
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
        environment=Environment(operator_namespace="", image="ferryman"),
    )
    status = decided.status
    return Explanation(
        snapshot.model, status.placement, today=score(snapshot, now), scaling=status.scaling
    )


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
