"""``ferryman benchmark``: have a node's type measured again, and see what comes of it."""

import argparse
import json
import sys
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from rich.console import Console

from ferryman.cli.benchmarking import view as benchmark_view
from ferryman.cli.benchmarking.follow import Request, TimedOutError, follow, request
from ferryman.cli.errors import GatherError
from ferryman.core.benchmark import requests as benchmark_requests

if TYPE_CHECKING:
    from ferryman.cli.benchmarking.cluster import BenchmarkCluster

    # argparse has no public name for what add_subparsers returns.
    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001

EXIT_FAILED = 1
DEFAULT_TIMEOUT_S = 1800.0

DESCRIPTION = """\
Have the reference benchmark measure a node's type again, under every runtime that measures one of
its processor classes. The operator runs it as a Job on this node where that is possible, else on
the least busy node of the type; all nodes of the type share the result.

The request is the annotation serving.ferryman.dev/benchmark-requested of the node's NodeProfile,
with the time as its value; kubectl annotate does the same. What serves goes on: a measurement
gives way when a model's pod needs its room, and begins again later.
"""

EPILOG = """\
examples:
  ferryman benchmark worker-1              ask for it, and return
  ferryman benchmark worker-1 --wait       follow it, and show the table
  ferryman nodes                           what was measured on all node types

exit status with --wait: 0 measured, 1 it failed, could not be followed, or took too long.
Who may ask and follow: whom the ClusterRole ferryman-nodes is bound to. The rows as they come take
the Role ferryman-benchmarks of the operator's namespace, too.

To measure a Triton by hand, without a cluster, see `ferryman agent benchmark`.
"""


def add_parser(commands: "Subparsers") -> None:
    """Add this subcommand."""
    parser = commands.add_parser(
        "benchmark",
        help="measure a node's type again and show the table",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("node", metavar="NODE", help="a node, as `kubectl get nodes` names it")
    add("--wait", action="store_true", help="follow the measurement and show the table")
    add(
        "--timeout",
        type=float,
        default=DEFAULT_TIMEOUT_S,
        metavar="SECONDS",
        help=f"give up waiting after this [{DEFAULT_TIMEOUT_S:g}]",
    )
    add(
        "-n",
        "--namespace",
        default="ferryman-system",
        metavar="NS",
        help="where the operator runs its Jobs [ferryman-system]",
    )
    add("--context", metavar="NAME", help="a context of the kubeconfig instead of the current one")
    add("-o", "--output", choices=("table", "json"), default="table", help="default: table")


def run(args: argparse.Namespace) -> int:
    """Ask for a measurement, follow it if told to, and return the exit status."""
    # Imported here: the Kubernetes client takes a second that --help need not wait for.
    from ferryman.cli.benchmarking.cluster import BenchmarkCluster  # noqa: PLC0415

    try:
        return _run(args, BenchmarkCluster(args.context, args.namespace))
    except (GatherError, TimedOutError) as error:
        _say(str(error))
        return EXIT_FAILED


def _run(args: argparse.Namespace, cluster: "BenchmarkCluster") -> int:
    asked = request(cluster, args.node, datetime.now(UTC))
    if asked is None:
        _say(f"no InferenceRuntime measures a processor of {args.node}: see `ferryman nodes`")
        return EXIT_FAILED
    _say(f"asked for {_subjects(asked)} at {asked.text}")
    if not args.wait:
        return 0
    profile = follow(
        cluster, asked, _say, timeout_s=args.timeout, clock=time.monotonic, sleep=time.sleep
    )
    tables = benchmark_requests.tables_of(profile, asked.subjects)
    if args.output == "json":
        found = {"node": args.node, "benchmarks": [table.as_dict() for table in tables]}
        print(json.dumps(found, indent=2, ensure_ascii=False))
    else:
        console = Console() if sys.stdout.isatty() else Console(width=benchmark_view.PLAIN_WIDTH)
        benchmark_view.show(tables, console)
    return EXIT_FAILED if any(table.error for table in tables) else 0


def _subjects(asked: Request) -> str:
    words = ", ".join(f"{kind} under {runtime}" for _, kind, runtime in asked.subjects)
    return f"a measurement of {asked.node_type} ({words})"


def _say(line: str) -> None:
    print(f"ferryman benchmark: {line}", file=sys.stderr, flush=True)
