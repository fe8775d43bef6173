"""What is kept of files that were fetched, and what goes when there is no more room.

An entry is a folder that its digest names: of a single file or archive it has a ``file``, of
several files a folder ``files``. Others are being made, or removed.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

#: What is in an entry.
FILE: Final = "file"
FILES: Final = "files"
#: How the names begin of what is being made, and of what is being removed.
NEW: Final = ".new-"
GONE: Final = ".gone-"
_ENTRY: Final = re.compile(r"sha256-[0-9a-f]{64}")
#: Longer than anything may take to be fetched: what is unfinished then has been left behind.
_ABANDONED_S: Final = 2 * 86_400


@dataclass(frozen=True, slots=True)
class Entry:
    """What a cache holds under one name."""

    name: str
    size_bytes: int
    used_s: float
    """When it was used last, as its file system tells time."""


def entry_name(digest: str) -> str:
    """Return the name under which files of this SHA-256 lie."""
    return f"sha256-{digest}"


def is_entry(name: str) -> bool:
    """Whether something of this name is an entry."""
    return _ENTRY.fullmatch(name) is not None


def is_abandoned(name: str, changed_s: float, now_s: float) -> bool:
    """Whether something was begun and never finished, so that it can go."""
    return name.startswith((NEW, GONE)) and now_s - changed_s > _ABANDONED_S


def evicted(
    entries: Iterable[Entry], needed_bytes: int, *, limit_bytes: int, free_bytes: int
) -> tuple[str, ...] | None:
    """Return what goes so that as many bytes fit, the least recently used first; None: never.

    ``free_bytes`` are those of the file system, which may be smaller than the limit says.
    """
    held = sorted(entries, key=lambda entry: (entry.used_s, entry.name))
    used_bytes = sum(entry.size_bytes for entry in held)
    excess_bytes = max(used_bytes + needed_bytes - limit_bytes, needed_bytes - free_bytes)
    gone: list[str] = []
    while excess_bytes > 0 and held:
        oldest = held.pop(0)
        excess_bytes -= oldest.size_bytes
        gone.append(oldest.name)
    return tuple(gone) if excess_bytes <= 0 else None
