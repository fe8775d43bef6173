"""Arguments of the commands: how they are read, and how help is laid out."""

import argparse
import difflib
import math
import re
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from ferryman.cli.output import FORMATS

#: A line of an example: the command, and what it is for.
_EXAMPLE: Final = re.compile(r"(  \S.*?)\s{2,}(\S.*)")
_INDENT: Final = 6
_PREFIXES: Final = ("oci://", "pvc://", "s3://", "gs://", "hf://")


class HelpFormatter(argparse.RawDescriptionHelpFormatter):
    """Fits texts to the terminal: paragraphs are filled, indented lines keep their shape."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        blocks = re.split(r"\n\n+", text.strip("\n"))
        return "\n\n".join(textwrap.indent(_fitted(block, width), indent) for block in blocks)


def _fitted(block: str, width: int) -> str:
    if not re.search(r"^ ", block, re.MULTILINE):
        return textwrap.fill(block, width, break_long_words=False, break_on_hyphens=False)
    return "\n".join(_line(line, width) for line in block.splitlines())


def _line(line: str, width: int) -> str:
    """Put what an example is for below it where it does not fit beside it."""
    example = _EXAMPLE.fullmatch(line)
    if len(line) <= width or example is None:
        return line
    return f"{example[1]}\n{textwrap.indent(textwrap.fill(example[2], width - _INDENT), ' ' * 6)}"


class Parser(argparse.ArgumentParser):
    """Suggests what a mistyped command was meant to be."""

    def _check_value(self, action: argparse.Action, value: Any) -> None:  # noqa: ANN401
        if action.choices is not None and value not in action.choices:
            raise argparse.ArgumentError(action, refusal(str(value), action.choices))


def refusal(text: str, names: Iterable[Any]) -> str:
    """Say that a text is none of the names, and which it may have been meant to be."""
    names = [str(name) for name in names]
    lower = {name.lower(): name for name in names}
    close = difflib.get_close_matches(text.lower(), lower, n=1)
    meant = f"did you mean {lower[close[0]]}? " if close else ""
    return f"invalid choice {text!r}: {meant}There are {', '.join(names)}"


def one_of(names: Sequence[str]) -> dict[str, Any]:
    """Return the arguments of ``add_argument`` for one of some names, in whatever case."""
    lower = {name.lower(): name for name in names}

    def read(text: str) -> str:
        return lower.get(text.lower(), text)

    return {"type": read, "choices": tuple(names)}


def whole(least: int, most: int = 2**63 - 1) -> Callable[[str], int]:
    """Return a reader of whole numbers within bounds."""

    def read(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is no whole number") from None
        if not least <= value <= most:
            bounds = f"{least} or more" if most == 2**63 - 1 else f"from {least} to {most}"
            raise argparse.ArgumentTypeError(f"{text} is out of range: must be {bounds}")
        return value

    return read


def number(
    *,
    above: float | None = None,
    least: float = -math.inf,
    most: float = math.inf,
    unit: str = "",
) -> Callable[[str], float]:
    """Return a reader of finite numbers within bounds."""
    low = f"{least:g} or more" if above is None else f"above {above:g}"
    high = f", and no more than {most:g}" if most < math.inf else ""
    must = f"{low}{high} {unit}".strip()
    beyond = -math.inf if above is None else above

    def read(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is no number") from None
        if not (least <= value <= most and value > beyond and math.isfinite(value)):
            raise argparse.ArgumentTypeError(f"{text} is out of range: must be {must}")
        return value

    return read


def add_output(parser: argparse.ArgumentParser) -> None:
    """Add the choice between tables for people, and JSON and YAML for programs."""
    parser.add_argument("-o", "--output", **one_of(FORMATS), default="table", help="default: table")


def svg(text: str) -> Path:
    """Return where to draw; no other format is written, so that no drawing library is needed."""
    path = Path(text)
    if path.suffix.lower() != ".svg" and text != "-":
        raise argparse.ArgumentTypeError(
            f"{text}: a plot is written as SVG only: name a file that ends in .svg "
            "(browsers show it, rsvg-convert and Inkscape make PNG of it)"
        )
    return path


def storage_prefix(text: str) -> str:
    """Return a storageUri that names go behind; an https:// one is a single file's."""
    if not text.startswith(_PREFIXES):
        raise argparse.ArgumentTypeError(f"{text!r} begins with none of {', '.join(_PREFIXES)}")
    return text.rstrip("/")


def statuses(meanings: Mapping[int, str]) -> str:
    """Return exit statuses as help shows them."""
    lines = (f"  {status:<3}  {meanings[status]}" for status in sorted(meanings))
    return "\n".join(["exit status:", *lines])
