"""The common base of all API types: frozen, camelCase on the wire, snake_case in code."""

import re
from datetime import MAXYEAR, MINYEAR, datetime
from typing import Annotated, Any, Final, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic.alias_generators import to_camel

#: Characters of a message in status; metav1.Condition allows 32,768, a person reads fewer.
MAX_MESSAGE: Final = 1024
#: Control characters but tab and line feed, halves of characters, separators of lines, and what
#: turns the direction of writing or cannot be seen.
_UNPRINTABLE: Final = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff"
    r"\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e007f]"
)
_BASIC_PLANE: Final = 0xFFFF


def printable(text: str) -> str:
    r"""Return the text with what is not printable as JSON writes it, for example ``\u001b``.

    JSON stays the JSON that it was: such characters can stand in its strings only.
    """
    return _UNPRINTABLE.sub(_escaped, text)


def _escaped(found: re.Match[str]) -> str:
    code = ord(found[0])
    if code <= _BASIC_PLANE:
        return f"\\u{code:04x}"
    high, low = divmod(code - 0x10000, 0x400)
    return f"\\u{0xD800 + high:04x}\\u{0xDC00 + low:04x}"


def readable(text: object) -> object:
    """Make a string fit for a message of status; leave other values to pydantic."""
    if not isinstance(text, str):
        return text
    words = printable(text)
    return words if len(words) <= MAX_MESSAGE else f"{words[: MAX_MESSAGE - 1]}…"


#: Words for people, some of them servers' own; whatever reads the status shows them on terminals.
#: Cut rather than refused: a status must never fail for a server's long answer.
Message = Annotated[str, BeforeValidator(readable), Field(max_length=MAX_MESSAGE)]


def _is_moment(text: str) -> str:
    """Refuse what decisions cannot count with; files and objects of old may hold anything.

    From moments of the first and last year that there are, hours could not be taken or added.
    """
    try:
        year = datetime.fromisoformat(text).year
    except ValueError:
        year = MINYEAR
    if not MINYEAR < year < MAXYEAR:
        raise ValueError("must be a time like 2026-11-21T13:00:00Z")
    return text


#: A moment in RFC 3339.
Time = Annotated[
    str,
    Field(max_length=64, json_schema_extra={"format": "date-time"}),
    AfterValidator(_is_moment),
]


class ApiType(BaseModel):
    """A frozen value read from or written to a Kubernetes object.

    Unknown fields are ignored on reading: the API server prunes them against the schema,
    and an older operator must be able to read what a newer one wrote.
    """

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        frozen=True,
        extra="ignore",
        allow_inf_nan=False,
        use_attribute_docstrings=True,
    )

    def as_dict(self) -> dict[str, Any]:
        """Return the wire form: camelCase keys, JSON values, absent instead of null."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)

    def with_(self, **changes: object) -> Self:
        """Return a copy with some fields replaced (already valid values)."""
        return self.model_copy(update=changes)


class Metadata(ApiType):
    """The part of ``metadata`` that decisions read."""

    name: Annotated[str, Field(max_length=253)]
    namespace: Annotated[str, Field(max_length=63)] | None = None
    uid: str = ""
    generation: Annotated[int, Field(ge=0)] = 0
    resource_version: str = ""
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    creation_timestamp: str | None = None
    deletion_timestamp: str | None = None
