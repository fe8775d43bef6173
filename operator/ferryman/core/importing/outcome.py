"""What came of importing: an object, or why there is none, and what was left out."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ferryman.api.model_source import FormatName
from ferryman.api.objectives import Objectives

Json = dict[str, Any]


class NotImportableError(ValueError):
    """Nothing can be made of a part of the source; the text says why and what to do instead."""


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A field of the source that the object does not have, or has otherwise."""

    path: str
    """Where it is in the source."""
    advice: str
    """Why, or what to do instead."""
    changed: bool = False
    """Whether the object has it, but otherwise: somebody has to know."""


@dataclass(frozen=True, slots=True)
class Request:
    """What a person says besides the source."""

    objectives: Objectives
    runtime: str = "triton"
    """The InferenceRuntime."""
    storage_uri: str | None = None
    """Where the folders of the models are; None: the source has to say it."""
    model: str | None = None
    """The model of the source that is meant; None: all of them."""
    model_format: FormatName | None = None
    """The format of models whose source does not tell it."""


@dataclass(frozen=True, slots=True)
class Imported:
    """What became of one object of the source."""

    name: str
    """What the source calls it."""
    manifest: Mapping[str, Any] | None = None
    """The object; None: there is none, see ``refusal``."""
    refusal: str = ""
    """Why there is none, and what to do; empty where there is one."""
    left_out: tuple[LeftOut, ...] = ()
    hints: tuple[str, ...] = ()
    """What to know or do next; nothing was lost by it."""


@dataclass(slots=True)
class Findings:
    """What is noticed while one object is made."""

    left_out: list[LeftOut] = field(default_factory=list)
    hints: list[str] = field(default_factory=list)

    def leave_out(self, path: str, advice: str) -> None:
        """Note a field that is not carried over."""
        self.left_out.append(LeftOut(path, advice))

    def change(self, path: str, advice: str) -> None:
        """Note a field that is carried over, but not as it was."""
        self.left_out.append(LeftOut(path, advice, changed=True))

    def of(self, name: str, manifest: Mapping[str, Any]) -> Imported:
        """Return the outcome with what was noticed."""
        return Imported(name, manifest, "", tuple(self.left_out), tuple(self.hints))

    def refused(self, name: str, error: NotImportableError) -> Imported:
        """Return the outcome where there is no object: what is left out does not matter then."""
        return Imported(name, refusal=str(error))
