"""Malformed fields of a file, in words that name them as a person would write them."""

from pathlib import Path

from pydantic import ValidationError

MAX_LINES = 5


def describe(path: Path, error: ValidationError) -> str:
    """Return one line a malformed field, for the first few of them."""
    problems = error.errors()
    lines = [f"{path}: {field(p['loc'])}: {p['msg']}" for p in problems[:MAX_LINES]]
    more = len(problems) - len(lines)
    return "\n".join([*lines, f"{path}: {more} more fields are malformed"] if more else lines)


def field(location: tuple[int | str, ...]) -> str:
    """Return where a field is, for example ``nodes[1].profile.nodeType``."""
    parts = (f"[{part}]" if isinstance(part, int) else f".{part}" for part in location)
    return "".join(parts).lstrip(".") or "the whole file"
