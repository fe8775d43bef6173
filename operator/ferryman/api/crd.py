"""What a CRD says beyond a type: validation rules, list keys, columns and subresources.

The types carry this as JSON schema extras, so that they stay the single source of ``crds/``
and ``docs/api.md``; the API server enforces it, and nothing here runs in the operator.
"""

from dataclasses import dataclass
from typing import Any, Final, Literal

from pydantic.config import JsonDict

RULES: Final = "x-kubernetes-validations"
#: In place of the fields of an object that is a message of Triton's: the message's name.
MESSAGE: Final = "x-message"

#: Values of these labels' grammar: Kubernetes' DNS-1123 label, as Triton's names must be.
DNS_LABEL: Final = r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$"
DNS_LABEL_WORDS: Final = (
    "lower-case letters, digits and '-', beginning and ending with a letter or digit"
)


@dataclass(frozen=True, slots=True)
class Rule:
    """One CEL rule: what must hold, and what to tell the person who broke it.

    ``message`` names the field and the remedy; a message computed from the values is not to be
    had (the API server estimates the text of a number as unbounded). ``field_path`` points its
    answer below the object that carries the rule, for example ``.min``.
    """

    expression: str
    message: str
    field_path: str = ""

    def as_dict(self) -> JsonDict:
        """Return the entry of ``x-kubernetes-validations``."""
        entry: JsonDict = {"rule": self.expression, "message": self.message}
        if self.field_path:
            entry["fieldPath"] = self.field_path
        return entry


def rules(*entries: Rule) -> JsonDict:
    """Return the JSON schema extra that carries CEL rules."""
    return {RULES: [entry.as_dict() for entry in entries]}


def matches(pattern: str, message: str) -> dict[str, Any]:
    """Return ``Field`` arguments for a pattern whose violation is answered in words.

    The API server's own answer to a pattern is the regular expression alone.
    """
    literal = pattern.replace("\\", "\\\\").replace("'", "\\'")
    extra = rules(Rule(f"self.matches('{literal}')", message))
    return {"pattern": pattern, "json_schema_extra": extra}


def keyed_by(*keys: str) -> JsonDict:
    """Return the extra for a list whose entries are told apart by these fields."""
    return {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": list(keys)}


def unique() -> JsonDict:
    """Return the extra for a list of scalars without duplicates."""
    return {"x-kubernetes-list-type": "set"}


@dataclass(frozen=True, slots=True)
class Column:
    """A column of ``kubectl get``; those of priority 1 show with ``-o wide`` only."""

    name: str
    json_path: str
    description: str
    type: Literal["string", "integer", "number", "boolean", "date"] = "string"
    priority: Literal[0, 1] = 0

    def as_dict(self) -> JsonDict:
        """Return the entry of ``additionalPrinterColumns``."""
        entry: JsonDict = {"name": self.name, "type": self.type, "jsonPath": self.json_path}
        if self.priority:
            entry["priority"] = self.priority
        return {**entry, "description": self.description}


@dataclass(frozen=True, slots=True)
class Resource:
    """How a kind appears in the API: names, scope, subresources and columns."""

    kind: str
    plural: str
    short_names: tuple[str, ...]
    scope: Literal["Namespaced", "Cluster"]
    columns: tuple[Column, ...]
    name_rules: tuple[Rule, ...] = ()
    """Rules at the object's root, where CEL sees ``self.metadata.name``."""
    has_status: bool = True
    has_scale: bool = False
    noun: str = ""
    """What logs call one."""
    owner_label: str = ""
    """The label by which what serves an object of the kind is told; empty where nothing does."""


AGE: Final = Column("Age", ".metadata.creationTimestamp", "Time since creation.", "date")


def name_rule(pattern: str, max_length: int, message: str) -> Rule:
    """Return the root rule that limits ``metadata.name``."""
    expression = (
        f"self.metadata.name.size() <= {max_length} && self.metadata.name.matches('{pattern}')"
    )
    return Rule(expression, f"metadata.name must be at most {max_length} characters: {message}")
