"""Where a file may come to lie: within the model's folder, whatever others call it."""

from typing import Final

_MAX_PATH: Final = 1024
_MAX_NAME: Final = 255
_DEEPEST: Final = 16
#: A name that archives have, with what unpacks it.
ARCHIVES: Final = {
    ".tar": "tar",
    ".tar.gz": "tar",
    ".tgz": "tar",
    ".tar.bz2": "tar",
    ".tar.xz": "tar",
    ".zip": "zip",
}


def safe_path(name: str) -> str:
    """Return a relative path as it is, without a leading ``./``; "" for the folder itself.

    Raises ValueError, with words for a person, for what leaves the folder or no file system holds.
    """
    while name.startswith("./"):
        name = name[2:]
    name = name.rstrip("/")
    if name in {"", "."}:
        return ""
    parts = name.split("/")
    if ".." in parts or "." in parts or "" in parts:
        raise ValueError(f"{name[:100]!r} leaves the folder")
    if not name.isprintable() or "\\" in name:
        raise ValueError(f"{name[:100]!r} has characters that no path should have")
    longest = max(len(part.encode()) for part in parts)
    if len(name) > _MAX_PATH or longest > _MAX_NAME or len(parts) > _DEEPEST:
        raise ValueError(f"{name[:100]!r} is too long, or has folders in folders too deep")
    return name


def archive_kind(name: str) -> str:
    """Return how a file of this name is unpacked: tar or zip; "" for no archive."""
    low = name.lower()
    return next((kind for ending, kind in ARCHIVES.items() if low.endswith(ending)), "")


def relative_to(prefix: str, key: str) -> str:
    """Return the path of an object below a prefix; "" for what lies elsewhere, or is the prefix."""
    if not prefix:
        return key
    return key[len(prefix) + 1 :] if key.startswith(f"{prefix}/") else ""


def top_folder(entries: list[str], below: list[str]) -> bool:
    """Whether an archive has a single folder on top, which has the model's version folders.

    ``entries`` are the names at the top, ``below`` those of folders in the first of them.
    """
    if len(entries) != 1 or is_version(entries[0]):
        return False
    return any(map(is_version, below))


def is_version(name: str) -> bool:
    """Whether Triton takes a folder of this name for a version: a number not starting with 0."""
    return name.isascii() and name.isdigit() and not name.startswith("0")
