"""Terminals: whatever a name, a message or a file holds, no control character is written."""

from __future__ import annotations

import io
import sys
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager

from rich.text import Text

from ferryman.cli import terminal
from ferryman.cli.errors import EXIT_STATUSES
from ferryman.cli.main import main
from ferryman.cli.tables import Column, Listing
from tests.fuzz import files

_HARMFUL = frozenset({"Cc", "Cs", "Zl", "Zp"})
_TURNING = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
#: The status that says that a fault of Ferryman's own ended a command.
_BROKEN = 70
#: A simulation of more takes more than moments.
_FEW_REQUESTS = 2_000


def harm(text: str) -> set[str]:
    """Return the characters of a text that a terminal should not be sent."""
    return {
        each
        for each in set(text)
        if each not in "\n\t" and (unicodedata.category(each) in _HARMFUL or each in _TURNING)
    }


def terminal_text(data: bytes) -> None:
    """Show cells, lines and messages without what does harm, however narrow it is."""
    text = data.decode(errors="surrogateescape")
    name, _, why = text.partition("|")
    with _captured() as (out, err):
        sys.stdout.write(text)
        print(text, file=sys.stderr)
        terminal.say("explain", text)
        console = terminal._PrintableConsole(file=out, width=20 + len(data) % 60, highlight=False)
        table = Listing((Column("NAME"), Column("WHY", fold=10, below=True)), title="t")
        table.add(name, Text(why))
        console.print(table)
        console.print(Text(text), soft_wrap=True)
    assert not harm(out.getvalue() + err.getvalue())


def text_seeds() -> tuple[bytes, ...]:
    """Return what clears, colours and turns round."""
    hostile = "\x1b[2J\x1b]0;t\x07|\x9b31m\u202egnp\rwiped\x08\u2028\U000e0041"
    return hostile.encode(), b"node-1|a word and another", b"\xff\xfe|\x80", "宽|é".encode()


COMMANDS = (
    ("explain", "--snapshot"),
    ("explain", "-o", "json", "--snapshot"),
    ("nodes", "--snapshot"),
    ("nodes", "-o", "json", "--snapshot"),
    ("place", "--time-limit", "0.2", "--snapshot"),
    ("simulate", "--no-oracle", "--scenario"),
)


def commands(data: bytes) -> None:
    """End a whole command with a status that the manual knows, and write nothing harmful."""
    number, _, content = data.partition(b"\n")
    command = COMMANDS[sum(number) % len(COMMANDS)]
    path = files.written(content)
    if command[0] == "simulate" and _is_long(path):
        return
    with _captured() as (out, err):
        status = main([*command, str(path)])
    said = out.getvalue() + err.getvalue()
    assert not harm(said)
    assert "fault of Ferryman's own" not in said, said
    assert status in {0, 1, *EXIT_STATUSES} - {_BROKEN}


def _is_long(path: files.Path) -> bool:
    """Whether a simulation would take more than moments: a file may ask for that."""
    try:
        found, gaps_s = files.scenario_file.read(path)
    except files.InputError:
        return False
    return bool(gaps_s) or found.arrivals.expected_per_second * found.duration_s > _FEW_REQUESTS


def command_seeds() -> tuple[bytes, ...]:
    """Return each command with an example."""
    return tuple(
        number.to_bytes(1, "big") + b"\n" + seed
        for number in range(len(COMMANDS))
        for seed in {"place": files.fleet_seeds, "simulate": files.scenario_seeds}.get(
            COMMANDS[number][0], files.snapshot_seeds
        )()
    )


@contextmanager
def _captured() -> Iterator[tuple[io.StringIO, io.StringIO]]:
    """Have what is printed go through screens, as ``main`` has it, and be kept."""
    before = sys.stdout, sys.stderr
    out, err = io.StringIO(), io.StringIO()
    sys.stdout, sys.stderr = out, err
    try:
        with terminal.screens():
            yield out, err
    finally:
        sys.stdout, sys.stderr = before
