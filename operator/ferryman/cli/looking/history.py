"""``ferryman history``: what was changed of a model's batching, why, and what came of it."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from ferryman.cli import arguments, output
from ferryman.cli.errors import Fault, InputError
from ferryman.cli.files import content, snapshot_file
from ferryman.cli.looking import history_view
from ferryman.cli.looking.history_view import Entry
from ferryman.cli.terminal import console, say

DESCRIPTION = """\
Show the decision journal of a model, the oldest change first: when, from what to what, why, how it
was made, and what came of it; and the batch size bound over time. The status keeps the latest ten.

With --pipeline it is the journal of a pipeline's steps.
"""
EPILOG = """\
examples:
  ferryman history resnet50                    the changes, and the bound over time
  ferryman history resnet50 -o wide            each with its message
  ferryman history ocr --pipeline -o json      of a pipeline's steps, for programs
  ferryman history resnet50 --plot bound.svg   the bound over time as a picture
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    add = parser.add_argument
    add("model", nargs="?", metavar="MODEL", help="an InferenceModel (not needed with --snapshot)")
    add("-n", "--namespace", metavar="NS", help="default: that of the kubeconfig's context")
    add("--context", metavar="NAME", help="a context of the kubeconfig instead of the current one")
    add("--snapshot", type=Path, metavar="FILE", help="of this snapshot, without a cluster")
    add("--pipeline", action="store_true", help="MODEL is an InferencePipeline")
    add("--plot", type=arguments.svg, metavar="FILE.svg", help="also draw the bound over time")
    arguments.add_output(parser)


def run(args: argparse.Namespace) -> int:
    """Show a journal. Raises Fault when it cannot be read, or the plot not be written."""
    if (args.model is None) == (args.snapshot is None):
        raise InputError("name either a MODEL or a --snapshot FILE")
    if args.pipeline and (args.snapshot or args.plot):
        raise InputError("with --pipeline there is neither a --snapshot nor a --plot")
    name, entries = _journal(args)
    if args.plot is not None:
        if not entries:
            raise Fault(f"{name}: nothing was changed yet, so there is nothing to draw")
        content.write(args.plot, history_view.picture(name, entries))
        say("history", f"wrote {args.plot}")
    if not output.data(args.output, [entry.as_dict() for entry in entries]):
        history_view.show(name, entries, console(), wide=args.output == "wide")
    return 0


def _journal(args: argparse.Namespace) -> tuple[str, Sequence[Entry]]:
    if args.snapshot is not None:
        found, warnings = snapshot_file.read(args.snapshot)
        for warning in warnings:
            say("history", warning)
        return found.model.key.qualified_name, history_view.of_model(found.model.status)
    # Imported here: the Kubernetes client takes a second that --snapshot need not wait for.
    from ferryman.cli.gather import gather_object  # noqa: PLC0415

    if args.pipeline:
        from ferryman.api.pipelines.inference_pipeline import (  # noqa: PLC0415
            InferencePipeline,
        )

        pipeline = gather_object(InferencePipeline, args.namespace, args.model, args.context)
        return pipeline.key.qualified_name, history_view.of_pipeline(pipeline.status)
    from ferryman.api.inference_model import InferenceModel  # noqa: PLC0415

    model = gather_object(InferenceModel, args.namespace, args.model, args.context)
    return model.key.qualified_name, history_view.of_model(model.status)
