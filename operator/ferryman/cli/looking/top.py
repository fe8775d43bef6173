"""``ferryman top``: what serves, live, the worst first."""

import argparse
import time
from collections.abc import Sequence
from typing import Final

from ferryman.cli import arguments, output
from ferryman.cli.looking import top_view
from ferryman.cli.looking.top_view import Row
from ferryman.cli.terminal import console

DESCRIPTION = """\
Show every model and pipeline: whether it is ready and meets its objectives, its latency beside the
target, its throughput, batch size bound and replicas; the worst first. On a terminal it is shown
anew until Ctrl-C; into a pipe or a file, and with -o json or yaml, it is shown once.
"""
EPILOG = """\
examples:
  ferryman top                  all that the user may see, every two seconds
  ferryman top -n vision        of one namespace
  ferryman top --once -o wide   once, with node types and reasons
"""
STATUSES = {0: "it was shown, or Ctrl-C ended it"}
_LEAST_S: Final = 0.5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    add = parser.add_argument
    add("-n", "--namespace", metavar="NS", help="of this namespace alone (default: of all)")
    add("--context", metavar="NAME", help="a context of the kubeconfig instead of the current one")
    add("--once", action="store_true", help="show it once, also on a terminal")
    add(
        "--interval",
        type=arguments.number(least=_LEAST_S, most=3600, unit="seconds"),
        default=2.0,
        metavar="SECONDS",
        help="how often it is shown anew (default: 2)",
    )
    arguments.add_output(parser)


def run(args: argparse.Namespace) -> int:
    """Show what serves. Raises Fault when it cannot be read."""
    # Imported here: the Kubernetes client takes a second that --help need not wait for.
    from ferryman.cli.gather import gather_served  # noqa: PLC0415

    def look() -> Sequence[Row]:
        return top_view.rows(*gather_served(args.namespace, args.context))

    first = look()
    if output.data(args.output, [row.as_dict() for row in first]):
        return 0
    screen, wide = console(), args.output == "wide"
    if args.once or not screen.is_terminal:
        screen.print(top_view.table(first, wide=wide))
        return 0
    try:
        with top_view.live(screen, first, wide=wide) as show:
            while True:
                time.sleep(args.interval)
                show(look())
    except KeyboardInterrupt:
        return 0
