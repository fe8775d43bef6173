"""The entry point of ``ferryman``: one subcommand a module, loaded only when it is called."""

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from ferryman import __version__

#: Subcommand -> (module, what it does). A module offers ``add_parser`` and ``run``.
COMMANDS = {
    "explain": ("ferryman.cli.explain", "show where a model went, every candidate, and why"),
    "nodes": ("ferryman.cli.nodes", "show node types: benchmark, utilisation, free capacity"),
    "benchmark": (
        "ferryman.cli.benchmarking.benchmark",
        "measure a node's type again and show the table",
    ),
    "place": ("ferryman.cli.place", "place a whole fleet offline: what fits where, at what cost"),
    "load": ("ferryman.cli.load", "send open-loop load to a model and measure the answers"),
    "tune": ("ferryman.cli.tuning.tune", "tune a model on any running Triton, without Kubernetes"),
    "simulate": ("ferryman.cli.simulate", "try a batching algorithm on a simulated model"),
    "operator": ("ferryman.cli.operator", "run the operator (what its Deployment runs)"),
    "agent": ("ferryman.cli.agent", "run the node agent, or one of its parts by hand"),
}

EPILOG = """\
examples:
  ferryman explain resnet50                        why a model is where it is
  ferryman explain --snapshot FILE --output json   the same decision offline
  ferryman nodes --plot FILE.svg                   what each node type can do, and how busy it is
  ferryman benchmark NODE --wait                   measure a node's type again
  ferryman place --snapshot FILE --add l4=4        what if there were four more nodes
  ferryman simulate --scenario FILE                what tuning would do, and the best there is
  ferryman tune --url HOST:8001 --model M --p99 50ms   tune any Triton, without Kubernetes
  ferryman load --url http://127.0.0.1:8000 --model resnet50 --rate 50 --duration 30

Installed as kubectl-ferryman, every command is also `kubectl ferryman …`.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one subcommand and return its exit status."""
    argv = sys.argv[1:] if argv is None else argv
    chosen = argv[0] if argv and argv[0] in COMMANDS else None
    args = _parser(chosen).parse_args(argv)
    if chosen is None:
        return 2
    try:
        status: int = importlib.import_module(COMMANDS[chosen][0]).run(args)
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read our output (head, less) has seen enough; the interpreter's own flush at
        # exit must not fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return status


def _parser(chosen: str | None) -> argparse.ArgumentParser:
    """Build the parser; only the chosen subcommand's module is imported, so that start is quick."""
    prog = "kubectl ferryman" if Path(sys.argv[0]).name == "kubectl-ferryman" else "ferryman"
    parser = argparse.ArgumentParser(
        prog=prog,
        description="Place Triton models on the best node type and tune their batching live.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"ferryman {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name, (module, summary) in COMMANDS.items():
        if name == chosen:
            importlib.import_module(module).add_parser(commands)
        else:
            commands.add_parser(name, help=summary)
    return parser


if __name__ == "__main__":
    sys.exit(main())
