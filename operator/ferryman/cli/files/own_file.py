"""Files of our own kinds, JSON or YAML, in which an unknown field is a misspelling.

To load a file is one step, to validate it another: what cannot be loaded is told with its line
and column, a value that does not fit with its field.
"""

from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from ferryman.api.base import ApiType
from ferryman.cli.files import content as contents
from ferryman.cli.files import field_errors, plain_values

T = TypeVar("T", bound=ApiType)
V = TypeVar("V")


def read(path: Path, kind: type[T], fault: type[Exception]) -> T:
    """Return the value that a file states.

    Raises ``fault`` when the file cannot be read, or a field is malformed or unknown; its text
    names the file, the field and what is wrong with it.
    """
    values = load(path, fault)
    try:
        # Types of the API ignore what they do not know, which suits objects of a cluster only.
        found = kind.model_validate(values, extra="forbid")
    except ValidationError as error:
        raise fault(field_errors.describe(contents.name(path), error)) from error
    wrong = list(islice(_booleans(found, values), field_errors.MAX_LINES))
    if wrong:
        said = "must be a number, not true or false"
        raise fault("\n".join(f"{contents.name(path)}: {field}: {said}" for field in wrong))
    return found


def load(path: Path, fault: type[Exception]) -> object:
    """Return the plain values that a file states, not validated. Raises ``fault`` if it cannot."""
    return _loaded(path, contents.text(path, fault), plain_values.one, fault)


def load_all(path: Path, fault: type[Exception], most_bytes: int) -> list[object]:
    """Return the plain values of each document in a file of others' objects.

    Raises ``fault`` when the file cannot be read.
    """
    content = contents.text(path, fault, most_bytes)
    return _loaded(path, content, plain_values.several, fault)


def _loaded(path: Path, content: str, values: Callable[[str], V], fault: type[Exception]) -> V:
    """Return what a text states. Raises ``fault`` with the file's name where it cannot be."""
    if not content.strip():
        raise fault(f"{contents.name(path)} is empty")
    try:
        return values(content)
    except plain_values.ContentError as error:
        raise fault(f"{contents.name(path)}: {error}") from error
    except RecursionError as error:
        raise fault(
            f"{contents.name(path)}: it is nested too deeply: take levels or brackets out"
        ) from error


def _booleans(value: object, given: object, where: tuple[int | str, ...] = ()) -> Iterator[str]:
    """Yield the fields that are numbers and were given as true or false: pydantic takes them."""
    if isinstance(given, bool) and not isinstance(value, bool):
        yield field_errors.field(where)
    elif isinstance(value, tuple) and isinstance(given, list):
        for index, (inner, part) in enumerate(zip(value, given, strict=False)):
            yield from _booleans(inner, part, (*where, index))
    elif isinstance(value, ApiType) and isinstance(given, dict):
        for name, kind in type(value).model_fields.items():
            alias = kind.alias or name
            # A field may also have the name that it has in code.
            key = alias if alias in given else name
            if key in given:
                yield from _booleans(getattr(value, name), given[key], (*where, key))
