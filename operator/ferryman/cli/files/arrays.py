"""Archives of arrays (.npz) that hold a model's inputs."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar
from zipfile import BadZipFile

from ferryman.cli.errors import InputError, why
from ferryman.cli.files import content
from ferryman.clients.load_inputs import InputInvalid

T = TypeVar("T")


def expect_name(option: str, path: Path | None) -> None:
    """Refuse standard input."""
    if path == content.STANDARD_INPUT:
        raise InputError(f"{option}: an .npz is read in pieces: name a file instead of `-`")


def read(path: Path, reader: Callable[[Path], T]) -> T:
    """Return what a reader makes of an archive. Raises InputError that names it."""
    try:
        return reader(path)
    except (OSError, EOFError, BadZipFile) as error:
        said = why(error) if isinstance(error, OSError) else f"it is no .npz file: {error}"
        raise InputError(f"{path} cannot be read: {said}") from error
    except InputInvalid as error:
        raise InputError(str(error)) from error
