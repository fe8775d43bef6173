"""``ferryman split``: one ONNX model as the steps of a pipeline."""

import argparse
from pathlib import Path
from typing import Final

from ferryman.api.pipelines.step import MAX_STEPS
from ferryman.cli import arguments
from ferryman.cli.files import arrays
from ferryman.cli.onnx import extra

DESCRIPTION = """\
Cut an ONNX model into steps that take equally long, and write the pipeline.

Where few tensors cross, the model may be cut. What lies between two such places is timed in ONNX
Runtime on this machine's CPU, and the places are chosen that make the slowest step as fast as can
be; among these, those that the fewest bytes cross. The steps are then run one after the other, and
their answers compared with the model's. Where they differ nothing is written.
"""

EPILOG = """\
examples:
  ferryman split resnet50.onnx --parts 4
  ferryman split MODEL.onnx --parts 2 -o DIR --check inputs.npz
  ferryman split MODEL.onnx --parts 3 --storage-uri pvc://models/my-model

DIR holds a folder for each step, as Triton's model repository has it, and pipeline.yaml.
"""
STATUSES: Final = {
    1: "answers differ, ONNX Runtime refuses the model, or the extra is missing",
    2: "an argument or a file is wrong, or the model has too few places to cut",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    count = arguments.whole(1)
    add = parser.add_argument
    add("model", type=Path, metavar="MODEL.onnx", help="the model; its weights may lie beside it")
    add(
        "--parts",
        type=arguments.whole(2, MAX_STEPS),
        required=True,
        metavar="K",
        help=f"how many steps, 2 to {MAX_STEPS}",
    )
    add("-o", "--output", type=Path, metavar="DIR", help="a new folder (default: MODEL-parts)")
    add("--check", type=Path, metavar="FILE", help=".npz with an array per input (default: drawn)")
    add(
        "--tolerance",
        type=arguments.number(least=0),
        default=1e-5,
        metavar="D",
        help="largest difference of an answer's numbers (default: 1e-5)",
    )
    add(
        "--tensors",
        type=count,
        metavar="N",
        help="most tensors that cross a cut (default: as few as do)",
    )
    add(
        "--bandwidth",
        type=arguments.number(above=0),
        metavar="MB/S",
        help="of what carries tensors: their time then counts (default: it does not)",
    )
    add("--batch-size", type=count, default=1, metavar="N", help="rows in a run (default: 1)")
    add("--threads", type=count, default=1, metavar="N", help="of a step (default: 1)")
    add("--rounds", type=count, default=15, metavar="N", help="of timing (default: 15)")
    add(
        "--storage-uri",
        type=arguments.storage_prefix,
        metavar="URI",
        help="where the cluster will find DIR (default: pvc://models/DIR)",
    )
    add("--json", action="store_true", help="print JSON instead of a table")


def run(args: argparse.Namespace) -> int:
    """Split the model; return 0 when it is written."""
    arrays.expect_name("--check", args.check)
    status: int = extra.load("splitting").run(args)
    return status
