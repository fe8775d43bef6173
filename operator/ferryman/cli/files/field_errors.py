"""Malformed fields of a file, in words that name them as a person would write them."""

import reprlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError
from pydantic_core import ErrorDetails

MAX_LINES = 5
WHOLE_FILE: Final = "the whole file"

_FIELDS: Final = "must be fields with values (name: value)"
_LIST: Final = "must be a list"
_TEXT: Final = "must be text"
_WHOLE_NUMBER: Final = "must be a whole number"
_NUMBER: Final = "must be a number"
_TRUTH: Final = "must be true or false"
#: By the library's name of the fault: our words, with the fault's own figures.
_WORDS: Final[Mapping[str, str]] = {
    "missing": "is required",
    "extra_forbidden": "there is no such field",
    "invalid_key": "names of fields must be text",
    **dict.fromkeys(("model_type", "model_attributes_type", "dict_type", "mapping_type"), _FIELDS),
    **dict.fromkeys(("list_type", "tuple_type", "set_type", "iterable_type"), _LIST),
    **dict.fromkeys(("string_type", "string_unicode"), _TEXT),
    **dict.fromkeys(("int_type", "int_parsing", "int_from_float"), _WHOLE_NUMBER),
    "int_parsing_size": "has too many digits",
    **dict.fromkeys(("float_type", "float_parsing"), _NUMBER),
    "finite_number": "must be a finite number",
    **dict.fromkeys(("bool_type", "bool_parsing"), _TRUTH),
    "greater_than": "must be more than {gt}",
    "greater_than_equal": "must be {ge} or more",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be {le} or less",
    "multiple_of": "must be a multiple of {multiple_of}",
    "too_short": "must have {min_length} or more entries",
    "too_long": "must have {max_length} entries or fewer",
    "string_too_short": "must have {min_length} or more characters",
    "string_too_long": "must have {max_length} characters or fewer",
    "string_pattern_mismatch": "must match the pattern {pattern}",
    "literal_error": "must be {expected}",
    "enum": "must be {expected}",
    "value_error": "{error}",
    "assertion_error": "{error}",
    "recursion_loop": "contains itself",
}
#: What a field was given, where our words say what it must be.
_GIVEN: Final = ((bool, "true or false"), (dict, "fields"), ((list, tuple), "a list"))
_MUST: Final = "must be "


def describe(path: Path | str, error: ValidationError) -> str:
    """Return one line a malformed field, for the first few of them."""
    problems = list(_causes(error.errors(include_url=False)))
    lines = [f"{path}: {in_words(problem)}" for problem in problems[:MAX_LINES]]
    more = len(problems) - len(lines)
    return "\n".join([*lines, f"{path}: {more} more fields are malformed"] if more else lines)


def _causes(problems: Sequence[ErrorDetails]) -> Iterator[ErrorDetails]:
    """Yield what is wrong, without lists that are too short because an entry of theirs is wrong."""
    for problem in problems:
        where = problem["loc"]
        inside = (other["loc"] for other in problems if len(other["loc"]) > len(where))
        if problem["type"] != "too_short" or not any(x[: len(where)] == where for x in inside):
            yield problem


def in_words(problem: ErrorDetails) -> str:
    """Return where a field is and what is wrong with it."""
    words = _said(problem)
    # What a check of ours says of several fields together names them itself.
    bare = not problem["loc"] and problem["type"] in {"value_error", "assertion_error"}
    return words if bare else f"{field(problem['loc'])}: {words}"


def _said(problem: ErrorDetails) -> str:
    if problem["type"] == "float_type" and isinstance(problem["input"], int):
        return "is too large"
    template = _WORDS.get(problem["type"], "is not valid")
    words = template.format(**{name: _plain(v) for name, v in problem.get("ctx", {}).items()})
    return f"{words}{_instead(problem['input'])}" if words.startswith(_MUST) else words


def _plain(figure: object) -> object:
    """Return a whole number without a decimal point."""
    return int(figure) if isinstance(figure, float) and figure.is_integer() else figure


def _instead(given: Any) -> str:  # noqa: ANN401  whatever a file states
    if given is None:
        return ", and is empty"
    for kinds, words in _GIVEN:
        if isinstance(given, kinds):
            return f", not {words}"
    return f", not {reprlib.repr(given)}"


def field(location: tuple[int | str, ...]) -> str:
    """Return where a field is, for example ``nodes[1].profile.nodeType``."""
    parts = (f"[{part}]" if isinstance(part, int) else f".{part}" for part in location)
    return "".join(parts).lstrip(".") or WHOLE_FILE
