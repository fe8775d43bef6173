"""``ferryman compress``: a variant of an ONNX model, with what it is worth."""

import argparse
from pathlib import Path
from typing import Final

from ferryman.cli import arguments
from ferryman.cli.errors import InputError
from ferryman.cli.files import arrays
from ferryman.cli.onnx import extra
from ferryman.core.compression.accuracy import Metric
from ferryman.core.compression.speed import LEAST_ROUNDS

#: Of the int8 calibration, as ``clients.onnx.compression`` has them.
CALIBRATIONS: Final = ("minmax", "entropy", "percentile")

DESCRIPTION = """\
Make a variant of an ONNX model, measure how accurate and how fast it is, and write it.

The accuracy is that of the variant's answers to the rows of --check, by the metric you choose.

  labels  share of rows whose class is the one in `labels`
  top1    share of rows whose class is the one that the original answers
  cosine  mean cosine of the angle between both answers to a row
  error   1 less the relative error of all answers

The speed is that of this machine's CPU, original and variant in turns. A variant is called faster
only where the 95 % confidence interval of the ratio says so: on another processor it may be slower.
"""

EPILOG = """\
examples:
  ferryman compress m.onnx --int8 --calibrate a.npz --check b.npz --metric top1
  ferryman compress m.onnx --float16 --check b.npz --metric error -o half.onnx
  ferryman compress m.onnx --prune 0.5 --check b.npz --metric top1 --floor 0.9

What is printed last goes into the step of an InferencePipeline.
"""
STATUSES: Final = {
    1: "below --floor, it cannot be compressed so, or the extra is missing",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    count = arguments.whole(1)
    add = parser.add_argument
    add("model", type=Path, metavar="MODEL.onnx", help="the model; its weights may lie beside it")
    kind = parser.add_mutually_exclusive_group(required=True)
    kind.add_argument("--int8", action="store_true", help="8-bit weights and activations")
    kind.add_argument("--float16", action="store_true", help="half precision inside")
    kind.add_argument(
        "--prune",
        type=arguments.number(above=0, most=0.99),
        metavar="SHARE",
        help="set this share of each weight to 0",
    )
    add("--check", type=Path, required=True, metavar="FILE", help=".npz with an array per input")
    metric = {**arguments.one_of([each.value for each in Metric]), "required": True}
    add("--metric", **metric, help="what accuracy means")
    add("--calibrate", type=Path, metavar="FILE", help="--int8: .npz of other rows than --check's")
    add(
        "--calibration",
        **arguments.one_of(CALIBRATIONS),
        help="--int8: how ranges are found (default: minmax)",
    )
    add("--reduce-range", action="store_true", help="--int8: 7-bit weights, for CPUs without VNNI")
    add("--floor", type=arguments.number(least=0, most=1), metavar="A", help="least accuracy")
    add(
        "--answer",
        metavar="NAME",
        help="the output to compare (default: a class or scores; all numbers)",
    )
    add("-o", "--output", type=Path, metavar="OUT", help="a new file (default: MODEL-KIND.onnx)")
    add("--batch-size", type=count, default=1, metavar="N", help="rows in a run (default: 1)")
    add("--threads", type=count, default=1, metavar="N", help="default: 1")
    add(
        "--rounds",
        type=arguments.whole(LEAST_ROUNDS),
        default=15,
        metavar="N",
        help="of timing (default: 15)",
    )
    add("--json", action="store_true", help="print JSON instead of a table")


def run(args: argparse.Namespace) -> int:
    """Make the variant; return 0 where its accuracy is not below the floor, else 1."""
    for option in ("check", "calibrate"):
        arrays.expect_name(f"--{option}", getattr(args, option))
    if args.int8 and args.calibrate is None:
        raise InputError("--int8 needs --calibrate FILE: rows that show the range of each tensor")
    stray = args.calibrate or args.calibration or args.reduce_range
    if stray and not args.int8:
        raise InputError("--calibrate, --calibration and --reduce-range belong to --int8")
    status: int = extra.load("compressing").run(args)
    return status
