import argparse
import shlex
from contextlib import suppress
from itertools import product

import pytest

from ferryman.cli import arguments, main
from ferryman.cli.main import COMMANDS


def refused(capsys, *given):
    """Return the last line of what is said about arguments that are wrong."""
    with pytest.raises(SystemExit) as ended:
        main.main(given)
    assert ended.value.code == 2
    return capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        pytest.param(["explian", "m"], "explain", id="a mistyped command"),
        pytest.param(["Nodes"], "nodes", id="a command in another case"),
        pytest.param(["agent", "dicsover"], "discover", id="a mistyped part of the agent"),
        pytest.param(["nodes", "-o", "jsn"], "json", id="a mistyped choice"),
    ],
)
def test_what_is_mistyped_gets_a_suggestion(capsys, given, meant):
    assert f"did you mean {meant}?" in refused(capsys, *given)


def test_what_is_like_nothing_gets_the_list_alone(capsys):
    told = refused(capsys, "xyzzy")
    assert "did you mean" not in told
    assert ", ".join(COMMANDS) in told


@pytest.mark.parametrize(
    ("given", "name", "value"),
    [
        (["nodes", "-o", "JSON"], "output", "json"),
        (["place", "--snapshot", "f", "--policy", "cheapest"], "policy", "Cheapest"),
        (["simulate", "--scenario", "f", "--algorithm", "TREND"], "algorithm", "Trend"),
        (
            ["tune", "--url", "h", "--model", "m", "--on-overload", "reject"],
            "on_overload",
            "Reject",
        ),
        (["tune", "--url", "h", "--model", "m", "--prefer", "LATENCY"], "prefer", "Latency"),
        (["operator", "--log-level", "INFO"], "log_level", "info"),
    ],
    ids=lambda given: given[0] if isinstance(given, list) else given,
)
def test_choices_ignore_case(given, name, value):
    assert getattr(main.parser_of(given[0]).parse_args(given), name) == value


def parsers():
    for command in COMMANDS:
        parser = main.parser_of(command)
        [commands] = [a for a in parser._actions if isinstance(a, argparse._SubParsersAction)]
        own = commands.choices[command]
        yield command, own
        for action in own._actions:
            if isinstance(action, argparse._SubParsersAction):
                yield from ((f"{command} {name}", part) for name, part in action.choices.items())


@pytest.mark.parametrize(("command", "parser"), [*parsers()], ids=lambda given: str(given)[:20])
def test_every_choice_of_every_command_ignores_case(command, parser):
    for action in parser._actions:
        if action.choices and not isinstance(action, argparse._SubParsersAction):
            for choice in action.choices:
                assert action.type(choice.swapcase()) == choice, (command, action.dest)


NOT_NUMBERS = ("many", "nan", "1e999", "-1", "")


@pytest.mark.parametrize(("command", "parser"), [*parsers()], ids=lambda given: str(given)[:20])
def test_no_option_names_a_function_of_ours(command, parser):
    """Of what a reader refuses with ValueError argparse would tell the reader's name."""
    readers = [action.type for action in parser._actions if callable(action.type)]
    for read, text in product(readers, NOT_NUMBERS):
        # Any other error fails the test, with the command and the text.
        with suppress(argparse.ArgumentTypeError):
            read(text)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_example_of_the_help_is_one_that_parses(command):
    module = COMMANDS[command].load()
    examples = [line for line in module.EPILOG.splitlines() if line.startswith("  ferryman ")]
    assert examples
    for line in examples:
        command_line = line.strip().partition("  ")[0].partition(" <<")[0].partition(" >")[0]
        words = shlex.split(command_line)
        given = [word.replace("FILE.svg", "f.svg") for word in words[1:]]
        main.parser_of(given[0]).parse_args(given)


@pytest.mark.parametrize(
    ("read", "text", "words"),
    [
        (arguments.whole(1), "1.5", "'1.5' is no whole number"),
        (arguments.whole(1), "0", "0 is out of range: must be 1 or more"),
        (arguments.whole(0, 9), "10", "10 is out of range: must be from 0 to 9"),
        (arguments.number(above=0), "0", "0 is out of range: must be above 0"),
        (arguments.number(least=0, unit="s"), "-1", "-1 is out of range: must be 0 or more s"),
        (arguments.number(least=0), "inf", "inf is out of range: must be 0 or more"),
        (arguments.number(above=0, most=5, unit="s"), "6", "must be above 0, and no more than 5 s"),
        (arguments.number(above=0), "nan", "nan is out of range"),
    ],
)
def test_a_number_out_of_range_is_told_the_range(read, text, words):
    with pytest.raises(argparse.ArgumentTypeError) as refused:
        read(text)
    assert words in str(refused.value)


def test_a_number_within_its_range_is_read():
    assert (arguments.whole(1, 9)("9"), arguments.number(least=0)("0.5")) == (9, 0.5)
