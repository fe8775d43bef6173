import re
from pathlib import Path
from typing import Annotated, Literal

import pytest
from pydantic import Field, ValidationError, field_validator
from pydantic_core import PydanticKnownError
from pydantic_core._pydantic_core import list_all_errors

from ferryman.api.base import ApiType
from ferryman.cli.files import field_errors

LIBRARY = re.compile(r"Input|Field required|Extra|valid |dictionary|instance|Tuple|String|parse")


class Inner(ApiType):
    """A part."""

    size: Annotated[int, Field(ge=1, le=9)] = 1
    share: Annotated[float, Field(gt=0, lt=1)] = 0.5


class Outer(ApiType):
    """A whole."""

    name: Annotated[str, Field(min_length=1, max_length=3, pattern="^[a-z]*$")] = "a"
    kind: Literal["gpu", "cpu"] = "gpu"
    inner: Inner = Inner()
    parts: Annotated[tuple[Inner, ...], Field(min_length=1, max_length=2)] = (Inner(),)
    fast: bool = True

    @field_validator("name")
    @classmethod
    def _is_ours(cls, name: str) -> str:
        if name == "bad":
            raise ValueError("the name is taken: choose another")
        return name


def told(value):
    with pytest.raises(ValidationError) as refused:
        Outer.model_validate(value, extra="forbid")
    return field_errors.describe(Path("f"), refused.value)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ([1], "f: the whole file: must be fields with values (name: value), not a list"),
        (None, "f: the whole file: must be fields with values (name: value), and is empty"),
        ({"inner": 5}, "f: inner: must be fields with values (name: value), not 5"),
        ({"parts": {"a": 1}}, "f: parts: must be a list, not fields"),
        ({"parts": []}, "f: parts: must have 1 or more entries"),
        ({"parts": [{}, {}, {}]}, "f: parts: must have 2 entries or fewer"),
        ({"parts": [{"size": 0}]}, "f: parts[0].size: must be 1 or more, not 0"),
        ({"inner": {"size": 10}}, "f: inner.size: must be 9 or less, not 10"),
        ({"inner": {"size": "x"}}, "f: inner.size: must be a whole number, not 'x'"),
        ({"inner": {"size": 1.5}}, "f: inner.size: must be a whole number, not 1.5"),
        ({"inner": {"share": 0}}, "f: inner.share: must be more than 0, not 0"),
        ({"inner": {"share": 1}}, "f: inner.share: must be less than 1, not 1"),
        ({"inner": {"share": [1]}}, "f: inner.share: must be a number, not a list"),
        ({"inner": {"share": float("nan")}}, "f: inner.share: must be a finite number, not nan"),
        ({"inner": {"share": 10**400}}, "f: inner.share: is too large"),
        ({"name": 5}, "f: name: must be text, not 5"),
        ({"name": ""}, "f: name: must have 1 or more characters"),
        ({"name": "abcd"}, "f: name: must have 3 characters or fewer"),
        ({"name": "A"}, "f: name: must match the pattern ^[a-z]*$"),
        ({"name": "bad"}, "f: name: the name is taken: choose another"),
        ({"kind": "tpu"}, "f: kind: must be 'gpu' or 'cpu', not 'tpu'"),
        ({"fast": "perhaps"}, "f: fast: must be true or false, not 'perhaps'"),
        ({"nmae": "a"}, "f: nmae: there is no such field"),
    ],
    ids=lambda value: str(value)[:40],
)  # fmt: skip
def test_a_malformed_field_is_told_in_words_of_our_own(value, words):
    assert told(value) == words


def test_of_many_the_first_few_are_told():
    lines = told({f"field{n}": 1 for n in range(7)}).splitlines()
    assert len(lines) == field_errors.MAX_LINES + 1
    assert lines[-1] == "f: 2 more fields are malformed"


@pytest.mark.parametrize("kind", [each["type"] for each in list_all_errors()])
def test_no_fault_that_the_library_knows_is_told_in_its_words(kind):
    [known] = [each for each in list_all_errors() if each["type"] == kind]
    context = dict(known.get("example_context") or {})
    fault = PydanticKnownError(kind, context or None)
    problem = {"type": kind, "loc": ("a",), "msg": fault.message(), "input": "x", "ctx": context}
    words = field_errors.in_words(problem)
    assert words.startswith("a: ")
    assert not LIBRARY.search(words)
