"""Command line of the model scripts: `python -m hack.models FOLDER [NAME ...]`."""

from __future__ import annotations

import argparse
from pathlib import Path

from hack.models import digits, resnet50, sleeper

WRITERS = {"resnet50": resnet50.write, "digits": digits.write, "sleeper": sleeper.write}


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
