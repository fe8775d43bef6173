"""Files of our own kinds, JSON or YAML, in which an unknown field is a misspelling.

To load a file is one step, to validate it another: what cannot be loaded is told with its line
and column, a value that does not fit with its field.
"""

import json
import re
import reprlib
from collections.abc import Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Final, TypeVar

import yaml
from pydantic import ValidationError
from yaml.constructor import ConstructorError
from yaml.reader import ReaderError

from ferryman.api.base import ApiType
from ferryman.cli.files import content as contents
from ferryman.cli.files import field_errors

T = TypeVar("T", bound=ApiType)

#: What PyYAML lets through for values that are none, such as ``!!bool maybe``.
_FAILURES: Final = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
_MERGE: Final = "tag:yaml.org,2002:merge"
_HALF: Final = re.compile(r"[\ud800-\udfff]")
_HALF_SAID: Final = "an escape stands for half a character: write the character itself"
#: In JSON: a pair of escapes, else one that stands for half a character, else any other.
_ESCAPES: Final = re.compile(r"\\(?:u[dD][89abAB]..\\u[dD][c-fC-F]|(u[dD][89a-fA-F])|.)")
#: In JSON: strings, with the colon behind a name; where objects begin and end.
_TOKENS: Final = re.compile(r'("[^"\\]*+(?:\\.[^"\\]*+)*+")([ \t\n\r]*+:)?|[{}]')


class _ContentError(Exception):
    """A text cannot be loaded; says where, as far as that is known, why, and what to do."""


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
    content = contents.text(path, fault)
    if not content.strip():
        raise fault(f"{contents.name(path)} is empty")
    try:
        return _values(content)
    except _ContentError as error:
        raise fault(f"{contents.name(path)}: {error}") from error
    except RecursionError as error:
        raise fault(
            f"{contents.name(path)}: it is nested too deeply: take levels or brackets out"
        ) from error


def _values(content: str) -> object:
    """Return what a text states, as JSON where it is JSON: sooner done, and it may have tabs."""
    try:
        # NaN and Infinity are no JSON: they are text, as in YAML.
        found: object = json.loads(
            content, object_pairs_hook=partial(_fields, content), parse_constant=str
        )
    except json.JSONDecodeError as error:
        return _yaml_values(content, error)
    except ValueError as error:
        raise _ContentError("a number has too many digits: write fewer") from error
    half = next((escape for escape in _ESCAPES.finditer(content) if escape[1]), None)
    if half is not None:
        raise _ContentError(f"{_at(content, half.start())}: {_HALF_SAID}")
    return found


def _fields(content: str, pairs: list[tuple[str, object]]) -> dict[str, object]:
    """Return the fields of a JSON object, each of which may stand once."""
    found = dict(pairs)
    if len(found) < len(pairs):
        # Up to here the text is known to be JSON, and a field stands twice in it.
        name, index, first = next(_repeated(content))
        raise _ContentError(_twice(name, _at(content, index), _at(content, first)))
    return found


def _repeated(content: str) -> Iterator[tuple[str, int, int]]:
    """Yield the fields that stand twice in a JSON object: name, where, and where before."""
    objects: list[dict[str, int]] = []
    for token in _TOKENS.finditer(content):
        if token[0] == "{":
            objects.append({})
        elif token[0] == "}":
            objects.pop()
        elif token[2]:
            name = json.loads(token[1])
            if name in objects[-1]:
                yield name, token.start(), objects[-1][name]
            objects[-1][name] = token.start()


class _Loader(yaml.SafeLoader):
    """YAML with each field once, without timestamps: times are text in our types, as in JSON."""

    def get_single_node(self) -> yaml.Node | None:
        try:
            return super().get_single_node()
        except _FAILURES as error:
            # An escape for a character that there is not, for example.
            where = _place(self.get_mark())
            raise _ContentError(f"{where}: this cannot be read, correct it: {error}") from error

    def compose_mapping_node(self, anchor: dict[Any, yaml.Node]) -> yaml.MappingNode:
        # Keys are compared as they are written: merged ones come later, and may be overridden.
        node = super().compose_mapping_node(anchor)
        seen: dict[tuple[str, str], yaml.Mark] = {}
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode) or key.tag == _MERGE:
                continue
            written = key.tag, key.value
            if written in seen:
                first = _place(seen[written])
                raise _ContentError(_twice(key.value, _place(key.start_mark), first))
            seen[written] = key.start_mark
        return node

    def construct_object(self, node: yaml.Node, deep: bool = False) -> object:  # noqa: FBT001, FBT002
        try:
            found: object = super().construct_object(node, deep)
        except _FAILURES as error:
            raise _ContentError(_misfit(node)) from error
        if isinstance(found, str) and _HALF.search(found):
            raise _ContentError(f"{_place(node.start_mark)}: {_HALF_SAID}")
        return found


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith(":timestamp")]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def _yaml_values(content: str, no_json: json.JSONDecodeError) -> object:
    try:
        # The loader derives from SafeLoader: it makes plain values only.
        return yaml.load(content, _Loader)  # noqa: S506
    except ConstructorError as error:
        only = "write text, numbers, lists and fields only"
        raise _ContentError(f"{_problem(content, error)}: {only}") from error
    except yaml.YAMLError as error:
        problem = _problem(content, error)
        if content.lstrip().startswith(("{", "[")):
            # It may be meant to be the one or the other.
            where = f"line {no_json.lineno}, column {no_json.colno}"
            problem = f"as JSON, {where}: {no_json.msg}; as YAML, {problem}"
        raise _ContentError(f"this is neither JSON nor YAML: {problem}") from error


def _problem(content: str, error: yaml.YAMLError) -> str:
    """Say what PyYAML found wrong, and where."""
    if isinstance(error, ReaderError):
        where = _at(content, error.position)
        return f"{where}: the character U+{error.character:04X} is not allowed, remove it"
    if not isinstance(error, yaml.MarkedYAMLError) or error.problem_mark is None:
        return str(error)
    begun = error.context_mark
    since = "" if begun is None else f" that begins in line {begun.line + 1}"
    context = "" if error.context is None else f"{error.context}{since}, "
    tab = r"'\t'" in str(error.problem)
    advice = ", indent with spaces instead of tabs" if tab else ""
    return f"{_place(error.problem_mark)}: {context}{error.problem}{advice}"


def _misfit(node: yaml.Node) -> str:
    kind = node.tag.rpartition(":")[2]
    shown = reprlib.repr(node.value) if isinstance(node, yaml.ScalarNode) else "this"
    advice = "correct it, or if it is text put it in quotes, without a tag"
    return f"{_place(node.start_mark)}: {shown} cannot be read as {kind}: {advice}"


def _twice(name: str, where: str, first: str) -> str:
    return f"{where}: the field {name!r} is there twice, first at {first}: keep one of them"


def _place(mark: yaml.Mark) -> str:
    return f"line {mark.line + 1}, column {mark.column + 1}"


def _at(content: str, index: int) -> str:
    line = content.count("\n", 0, index) + 1
    column = index - content.rfind("\n", 0, index)
    return f"line {line}, column {column}"


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
