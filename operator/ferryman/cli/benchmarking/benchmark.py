"""``ferryman benchmark``: have a node's type measured again, and see what comes of it."""

import argparse
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from ferryman.cli import arguments, output
from ferryman.cli.benchmarking import view as benchmark_view
from ferryman.cli.benchmarking.follow import Request, follow, request
from ferryman.cli.errors import Fault, InterruptedFault
from ferryman.cli.terminal import console, say
from ferryman.core.benchmark import requests as benchmark_requests

if TYPE_CHECKING:
    from ferryman.api.node_profile import NodeProfile
    from ferryman.cli.benchmarking.cluster import BenchmarkCluster

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

Who may ask and follow: whom the ClusterRole ferryman-nodes is bound to. The rows as they come take
the Role ferryman-benchmarks of the operator's namespace, too.

To measure a Triton by hand, without a cluster, see `ferryman agent benchmark`.
"""
STATUSES: Final = {
    0: "it was asked for; with --wait: it was measured",
    EXIT_FAILED: "it cannot be asked for; with --wait: it failed, or took too long",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    add = parser.add_argument
    add("node", metavar="NODE", help="a node, as `kubectl get nodes` names it")
    add("--wait", action="store_true", help="follow the measurement and show the table")
    add(
        "--timeout",
        type=arguments.number(least=0, unit="seconds"),
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
    arguments.add_output(parser)


def run(args: argparse.Namespace) -> int:
    """Ask for a measurement, follow it if told to, and return the exit status."""
    # Imported here: the Kubernetes client takes a second that --help need not wait for.
    from ferryman.cli.benchmarking.cluster import BenchmarkCluster  # noqa: PLC0415

    cluster = BenchmarkCluster(args.context, args.namespace)
    asked = request(cluster, args.node, datetime.now(UTC))
    if asked is None:
        raise Fault(
            f"no InferenceRuntime measures a processor of {args.node}: see `ferryman nodes`"
        )
    _say(f"asked for {_subjects(asked)} at {asked.text}")
    if not args.wait:
        return 0
    tables = benchmark_requests.tables_of(_followed(args, cluster, asked), asked.subjects)
    found = {"node": args.node, "benchmarks": [table.as_dict() for table in tables]}
    if not output.data(args.output, found):
        benchmark_view.show(tables, console())
    return EXIT_FAILED if any(table.error for table in tables) else 0


def _followed(
    args: argparse.Namespace, cluster: "BenchmarkCluster", asked: Request
) -> "NodeProfile":
    try:
        return follow(
            cluster, asked, _say, timeout_s=args.timeout, clock=time.monotonic, sleep=time.sleep
        )
    except KeyboardInterrupt as error:
        left = "the measurement goes on, `ferryman nodes` will show it"
        raise InterruptedFault(f"interrupted: {left}") from error


def _subjects(asked: Request) -> str:
    words = ", ".join(f"{kind} under {runtime}" for _, kind, runtime in asked.subjects)
    return f"a measurement of {asked.node_type} ({words})"


def _say(line: str) -> None:
    say("benchmark", line)
