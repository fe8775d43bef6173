"""Every command on a narrow terminal: nothing is left out, no figure is cut."""

import os
import re
import sys

import pytest
from rich.console import Console

from ferryman.cli import main, terminal
from ferryman.cli.main import COMMANDS
from ferryman.cli.tables import Column, Listing
from tests.unit.cli import commands

WIDE = 1_000
TABLES = ("explain", "nodes", "benchmark", "place", "simulate", "trace")
#: What tables are ruled with.
RULES = re.compile(r"[─-╿]")


def words(text):
    """Return what is said, whatever it is laid out like."""
    return set(RULES.sub(" ", text).split())


@pytest.fixture
def shown(monkeypatch, capsys):
    """Return a function that runs a command at a width and gives its output."""
    commands.stand_in(monkeypatch)

    def at(columns, *arguments):
        monkeypatch.setenv("COLUMNS", str(columns))
        main.main(arguments)
        return capsys.readouterr().out

    return at


@pytest.mark.parametrize("columns", [40, 80, 100, 160])
@pytest.mark.parametrize("command", TABLES)
def test_every_word_and_figure_is_there_at_any_width(shown, command, columns):
    arguments = commands.printing("")[command]
    wide, narrow = shown(WIDE, *arguments), shown(columns, *arguments)
    long = {word for word in words(wide) if len(word) > columns - 20}
    assert words(wide) - words(narrow) <= long
    assert "…" not in narrow


@pytest.mark.parametrize("columns", [80, 100])
@pytest.mark.parametrize("command", TABLES)
def test_no_table_is_wider_than_the_terminal(shown, command, columns):
    narrow = shown(columns, *commands.printing("")[command])
    ruled = [line for line in narrow.splitlines() if RULES.search(line)]
    assert all(len(line) <= columns for line in ruled)
    # Sentences below tables are left to the terminal to wrap.
    titled = [line for line in narrow.splitlines() if re.search(r"\S {2,}\S", line)]
    assert titled
    assert all(len(line.rstrip()) <= columns for line in titled)


@pytest.mark.parametrize("columns", [80, 100])
@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_no_line_of_help_is_wider_than_the_terminal(monkeypatch, capsys, command, columns):
    monkeypatch.setenv("COLUMNS", str(columns))
    with pytest.raises(SystemExit):
        main.main([*filter(None, [command]), "--help"])
    assert [line for line in capsys.readouterr().out.splitlines() if len(line) > columns] == []


@pytest.mark.parametrize(
    ("columns", "terminal_width", "expected"),
    [
        pytest.param("100", None, 100, id="COLUMNS counts where there is no terminal"),
        pytest.param(None, None, terminal.PLAIN_WIDTH, id="a file has room"),
        pytest.param("0", None, terminal.PLAIN_WIDTH, id="none is no width"),
        pytest.param("wide", None, terminal.PLAIN_WIDTH, id="a word is no width"),
        pytest.param("3", None, terminal.LEAST_WIDTH, id="nothing fits into three"),
        pytest.param(None, 93, 93, id="a terminal says its own"),
        pytest.param("70", 93, 70, id="COLUMNS comes first"),
    ],
)
def test_how_wide_output_is(monkeypatch, columns, terminal_width, expected):
    monkeypatch.delenv("COLUMNS", raising=False)
    if columns is not None:
        monkeypatch.setenv("COLUMNS", columns)
    if terminal_width is not None:
        monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
        size = os.terminal_size((terminal_width, 24))
        monkeypatch.setattr("shutil.get_terminal_size", lambda *_: size)
    assert terminal.console().width == expected


LISTING = (
    (
        Column("", below=False),
        Column("NAME"),
        Column("LATENCY MS", right=True),
        Column("WHY", fold=12, below=True),
    ),
    ("→", "epyc-9b14-2c-23gi", "362.4", "it has the least workload of all three"),
)


def listed(width, title=""):
    console = Console(width=width, no_color=True)
    table = Listing(LISTING[0], title=title)
    table.add(*LISTING[1])
    with console.capture() as capture:
        console.print(table)
    return [line.rstrip() for line in capture.get().splitlines()]


def test_where_there_is_room_it_is_a_ruled_table():
    assert len(listed(120)) == 5
    assert "362.4 │ it has the least workload of all three │" in listed(120)[3]


def test_then_what_explains_is_folded():
    shown = listed(66)
    assert len(shown) > 5
    assert shown[0].startswith("┏")


def test_then_titles_are_folded_and_the_rules_left_out():
    assert listed(44)[:3] == [
        "                      LATENCY",
        "   NAME                    MS  WHY",
        "→  epyc-9b14-2c-23gi    362.4  it has the",
    ]


def test_then_what_explains_stands_below_its_row():
    assert listed(40, "Candidates") == [
        "Candidates",
        "   NAME               LATENCY MS",
        "→  epyc-9b14-2c-23gi       362.4",
        "    WHY it has the least workload of all",
        "    three",
    ]


def test_and_at_last_each_row_has_lines_of_its_own():
    assert listed(30, "Candidates") == [
        "Candidates",
        "→   NAME epyc-9b14-2c-23gi",
        "    LATENCY MS 362.4",
        "    WHY it has the least",
        "    workload of all three",
    ]
