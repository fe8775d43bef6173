"""Command line of the image builds."""

from __future__ import annotations

import argparse

from hack.images import build
from hack.images.recipes import GROUPS, RECIPES

EPILOG = f"""\
images:
  operator     {RECIPES["operator"].tag:34} operator, agent and CLI
  triton-cpu   {RECIPES["triton-cpu"].tag:34} Triton with ONNX Runtime on the CPU
  models       {RECIPES["resnet50"].tag:34} the reference benchmark's model
               {RECIPES["digits"].tag:34} the tests' model, trained on the spot
               {RECIPES["strips"].tag:34} the demo's model, a recurrent one, likewise
  ocr          {RECIPES["ocr-steps"].tag:34} the demo's pipeline: its Python steps
               {RECIPES["ocr-detect"].tag:34} … its detector
               {RECIPES["ocr-classify"].tag:34} … its classifier
               {RECIPES["ocr-recognise"].tag:34} … its recogniser
  tests        {RECIPES["sleeper"].tag:34} a step that sleeps, for tests of pipelines
  all          all of these

Archives for `kind load image-archive` are written to build/images/NAME.tar. What has not
changed is taken from the cache, FERRYMAN_CACHE or ~/.cache/ferryman. A container engine is
found or started by `python -m hack.cluster engine`. See docs/images.md.
"""


def _image(name: str) -> str:
    if name not in {*GROUPS, *RECIPES}:
        known = ", ".join([*GROUPS, *RECIPES])
        raise argparse.ArgumentTypeError(f"no image '{name}'; there are {known}")
    return name


def main() -> None:
    """Build the images named on the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m hack.images",
        description="Build Ferryman's images from locked wheels, without a registry.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    builder = commands.add_parser("build", help="build images that have changed")
    builder.add_argument(
        "names",
        nargs="*",
        metavar="IMAGE",
        type=_image,
        help=f"one or more of: {', '.join([*GROUPS, *RECIPES])} (default: all)",
    )
    for name, archive in build(*parser.parse_args().names).items():
        print(f"{RECIPES[name].tag}\t{archive}")


if __name__ == "__main__":
    main()
