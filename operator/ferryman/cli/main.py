"""The entry point of ``ferryman``: one table of commands, and one way in which they end.

A command's module says what it is for (``DESCRIPTION``, ``EPILOG``, ``STATUSES``), takes its
arguments (``add_arguments``) and runs (``run``). It is imported only when it is called.
"""

import importlib
import os
import signal
import sys
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Final

from ferryman import __version__
from ferryman.cli import errors, terminal
from ferryman.cli.arguments import HelpFormatter, Parser, statuses
from ferryman.cli.errors import Fault, ReaderGoneError


@dataclass(frozen=True, slots=True)
class Command:
    """Where a subcommand is, and what it does."""

    module: str
    summary: str

    def load(self) -> ModuleType:
        """Return its module."""
        return importlib.import_module(f"ferryman.cli.{self.module}")


COMMANDS: Final = {
    "explain": Command("explaining.explain", "show where a model went, every candidate, and why"),
    "doctor": Command("looking.doctor", "find what is wrong with an installation, and what to do"),
    "top": Command("looking.top", "show what serves, live, the worst first"),
    "history": Command(
        "looking.history", "show what was changed of a model, why, and what came of it"
    ),
    "nodes": Command("looking.nodes", "show node types: benchmark, utilisation, free capacity"),
    "benchmark": Command(
        "benchmarking.benchmark", "measure a node's type again and show the table"
    ),
    "place": Command("place", "place a whole fleet offline: what fits where, at what cost"),
    "load": Command("sending.load", "send open-loop load to a model and measure the answers"),
    "trace": Command("sending.trace", "show where the time of a request through a pipeline goes"),
    "tune": Command("tuning.tune", "tune a model on any running Triton, without Kubernetes"),
    "simulate": Command("simulate", "try a batching algorithm on a simulated model"),
    "import": Command("importing.command", "print manifests of what KServe or Triton serves"),
    "split": Command("onnx.split", "cut an ONNX model into the steps of a pipeline"),
    "compress": Command("onnx.compress", "make a smaller or faster variant of an ONNX model"),
    "completion": Command("completion", "print the script that has a shell complete commands"),
    "operator": Command("operator", "run the operator (what its Deployment runs)"),
    "agent": Command("agent", "run the node agent, or one of its parts by hand"),
}
#: Set to anything: a fault of Ferryman's own is shown with all of its traceback.
TRACEBACK_ENV: Final = "FERRYMAN_TRACEBACK"

EPILOG: Final = f"""\
examples:
  ferryman explain resnet50                 why a model is where it is
  ferryman explain --snapshot FILE -o json  the same decision offline
  ferryman doctor                           what is wrong with an installation
  ferryman top                              what serves, live
  ferryman history resnet50                 what was changed, and why
  ferryman nodes --plot FILE.svg            what each node type can do
  ferryman benchmark NODE --wait            measure a node's type again
  ferryman place --snapshot FILE --add l4=4    what if there were four more nodes
  ferryman simulate --scenario FILE         what tuning would do, and the best
  ferryman tune --url HOST --model M --p99 50ms  tune any Triton
  ferryman load --url URL --model M --rate 50 --duration 30
  ferryman import FILE|FOLDER --latency-ms 50    manifests of what there is

Installed as kubectl-ferryman, every command is also `kubectl ferryman …`. The file `-` is
standard input wherever a file of text is read.

{statuses(errors.EXIT_STATUSES)}

COMMAND --help says what a command has besides.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one subcommand and return its exit status."""
    argv = sys.argv[1:] if argv is None else argv
    chosen = argv[0] if argv and argv[0] in COMMANDS else ""
    with terminal.screens():
        try:
            return _ended(chosen, argv)
        finally:
            terminal.abandon()


def _ended(chosen: str, argv: Sequence[str]) -> int:
    """Run a subcommand to whatever end; every fault ends here, in its words and its status."""
    try:
        try:
            return _run(chosen, argv)
        finally:
            sys.stdout.flush()
    except KeyboardInterrupt:
        # A second Ctrl-C ends what is left of us at once, without a word.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        return _fail(chosen, "interrupted", errors.INTERRUPTED)
    except ReaderGoneError as gone:
        return gone.status
    except Fault as fault:
        return _fail(chosen, str(fault), fault.status)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        return _fail(chosen, f"{where}{errors.why(error)}", errors.FAILED)
    except Exception as error:  # noqa: BLE001  said as what it is
        return _broken(chosen, error)


def _run(chosen: str, argv: Sequence[str]) -> int:
    args = parser_of(chosen).parse_args(argv)
    status: int = COMMANDS[chosen].load().run(args)
    return status


def _broken(chosen: str, error: Exception) -> int:
    """Say what broke and where, in a line that can be reported."""
    if isinstance(error, MemoryError):
        said = "there is not enough memory for it: ask for less at once"
        return _fail(chosen, said, errors.FAILED)
    if os.environ.get(TRACEBACK_ENV):
        traceback.print_exception(error)
    frames = traceback.extract_tb(error.__traceback__)
    where = f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "?"
    said = " ".join(f"{type(error).__name__}: {error}".split())
    advice = f"please report it ({TRACEBACK_ENV}=1 shows the whole way there)"
    return _fail(chosen, f"a fault of Ferryman's own, at {where}: {said}; {advice}", errors.BROKEN)


def _fail(chosen: str, message: str, status: int) -> int:
    try:
        terminal.say(chosen, message)
    except Fault:
        # Nobody can be told; the exit status says it.
        return status
    return status


def parser_of(chosen: str) -> Parser:
    """Build the parser; only the chosen subcommand's module is imported, so that start is quick."""
    prog = "kubectl ferryman" if Path(sys.argv[0]).name == "kubectl-ferryman" else "ferryman"
    parser = Parser(
        prog=prog,
        description="Place Triton models on the best node type and tune their batching live.",
        epilog=EPILOG,
        formatter_class=HelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"ferryman {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name, command in COMMANDS.items():
        if name != chosen:
            commands.add_parser(name, help=command.summary)
            continue
        module = command.load()
        known = {**errors.EXIT_STATUSES, **getattr(module, "STATUSES", {})}
        own = commands.add_parser(
            name,
            help=command.summary,
            description=module.DESCRIPTION,
            epilog=f"{module.EPILOG}\n{statuses(known)}\n",
            formatter_class=HelpFormatter,
        )
        module.add_arguments(own)
    return parser


if __name__ == "__main__":
    sys.exit(main())
