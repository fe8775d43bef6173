"""No control character of anybody's reaches the terminal, whatever brings it."""

import io
import json
import sys
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.text import Text

from ferryman.api.base import printable
from ferryman.cli import main, terminal
from ferryman.cli.errors import GatherError, OutputError, ReaderGoneError
from ferryman.cli.looking import nodes_view
from ferryman.cli.tables import Column, Listing
from ferryman.core.placement.nodes.node_types import summarise
from tests import factories

#: Clears the screen, sets the window's title, colours, turns writing round, begins a line anew.
HOSTILE = "\x1b[2J\x1b]0;title\x07\x9b31m\u202egnp\rwiped\x08\u2028\U000e0041\ud800"
#: Anything at all, and more often what does harm.
ANY = st.text(st.one_of(st.characters(), st.sampled_from(HOSTILE)))
#: What Unicode calls control characters, formatting, halves of characters, and line separators.
HARMFUL = {"Cc", "Cs", "Zl", "Zp"}
TURNING = set("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def harm(text):
    """Return the characters of a text that a terminal should not be sent."""
    return {
        character
        for character in text
        if character not in "\n\t"
        and (unicodedata.category(character) in HARMFUL or character in TURNING)
    }


@given(ANY)
@settings(max_examples=500)
def test_no_text_is_left_with_what_does_harm(text):
    assert harm(printable(text)) == set()


@given(st.text(st.characters(exclude_categories=["Cc", "Cf", "Cs", "Zl", "Zp"])))
def test_what_does_no_harm_stays_as_it_is(text):
    assert printable(text) == text


@given(st.dictionaries(ANY, ANY))
@settings(max_examples=300)
def test_json_stays_what_it_was(values):
    shown = printable(json.dumps(values, ensure_ascii=False, indent=2))
    assert harm(shown) == set()
    assert json.loads(shown) == json.loads(json.dumps(values))


@given(st.lists(st.tuples(ANY, ANY), max_size=4), st.integers(20, 120))
@settings(max_examples=200, deadline=None)
def test_no_table_and_no_line_lets_it_through(rows, width):
    written = io.StringIO()
    console = terminal._PrintableConsole(file=written, width=width, force_terminal=False)
    table = Listing((Column("NAME"), Column("WHY", fold=10, below=True)), title="t")
    for name, why in rows:
        table.add(name, Text(why))
        console.print(Text(name), soft_wrap=True)
        console.print(why, markup=False)
    console.print(table)
    assert harm(written.getvalue()) == set()


@pytest.mark.parametrize("output", ["table", "json"])
def test_names_of_a_cluster_cannot_move_the_cursor(monkeypatch, capsys, output):
    known = factories.node(
        HOSTILE.removesuffix("\ud800"),  # half a character is not read at all
        processors=[factories.processor("cpu").with_(product=HOSTILE, unavailable=HOSTILE)],
        benchmarks=[factories.benchmark(error=HOSTILE, note=HOSTILE)],
        taints=(HOSTILE,),
    )
    monkeypatch.setattr("ferryman.cli.looking.nodes._nodes", lambda _: [known])
    assert main.main(["nodes", "-o", output]) == 0
    shown = capsys.readouterr().out
    assert harm(shown) == set()
    assert "\\u001b[2J" in shown
    if output == "json":
        wanted = nodes_view.as_json(summarise([known]))
        assert json.loads(shown) == json.loads(json.dumps(wanted))


def test_a_terminal_gets_our_colours_and_nobody_elses(monkeypatch):
    class Terminal(io.StringIO):
        encoding = "utf-8"

        def isatty(self):
            return True

    screen = Terminal()
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setattr(sys, "stdout", screen)
    with terminal.screens():
        table = Listing([Column("NAME")])
        table.add(f"\x1b[31m{'red'}", style="green")
        terminal.console().print(table)
        print("\x1b[31mred")
    shown = screen.getvalue()
    assert "\x1b[32m" in shown, "green is ours"
    assert "\x1b[31m" not in shown, "red is not"
    assert shown.count("\\u001b[31mred") == 2


def test_messages_of_the_api_server_are_printable(monkeypatch, capsys):
    def refused(*_):
        raise GatherError(f"nodes is forbidden: {HOSTILE}")

    monkeypatch.setattr("ferryman.cli.gather.gather_nodes", refused)
    assert main.main(["nodes"]) == 1
    assert harm(capsys.readouterr().err) == set()


def test_arguments_are_printable_where_they_are_said(capsys):
    with pytest.raises(SystemExit):
        main.main(["\x1b[2J"])
    assert harm(capsys.readouterr().err) == set()


def test_a_terminal_that_knows_few_characters_gets_escapes(monkeypatch):
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding="ascii"))
    with terminal.screens():
        print("20 µs")
        sys.stdout.flush()
    assert written.getvalue() == b"20 \\xb5s\n"


@pytest.mark.parametrize(
    ("error", "fault", "words"),
    [
        pytest.param(BrokenPipeError(32, "Broken pipe"), ReaderGoneError, "nobody", id="a pipe"),
        pytest.param(OSError(28, "No space left on device"), OutputError, "No space", id="a disk"),
    ],
)
def test_what_cannot_be_written_is_a_fault_of_the_output(monkeypatch, error, fault, words):
    class Refusing(io.StringIO):
        def write(self, _):
            raise error

        def flush(self):
            raise error

    monkeypatch.setattr(sys, "stdout", Refusing())
    with terminal.screens():
        for write in (lambda: print("x"), sys.stdout.flush, lambda: terminal.console().print("x")):
            with pytest.raises(fault, match=words):
                write()
