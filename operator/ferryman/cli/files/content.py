"""What files hold, and what is written to them: one sentence for each thing that can go wrong."""

import errno
import os
import sys
from contextlib import AbstractContextManager, nullcontext
from html import escape
from pathlib import Path
from typing import IO, Final

from ferryman.api.base import printable
from ferryman.cli.errors import InputError, OutputError, why

#: What is written for the file that is standard input.
STANDARD_INPUT: Final = Path("-")
#: No file that people write is larger; a device that never ends must end somewhere.
MAX_BYTES: Final = 256 * 2**20


def text(path: Path, fault: type[Exception] = InputError, most_bytes: int | None = None) -> str:
    """Return what a file says. Raises ``fault`` when it cannot be read."""
    content = read(path, fault, most_bytes)
    try:
        # Some editors begin a file with a byte order mark, which is no part of the text.
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        said = f"line {line} is not UTF-8: save it as UTF-8"
        raise fault(f"{name(path)} cannot be read: {said}") from error


def read(path: Path, fault: type[Exception] = InputError, most_bytes: int | None = None) -> bytes:
    """Return what a file holds, or standard input for ``-``. Raises ``fault`` if it cannot."""
    most_bytes = MAX_BYTES if most_bytes is None else most_bytes
    try:
        with _opened(path) as file:
            content = file.read(most_bytes + 1)
    except OSError as error:
        raise fault(f"{name(path)} cannot be read: {why(error)}") from error
    except ValueError as error:
        # A path that another file names may be none.
        raise fault(f"{name(path)} cannot be read: {error}") from error
    if len(content) > most_bytes:
        raise fault(f"{name(path)} cannot be read: it has more than {most_bytes >> 20} MiB")
    return content


def name(path: Path) -> str:
    """Return what a file is called."""
    return "standard input" if path == STANDARD_INPUT else str(path)


def _opened(path: Path) -> AbstractContextManager[IO[bytes]]:
    if path != STANDARD_INPUT:
        return path.open("rb")
    if sys.stdin is None:
        raise OSError(errno.EBADF, os.strerror(errno.EBADF))
    return nullcontext(sys.stdin.buffer)


def write(path: Path, said: str) -> None:
    """Write a text file. Raises OutputError when that is impossible, InputError for ``-``."""
    _expect_name(path)
    try:
        path.write_text(said, encoding="utf-8")
    except (OSError, ValueError) as error:
        raise unwritten(path, error) from error


def unwritten(path: Path, error: Exception) -> OutputError:
    """Return the fault of a file that cannot be written."""
    return OutputError(
        f"{path} cannot be written: {why(error) if isinstance(error, OSError) else error}"
    )


def expect_writable(path: Path) -> None:
    """See to it that a file can be written later, before long work. Raises as ``write`` does."""
    _expect_name(path)
    try:
        with path.open("ab"):
            pass
    except (OSError, ValueError) as error:
        raise unwritten(path, error) from error


def _expect_name(path: Path) -> None:
    if path == STANDARD_INPUT:
        raise InputError("`-` is standard input: to write a file, name it")


def xml(words: str) -> str:
    """Return words as a picture may hold them: XML allows no control characters at all."""
    return escape(printable(words))
