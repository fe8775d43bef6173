"""Parts that Kubernetes and Ferryman state alike: what fits is taken, the rest is said."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError

from ferryman.api.base import ApiType
from ferryman.api.pods.scheduling import LabelKey, LabelValue
from ferryman.core.importing.outcome import Findings, Json

#: What the API has of most lists and maps.
FEW: Final = 16
MISFIT: Final = "it is not as Kubernetes has it, or beyond what the API takes"
LABEL: Final = TypeAdapter(tuple[LabelKey, LabelValue])


def _any(_: Mapping[str, Any]) -> bool:
    return True


@dataclass(frozen=True, slots=True)
class Entries:
    """What the entries of a list are."""

    kind: type[ApiType]
    most: int = FEW
    holds: Callable[[Mapping[str, Any]], bool] = _any
    """What the API server would check of an entry besides."""
    advice: str = MISFIT


def labels(
    holder: Mapping[str, Any],
    key: str,
    path: str,
    findings: Findings,
    *,
    taken: tuple[str, ...] = (),
    fits: TypeAdapter[Any] = LABEL,
) -> dict[str, str]:
    """Return the labels, or annotations, that may stand; say which may not.

    ``taken`` are beginnings of keys that are somebody else's to set.
    """
    found: dict[str, str] = {}
    for name, value in mapping(holder, key, path, findings).items():
        where = f"{path}.{key}.{name}"
        if str(name).startswith(taken):
            findings.leave_out(where, "such keys are set by whoever they belong to")
        elif not is_valid(fits, (name, value)) or len(found) == FEW:
            findings.leave_out(where, MISFIT)
        else:
            found[name] = value
    return found


def entries(
    holder: Mapping[str, Any], key: str, kind: Entries, path: str, findings: Findings
) -> list[Json]:
    """Return the entries of a list that may stand; say which may not."""
    stated = holder.get(key)
    if stated is not None and not isinstance(stated, list):
        findings.leave_out(f"{path}.{key}", MISFIT)
    found: list[Json] = []
    names = set()
    for index, entry in enumerate(stated if isinstance(stated, list) else ()):
        one = stated_as(kind.kind, entry)
        name = index if one is None else one.get("name", index)
        if one is None or not kind.holds(entry) or name in names or len(found) == kind.most:
            findings.leave_out(f"{path}.{key}[{index}]", kind.advice)
        else:
            found.append(one)
            names.add(name)
    return found


def mapping(
    holder: Mapping[str, Any], key: str, path: str, findings: Findings
) -> Mapping[str, Any]:
    """Return a field's fields; none where it has none, which is said where it has others."""
    stated = holder.get(key)
    if isinstance(stated, Mapping):
        return stated
    if stated is not None:
        findings.leave_out(f"{path}.{key}", MISFIT)
    return {}


def stated_as(kind: type[ApiType], value: object) -> Json | None:
    """Return a value as the API states it, without defaults; None where it does not fit."""
    try:
        found = kind.model_validate(value, extra="forbid", by_alias=True, by_name=False)
    except ValidationError:
        return None
    return found.model_dump(mode="json", by_alias=True, exclude_none=True, exclude_unset=True)


def is_valid(adapter: TypeAdapter[Any], value: object) -> bool:
    """Say whether a value fits as it is."""
    try:
        adapter.validate_python(value, strict=True)
    except ValidationError:
        return False
    return True
