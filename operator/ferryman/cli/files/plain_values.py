"""Texts of JSON or YAML as plain values: what cannot be loaded is told with its line and column."""

import json
import re
import reprlib
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Final, TypeVar

import yaml
from yaml.constructor import ConstructorError
from yaml.reader import ReaderError

V = TypeVar("V")

#: What PyYAML lets through for values that are none, such as ``!!bool maybe``.
_FAILURES: Final = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
_MERGE: Final = "tag:yaml.org,2002:merge"
_TEXT: Final = "tag:yaml.org,2002:str"
_NUMBERS: Final = ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")
#: Far more than people merge.
_MOST_MERGED: Final = 10_000
#: Of all documents of a file of others' objects.
_MOST_VALUES: Final = 500_000
_MOST_LEVELS: Final = 64
_NO_NUMBER: Final = 2**64
_HALF: Final = re.compile(r"[\ud800-\udfff]")
_HALF_SAID: Final = "an escape stands for half a character: write the character itself"
#: In JSON: a pair of escapes, else one that stands for half a character, else any other.
_ESCAPES: Final = re.compile(r"\\(?:u[dD][89abAB]..\\u[dD][c-fC-F]|(u[dD][89a-fA-F])|.)")
#: In JSON: strings, with the colon behind a name; where objects begin and end.
_TOKENS: Final = re.compile(r'("[^"\\]*+(?:\\.[^"\\]*+)*+")([ \t\n\r]*+:)?|[{}]')


class ContentError(Exception):
    """A text cannot be loaded; says where, as far as that is known, why, and what to do."""


def one(content: str) -> object:
    """Return what a text states, as JSON where it is JSON: sooner done, and it may have tabs.

    Raises ContentError, and RecursionError for what is nested too deeply.
    """
    try:
        return _json_values(content)
    except json.JSONDecodeError as error:
        return _yaml_values(content, error)


def _json_values(content: str) -> object:
    """Return what a JSON text states. Raises json.JSONDecodeError where it is none."""
    try:
        # NaN and Infinity are no JSON: they are text, as in YAML.
        found: object = json.loads(
            content, object_pairs_hook=partial(_fields, content), parse_constant=str
        )
    except json.JSONDecodeError:
        raise
    except ValueError as error:
        raise ContentError("a number has too many digits: write fewer") from error
    half = next((escape for escape in _ESCAPES.finditer(content) if escape[1]), None)
    if half is not None:
        raise ContentError(f"{_at(content, half.start())}: {_HALF_SAID}")
    return found


def several(content: str) -> list[object]:
    """Return what each document of a text of others' objects states; JSON is one document.

    They are no more and no deeper than objects of an API server: aliases of YAML may stand for far
    more than the text has. Raises ContentError, and RecursionError as ``one`` does.
    """
    try:
        found = [_json_values(content)]
    except json.JSONDecodeError as error:
        found = _as_yaml(content, error, _documents)
    _expect_bounded(found)
    return [document for document in found if document is not None]


def _documents(content: str) -> list[object]:
    loader = _Loader(content)
    found = []
    try:
        while loader.check_data():  # type: ignore[no-untyped-call]
            found.append(loader.get_data())
    except _FAILURES as error:
        where = _place(loader.get_mark())
        raise ContentError(f"{where}: this cannot be read, correct it: {error}") from error
    finally:
        loader.dispose()
    return found


def _expect_bounded(documents: list[object]) -> None:
    """Raise ContentError for values that are too many or too deep, aliases counted in full."""
    left, level = _MOST_VALUES, documents
    for _ in range(_MOST_LEVELS):
        below: list[object] = []
        for value in level:
            inner = _inside(value)
            left -= len(inner)
            if left < 0:
                raise ContentError(
                    f"it has more than {_MOST_VALUES:_} values, with what its aliases stand for: "
                    "split it"
                )
            below += inner
        if not below:
            return
        level = below
    raise ContentError(f"it is nested more than {_MOST_LEVELS} levels deep: take levels out")


def _inside(value: object) -> list[object]:
    """Return what a value holds. Raises ContentError for a number that nobody can print."""
    if isinstance(value, int) and abs(value) >= _NO_NUMBER:
        raise ContentError("a number has too many digits: write fewer")
    if isinstance(value, dict):
        return [*value.keys(), *value.values()]
    return [*value] if isinstance(value, list | set | tuple) else []


def _fields(content: str, pairs: list[tuple[str, object]]) -> dict[str, object]:
    """Return the fields of a JSON object, each of which may stand once."""
    found = dict(pairs)
    if len(found) < len(pairs):
        # Up to here the text is known to be JSON, and a field stands twice in it.
        name, index, first = next(_repeated(content))
        raise ContentError(_twice(name, _at(content, index), _at(content, first)))
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

    def resolve(self, kind: type[yaml.Node], value: Any, implicit: Any) -> Any:  # noqa: ANN401  PyYAML's
        tag = super().resolve(kind, value, implicit)  # type: ignore[no-untyped-call]
        # To YAML 1.1 alone 1:30 is ninety; kubectl takes it for text.
        return _TEXT if tag in _NUMBERS and ":" in value else tag

    def get_single_node(self) -> yaml.Node | None:
        try:
            return super().get_single_node()
        except _FAILURES as error:
            # An escape for a character that there is not, for example.
            where = _place(self.get_mark())
            raise ContentError(f"{where}: this cannot be read, correct it: {error}") from error

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
                raise ContentError(_twice(key.value, _place(key.start_mark), first))
            seen[written] = key.start_mark
        return node

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        # What is merged comes from each alias anew: a few lines can stand for millions of fields.
        brought = 0
        for key, value in node.value:
            parts = value.value if isinstance(value, yaml.SequenceNode) else [value]
            for part in parts if key.tag == _MERGE else ():
                if isinstance(part, yaml.MappingNode) and part is not node:
                    self.flatten_mapping(part)
                    brought += len(part.value)
                if brought > _MOST_MERGED:
                    said = f"more than {_MOST_MERGED:_} fields are merged: write fewer"
                    raise ContentError(f"{_place(node.start_mark)}: {said}")
        super().flatten_mapping(node)

    def construct_object(self, node: yaml.Node, deep: bool = False) -> object:  # noqa: FBT001, FBT002
        try:
            found: object = super().construct_object(node, deep)
        except _FAILURES as error:
            raise ContentError(_misfit(node)) from error
        if isinstance(found, str) and _HALF.search(found):
            raise ContentError(f"{_place(node.start_mark)}: {_HALF_SAID}")
        return found


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith(":timestamp")]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def _yaml_values(content: str, no_json: json.JSONDecodeError) -> object:
    # The loader derives from SafeLoader: it makes plain values only.
    found: object = _as_yaml(content, no_json, lambda text: yaml.load(text, _Loader))  # noqa: S506
    return found


def _as_yaml(content: str, no_json: json.JSONDecodeError, load: Callable[[str], V]) -> V:
    try:
        return load(content)
    except ConstructorError as error:
        only = "write text, numbers, lists and fields only"
        raise ContentError(f"{_problem(content, error)}: {only}") from error
    except yaml.YAMLError as error:
        problem = _problem(content, error)
        if content.lstrip().startswith(("{", "[")):
            # It may be meant to be the one or the other.
            where = f"line {no_json.lineno}, column {no_json.colno}"
            problem = f"as JSON, {where}: {no_json.msg}; as YAML, {problem}"
        raise ContentError(f"this is neither JSON nor YAML: {problem}") from error


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
