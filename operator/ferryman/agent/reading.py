"""Files of /proc and /sys, read as they come: a kernel of any age may have written them.

Nothing here raises for what a file holds or for what the kernel answers: what cannot be read is
None, and a folder that cannot be listed is empty.
"""

from pathlib import Path
from typing import Final

#: More than any file that is read here needs, even on machines of thousands of CPUs.
MAX_BYTES: Final = 16 * 2**20


def text(file: Path) -> str | None:
    """Return what a file holds without blanks around it; None where it cannot be read."""
    try:
        with file.open("rb") as opened:
            return opened.read(MAX_BYTES).decode(errors="replace").strip("\0 \t\r\n")
    except (OSError, ValueError):  # ValueError: a path that cannot be one
        return None


def children(folder: Path, prefix: str = "") -> list[Path]:
    """Return what is in a folder, by name; nothing where it cannot be listed."""
    try:
        return sorted(child for child in folder.iterdir() if child.name.startswith(prefix))
    except (OSError, ValueError):
        return []


def numbered(folder: Path, prefix: str) -> list[Path]:
    """Return the children named by the prefix and a number, such as ``cpu0``."""
    return [
        child
        for child in children(folder, prefix)
        if child.name.removeprefix(prefix).isascii() and child.name.removeprefix(prefix).isdigit()
    ]
