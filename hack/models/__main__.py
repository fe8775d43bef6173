"""Command line of the model scripts: `python -m hack.models FOLDER [NAME ...]`."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path

from hack.models import digits, resnet50, sleeper, strips
from hack.models.ocr import pipeline
from hack.models.ocr.parts import NETWORKS, write_code, write_network

WRITERS: dict[str, Callable[[Path], Path]] = {
    "resnet50": resnet50.write,
    "digits": digits.write,
    "strips": strips.write,
    "sleeper": sleeper.write,
    pipeline.CODE: write_code,
    **{pipeline.IMAGES[step]: partial(write_network, step) for step in NETWORKS},
}


def main() -> None:
    """Write the models named on the command line, all of them by default."""
    parser = argparse.ArgumentParser(prog="python -m hack.models", description=__doc__)
    parser.add_argument("folder", type=Path, help="a Triton model repository, created if absent")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"{', '.join(WRITERS)} (all)")
    options = parser.parse_args()
    if unknown := set(options.names) - set(WRITERS):
        parser.error(f"no model {', '.join(sorted(unknown))}; there are {', '.join(WRITERS)}")
    for name in options.names or WRITERS:
        print(WRITERS[name](options.folder / name))


if __name__ == "__main__":
    main()
