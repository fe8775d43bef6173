"""What was not imported, and what to do: on standard error, a line for each."""

from collections.abc import Iterable, Iterator
from typing import Final

from ferryman.cli import terminal
from ferryman.core.importing.outcome import Imported

#: Of one object; who has more has a look at the object itself.
_MOST_LINES: Final = 50
_MOST_CHARACTERS: Final = 600


def tell(found: Iterable[Imported]) -> None:
    """Say what became of each object beside what is printed. Raises OutputError."""
    for each in found:
        for line in _lines(each):
            terminal.say("import", _one_line(f"{each.name}: {line}"))


def _lines(each: Imported) -> Iterator[str]:
    if each.refusal:
        yield f"not imported: {each.refusal}"
        return
    for left in each.left_out[:_MOST_LINES]:
        yield f"{left.path}{'' if left.changed else ' is left out'}: {left.advice}"
    more = len(each.left_out) - _MOST_LINES
    if more > 0:
        yield f"{more} more fields are left out"
    yield from each.hints


def _one_line(text: str) -> str:
    """Return a text that names and messages of others cannot make several lines of."""
    line = " ".join(text.split())
    return line if len(line) <= _MOST_CHARACTERS else f"{line[: _MOST_CHARACTERS - 1]}…"
