"""Files of our own kinds, JSON or YAML, in which an unknown field is a misspelling."""

from pathlib import Path
from typing import TypeVar

import yaml
from pydantic import ValidationError

from ferryman.api.base import ApiType
from ferryman.cli import field_errors

T = TypeVar("T", bound=ApiType)


def read(path: Path, kind: type[T], fault: type[Exception]) -> T:
    """Return the value that a file states.

    Raises ``fault`` when the file cannot be read, or a field is malformed or unknown; its text
    names the file, the field and what is wrong with it.
    """
    try:
        # Types of the API ignore what they do not know, which suits objects of a cluster only.
        return kind.model_validate(yaml.safe_load(text(path, fault)), extra="forbid")
    except yaml.YAMLError as error:
        raise fault(f"{path} is neither JSON nor YAML: {error}") from error
    except ValidationError as error:
        raise fault(field_errors.describe(path, error)) from error


def text(path: Path, fault: type[Exception]) -> str:
    """Return what a file says. Raises ``fault`` when it cannot be read."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise fault(f"{path} cannot be read: {error}") from error
