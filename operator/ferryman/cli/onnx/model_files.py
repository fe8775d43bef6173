"""Models that are read, and what is made of them: there whole, or not at all."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ferryman.cli.errors import Fault, InputError, why
from ferryman.cli.files import content
from ferryman.clients.onnx import graph
from ferryman.clients.onnx.graph import ModelUnreadable, Source


def read(path: Path) -> Source:
    """Read a model. Raises InputError."""
    if path == content.STANDARD_INPUT:
        raise InputError("a model is read in pieces: name a file instead of `-`")
    try:
        # A device that never ends would be read for ever, and a folder says why it cannot be.
        if path.exists() and not (path.is_file() or path.is_dir()):
            raise InputError(f"{path} is no file: name one that holds a model")
        return graph.read(path)
    except (OSError, ModelUnreadable) as error:
        raise InputError(f"{path} cannot be read: {_said(error)}") from error


@contextmanager
def making(target: Path) -> Iterator[Path]:
    """Give a temporary folder beside what is to be made, where there is room for it.

    Raises InputError where that is there already, and OutputError where it cannot be written.
    """
    if target == content.STANDARD_INPUT:
        raise InputError("`-` is standard input: name what is to be made with -o")
    if target.exists():
        raise InputError(f"{target} is there already: remove it, or name another with -o")
    try:
        with tempfile.TemporaryDirectory(prefix=".ferryman-", dir=target.absolute().parent) as name:
            yield Path(name)
    except OSError as error:
        raise content.unwritten(target, error) from error


def keep(made: Path, target: Path) -> None:
    """Put what was made in its place; what came there meanwhile is left alone."""
    if target.exists():
        raise Fault(f"{target} came to be while it was made: nothing is written")
    shutil.move(made, target)


def _said(error: Exception) -> str:
    return why(error) if isinstance(error, OSError) else str(error)
