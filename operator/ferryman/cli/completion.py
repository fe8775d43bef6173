"""``ferryman completion``: what a shell offers when the Tab key is pressed.

The scripts ask ``ferryman completion words`` every time, so that a shell offers what this version
has. kubectl asks ``kubectl_complete-ferryman`` (its documentation, "Writing kubectl plugins").
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from typing import Final

from ferryman.cli import arguments

DESCRIPTION = """\
Print the script that has a shell complete commands, options and their values.

kubectl completes `kubectl ferryman …` by itself where `kubectl_complete-ferryman`, which is
installed beside `ferryman`, is on the PATH.
"""
EPILOG = """\
examples:
  source <(ferryman completion bash)                              bash, e.g. in ~/.bashrc
  source <(ferryman completion zsh)                               zsh, after compinit
  ferryman completion fish > ~/.config/fish/completions/ferryman.fish
"""
_BASH: Final = """\
_ferryman() {
    local cur=${COMP_WORDS[COMP_CWORD]} found
    found=$(ferryman completion words -- "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
    mapfile -t COMPREPLY < <(compgen -W "$found" -- "$cur")
}
complete -o default -F _ferryman ferryman
"""
_ZSH: Final = """\
#compdef ferryman
_ferryman() {
    local -a found
    found=(${(f)"$(ferryman completion words -- "${(@)words[2,CURRENT]}" 2>/dev/null)"})
    if (( ${#found} )); then compadd -- $found; else _files; fi
}
compdef _ferryman ferryman
"""
_FISH: Final = """\
function __ferryman_words
    set -l words (commandline -opc) (commandline -ct)
    ferryman completion words -- $words[2..-1] 2>/dev/null
end
complete -c ferryman -a '(__ferryman_words)'
"""
SCRIPTS: Final = {"bash": _BASH, "zsh": _ZSH, "fish": _FISH}
#: What kubectl is told: that there is nothing but what is listed, or that files may be meant.
_NO_FILES: Final = 4
_FILES: Final = 0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    parser.add_argument(
        "shell", **arguments.one_of((*SCRIPTS, "words")), metavar="SHELL", help="bash, zsh or fish"
    )
    parser.add_argument("words", nargs="*", metavar="WORD", help="what the scripts ask with")


def run(args: argparse.Namespace) -> int:
    """Print a script, or what may stand in place of the last word."""
    if args.shell == "words":
        print("\n".join(candidates(args.words)))
    else:
        print(SCRIPTS[args.shell], end="")
    return 0


def for_kubectl() -> int:
    """Answer kubectl: what may stand in place of the last word, and whether a file may."""
    found = candidates(sys.argv[1:])
    print("\n".join([*found, f":{_NO_FILES if found else _FILES}"]))
    return 0


def candidates(words: Sequence[str]) -> list[str]:
    """Return what may stand in place of the last word, after those before it."""
    # Imported here: the table of commands names this module.
    from ferryman.cli.main import parser_of  # noqa: PLC0415

    *before, last = words or [""]
    parser: argparse.ArgumentParser = parser_of(before[0] if before else "")
    for word in before:
        for action in _subcommands(parser):
            parser = action.choices.get(word, parser)
    found = _values(parser, before[-1] if before else "")
    if found is None:
        found = [*_options(parser, last), *_names(parser)]
    return sorted(word for word in found if word.startswith(last))


def _subcommands(
    parser: argparse.ArgumentParser,
) -> "Iterator[argparse._SubParsersAction[argparse.ArgumentParser]]":
    for action in parser._actions:  # noqa: SLF001  argparse tells it in no other way
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001
            yield action


def _values(parser: argparse.ArgumentParser, option: str) -> list[str] | None:
    """Return the values of an option that takes one; None where the word is no such option."""
    action = parser._option_string_actions.get(option)  # noqa: SLF001
    if action is None or action.nargs == 0:
        return None
    return [str(choice) for choice in action.choices or ()]


def _options(parser: argparse.ArgumentParser, last: str) -> list[str]:
    return list(parser._option_string_actions) if last.startswith("-") else []  # noqa: SLF001


def _names(parser: argparse.ArgumentParser) -> Iterator[str]:
    """Yield subcommands, and the choices of arguments that have no name."""
    for action in parser._actions:  # noqa: SLF001
        if not action.option_strings:
            yield from map(str, action.choices or ())
