"""``ferryman nodes``: the node types of a cluster, what they can do, and how busy they are."""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from ferryman.cli import nodes_view
from ferryman.cli.benchmarking import curve_plot
from ferryman.cli.errors import GatherError
from ferryman.cli.files import snapshot_file
from ferryman.cli.files.snapshot_file import SnapshotError
from ferryman.core.placement import node_types
from ferryman.core.snapshot import NodeView

if TYPE_CHECKING:
    # argparse has no public name for what add_subparsers returns.
    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001

EXIT_FAILED = 1
#: Wide enough for a table where the output is no terminal.
PLAIN_WIDTH = 240

DESCRIPTION = """\
Show every node type: its nodes, its processors, what the reference benchmark measured on them,
how busy they are, and what is free.

PEAK is the best throughput of the load performance table and the batch size that has it; ± is
half the width of its 95 % confidence interval. UTILISATION (of the processor) and MEMORY (of its
memory) are the least busy node's and the mean over the nodes, from 0 to 1. FREE is what placement
counts with: allocatable on usable nodes (ready, not cordoned) less what Ferryman's models reserve
there; other pods show in UTILISATION.
"""

EPILOG = """\
examples:
  ferryman nodes                          the table
  ferryman nodes -o json                  everything, with every row of every benchmark
  ferryman nodes --plot throughput.svg    throughput and latency against batch size
  ferryman nodes --snapshot FILE          of a saved snapshot (docs/snapshot-format.md)
  ferryman benchmark NODE --wait          measure a node's type again
"""


def add_parser(commands: "Subparsers") -> None:
    """Add this subcommand."""
    parser = commands.add_parser(
        "nodes",
        help="show node types: benchmark, utilisation, free capacity",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--context", metavar="NAME", help="a context of the kubeconfig instead of the current one")
    add("--snapshot", type=Path, metavar="FILE", help="of this snapshot, without a cluster")
    add("-o", "--output", choices=("table", "json"), default="table", help="default: table")
    add("--plot", type=Path, metavar="FILE.svg", help="also draw all load performance tables")


def run(args: argparse.Namespace) -> int:
    """Show the node types; return 0 unless they cannot be read or the plot not be written."""
    try:
        types = node_types.summarise(_nodes(args))
        if args.plot is not None:
            _write(args.plot, curve_plot.plot(types))
    except (SnapshotError, OSError, ValueError) as error:
        for line in str(error).splitlines():
            print(f"ferryman nodes: {line}", file=sys.stderr)
        return EXIT_FAILED
    if args.output == "json":
        print(json.dumps(nodes_view.as_json(types), indent=2, ensure_ascii=False))
    else:
        console = Console() if sys.stdout.isatty() else Console(width=PLAIN_WIDTH)
        nodes_view.show(types, console)
    return 0


def _nodes(args: argparse.Namespace) -> Sequence[NodeView]:
    if args.snapshot is not None:
        found, warnings = snapshot_file.read(args.snapshot)
        for warning in warnings:
            print(f"ferryman nodes: {warning}", file=sys.stderr)
        return found.nodes
    # Imported here: the Kubernetes client takes a second that --snapshot need not wait for.
    from ferryman.cli.gather import gather_nodes  # noqa: PLC0415

    try:
        return gather_nodes(args.context)
    except GatherError as error:
        raise SnapshotError(str(error)) from error


def _write(path: Path, svg: str) -> None:
    path.write_text(svg, encoding="utf-8")
    print(f"ferryman nodes: wrote {path}", file=sys.stderr)
