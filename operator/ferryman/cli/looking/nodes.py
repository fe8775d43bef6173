"""``ferryman nodes``: the node types of a cluster, what they can do, and how busy they are."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from ferryman.cli import arguments, output
from ferryman.cli.benchmarking import curve_plot
from ferryman.cli.errors import Fault
from ferryman.cli.files import content, snapshot_file
from ferryman.cli.looking import nodes_view
from ferryman.cli.terminal import console, say
from ferryman.core.placement.nodes import node_types
from ferryman.core.placement.nodes.node_types import NodeTypeSummary
from ferryman.core.snapshot import NodeView

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
  ferryman nodes                        the table
  ferryman nodes -o json                everything, each benchmark's rows included
  ferryman nodes --plot throughput.svg  throughput and latency against batch size
  ferryman nodes --snapshot FILE        of a saved snapshot (docs/snapshot-format.md)
  ferryman benchmark NODE --wait        measure a node's type again
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    add = parser.add_argument
    add("--context", metavar="NAME", help="a context of the kubeconfig instead of the current one")
    add("--snapshot", type=Path, metavar="FILE", help="of this snapshot, without a cluster")
    add(
        "--plot",
        type=arguments.svg,
        metavar="FILE.svg",
        help="also draw all load performance tables",
    )
    arguments.add_output(parser)


def run(args: argparse.Namespace) -> int:
    """Show the node types. Raises Fault when they cannot be read, or the plot not be written."""
    types = node_types.summarise(_nodes(args))
    if args.plot is not None:
        _draw(args.plot, types)
    if not output.data(args.output, nodes_view.as_json(types)):
        nodes_view.show(types, console())
    return 0


def _nodes(args: argparse.Namespace) -> Sequence[NodeView]:
    if args.snapshot is not None:
        found, warnings = snapshot_file.read(args.snapshot)
        for warning in warnings:
            say("nodes", warning)
        return found.nodes
    # Imported here: the Kubernetes client takes a second that --snapshot need not wait for.
    from ferryman.cli.gather import gather_nodes  # noqa: PLC0415

    return gather_nodes(args.context)


def _draw(path: Path, types: Sequence[NodeTypeSummary]) -> None:
    try:
        picture = curve_plot.plot(types)
    except ValueError as error:
        raise Fault(str(error)) from error
    content.write(path, picture)
    say("nodes", f"wrote {path}")
