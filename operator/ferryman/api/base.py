"""The common base of all API types: frozen, camelCase on the wire, snake_case in code."""

from typing import Annotated, Any, Final, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic.alias_generators import to_camel

#: Characters of a message in status; metav1.Condition allows 32,768, a person reads fewer.
MAX_MESSAGE: Final = 1024


def shorten(text: object) -> object:
    """Cut a string that is too long for a message of status; leave other values to pydantic."""
    if isinstance(text, str) and len(text) > MAX_MESSAGE:
        return f"{text[: MAX_MESSAGE - 1]}…"
    return text


#: Words for people. Cut rather than refused: a status must never fail for a server's long answer.
Message = Annotated[str, BeforeValidator(shorten), Field(max_length=MAX_MESSAGE)]
#: A moment in RFC 3339.
Time = Annotated[str, Field(max_length=64, json_schema_extra={"format": "date-time"})]


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

    name: str
    namespace: str | None = None
    uid: str = ""
    generation: int = 0
    resource_version: str = ""
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    creation_timestamp: str | None = None
    deletion_timestamp: str | None = None
