"""Archives of arrays (.npz) that hold a model's inputs."""

import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar
from zipfile import BadZipFile

from ferryman.cli.errors import InputError, why
from ferryman.cli.files import content
from ferryman.clients.load_inputs import InputInvalid

T = TypeVar("T")
#: Of archives that are damaged, or have passwords or compressions that Python does not know.
_NO_ARCHIVE: Final = (EOFError, BadZipFile, zlib.error, NotImplementedError, RuntimeError)


def expect_name(option: str, path: Path | None) -> None:
    """Refuse standard input."""
    if path == content.STANDARD_INPUT:
        raise InputError(f"{option}: an .npz is read in pieces: name a file instead of `-`")


def read(path: Path, reader: Callable[[Path], T]) -> T:
    """Return what a reader makes of an archive. Raises InputError that names it."""
    try:
        return reader(path)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {why(error)}") from error
    except _NO_ARCHIVE as error:
        raise InputError(f"{path} cannot be read: it is no .npz file: {error}") from error
    except MemoryError as error:
        raise InputError(
            f"{path} holds more than there is memory for: give a part of it"
        ) from error
    except InputInvalid as error:
        raise InputError(str(error)) from error
