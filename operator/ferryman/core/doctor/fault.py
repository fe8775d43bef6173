"""What is wrong, and what to do."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from ferryman.core.manifests import Manifest

_SHOWN: Final = 5


@dataclass(frozen=True, slots=True)
class Ailment:
    """One thing that is wrong with an installation."""

    message: str
    remedy: str


def name(manifest: Manifest) -> str:
    """Return the name of an object, with its namespace where it has one."""
    metadata = manifest["metadata"]
    namespace = metadata.get("namespace")
    return f"{namespace}/{metadata['name']}" if namespace else str(metadata["name"])


def listed(names: Iterable[str]) -> str:
    """Return names in one phrase: the first few, and how many more there are."""
    found = sorted(names)
    more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    return ", ".join(found[:_SHOWN]) + more
