"""`python -m hack.cluster`: the cluster of the end-to-end tests and the demo."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from hack.cluster import binaries, engine, lifecycle
from hack.cluster.shell import ClusterError, to_stderr

TEACH = """\
With --context (or CONTEXT in the environment) the cluster is the one you name, and none is
started or removed. Otherwise it is kind with one control plane and two unlike workers, on the
container engine that runs here, or, as root on Debian, on one of our own. Without a registry
everything is built from package registries: up to a quarter of an hour the first time, then
about a minute. What was built stays in ${FERRYMAN_CACHE:-~/.cache/ferryman}.

  python -m hack.cluster up                       start, or check what runs
  export KUBECONFIG=build/kubeconfig              use it with kubectl and helm
  python -m hack.cluster load build/image.tar     put an image archive on every node
  export $(python -m hack.cluster engine)         use its container engine with docker
  python -m hack.cluster down                     remove everything but the cache
"""


#: What each command does, in one line.
COMMANDS = {
    "up": "start the cluster, or check the one that runs",
    "down": "remove the cluster and our engine; keep the cache",
    "status": "say what runs, and change nothing",
    "engine": "ensure a container engine and print DOCKER_HOST=…",
    "binaries": "ensure programs and print NAME=PATH for each",
    "load": "load image archives into the nodes that lack them",
}


def parser() -> argparse.ArgumentParser:
    """Return the command line's grammar."""
    context = argparse.ArgumentParser(add_help=False)
    context.add_argument(
        "--context",
        metavar="NAME",
        default=argparse.SUPPRESS,
        help="use this kubeconfig context instead of kind (default: CONTEXT in the environment)",
    )
    form = argparse.RawDescriptionHelpFormatter
    top = argparse.ArgumentParser(
        prog="python -m hack.cluster",
        description=__doc__,
        epilog=TEACH,
        formatter_class=form,
        parents=[context],
    )
    group = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    commands = {
        name: group.add_parser(
            name, help=text, description=f"{text[0].upper()}{text[1:]}.", epilog=TEACH,
            formatter_class=form, parents=[context],
        )
        for name, text in COMMANDS.items()
    }  # fmt: skip
    commands["binaries"].add_argument(
        "names", nargs="*", metavar="NAME", help=f"of {', '.join(binaries.SOURCES)}; default: all"
    )
    commands["up"].add_argument(
        "--replace",
        action="store_true",
        help="remove a cluster that does not become healthy, with all that it holds",
    )
    commands["load"].add_argument("archives", nargs="+", type=Path, metavar="ARCHIVE")
    return top


def main(arguments: list[str] | None = None) -> int:
    """Run one command; expected faults become one sentence and exit status 1."""
    given = argparse.Namespace(context=os.environ.get("CONTEXT") or None)
    options = parser().parse_args(arguments, given)
    try:
        carry_out(options)
    except (ClusterError, TimeoutError) as fault:
        print(f"error: {fault}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(
            "interrupted: run it again to go on (with --replace, if a half-made cluster is left)",
            file=sys.stderr,
        )
        return 130
    return 0


def carry_out(options: argparse.Namespace) -> None:
    """Call what the command names."""
    match options.command:
        case "up":
            print(lifecycle.ensure_up(options.context, replace=options.replace).how_to_use())
        case "down":
            lifecycle.down(options.context)
        case "status":
            print(lifecycle.status(options.context))
        case "engine":
            print(f"DOCKER_HOST={engine.ensure().docker_host}")
        case "binaries":
            for name, path in binaries.ensure(*(options.names or binaries.SOURCES)).items():
                print(f"{name}={path}")
        case "load":
            cluster = lifecycle.ensure_up(options.context, progress=to_stderr)
            for archive in options.archives:
                cluster.load_archive(archive)


if __name__ == "__main__":
    sys.exit(main())
