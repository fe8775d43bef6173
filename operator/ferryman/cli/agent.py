"""``ferryman agent``: run the node agent, or one of its parts by hand."""

import argparse
import json
import os
import platform
from pathlib import Path
from typing import TYPE_CHECKING

from ferryman.api import quantity
from ferryman.api.names import CONTROL_KEY_ENV
from ferryman.cli import arguments
from ferryman.cli.errors import InputError
from ferryman.cli.files import content

if TYPE_CHECKING:
    from ferryman.clients.cluster import Node

CGROUP_ROOT = Path("/sys/fs/cgroup")
#: What Kubernetes calls by another name than the kernel.
_ARCHITECTURES = {
    "x86_64": "amd64",
    "aarch64": "arm64",
    "armv7l": "arm",
    "i686": "386",
    "loongarch64": "loong64",
}
#: XID errors have three.
_DIGITS = 6

DESCRIPTION = """\
Run the node agent, which publishes its node's processors and their utilisation, or one of its
parts by hand.
"""
EPILOG = """\
examples:
  ferryman agent discover                            what would be published of this machine
  ferryman agent benchmark --url HOST:8000 --model M  measure a Triton by hand
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the three parts and their arguments."""
    parts = parser.add_subparsers(title="parts", dest="part", required=True, metavar="PART")
    _add_run(parts.add_parser("run", help="publish this node's NodeProfile until SIGTERM"))
    _add_discover(parts.add_parser("discover", help="print what would be published, and end"))
    _add_benchmark(parts.add_parser("benchmark", help="measure a Triton server's reference model"))


def run(args: argparse.Namespace) -> int:
    """Run one part and return its exit status."""
    parts = {"run": _run, "discover": _discover, "benchmark": _benchmark}
    return parts[args.part](args)


def _add_run(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--node", default=os.environ.get("NODE_NAME"), help="this node [$NODE_NAME]"
    )
    parser.add_argument("--kubeconfig", help="instead of the pod's own credentials")
    parser.add_argument("--sample-interval-seconds", type=_seconds, default=5.0)
    parser.add_argument("--heartbeat-seconds", type=_seconds, default=60.0)
    _add_node(parser)


def _add_discover(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--cpu", type=_amount, default=os.cpu_count(), help="allocatable CPU [the machine's]")
    add("--memory", type=_amount, help="allocatable memory [the machine's]")
    _add_node(parser)


def _add_node(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--cgroup-root", type=Path, default=CGROUP_ROOT, help="where the node's /sys/fs/cgroup is"
    )
    parser.add_argument(
        "--pod-uid", default=os.environ.get("POD_UID", ""), help="the agent's own pod [$POD_UID]"
    )
    parser.add_argument(
        "--ignore-xids",
        type=_numbers,
        default=frozenset(),
        metavar="NUMBERS",
        help="XID errors of NVIDIA GPUs that count for nothing, as 94,63",
    )


def _numbers(text: str) -> frozenset[int]:
    """Read numbers with commas between them; none is as good as any."""
    words = [word.strip() for word in text.split(",") if word.strip()]
    if not all(word.isascii() and word.isdigit() and len(word) < _DIGITS for word in words):
        raise argparse.ArgumentTypeError(f"{text!r} is no list of numbers: write for example 94,63")
    return frozenset(map(int, words))


def _add_benchmark(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--url", default="localhost:8000", help="HOST:PORT of Triton's HTTP API")
    parser.add_argument("--model", required=True)
    parser.add_argument("--max-batch-size", type=arguments.whole(1), default=32)
    parser.add_argument("--time-limit-seconds", type=_seconds, default=300.0)
    parser.add_argument("--ready-timeout-seconds", type=_seconds, default=300.0)
    parser.add_argument("--max-instances", type=arguments.whole(1), default=8)
    parser.add_argument("--result", type=Path, default=Path("/dev/termination-log"))


def _run(args: argparse.Namespace) -> int:
    from ferryman.agent import run as shell  # noqa: PLC0415  `benchmark` does without
    from ferryman.agent.publish import Settings  # noqa: PLC0415

    if not args.node:
        raise InputError("name this node: --node NAME, or NODE_NAME in the environment")
    settings = Settings(
        node_name=args.node,
        cgroup_root=args.cgroup_root,
        pod_uid=args.pod_uid,
        sample_interval_s=args.sample_interval_seconds,
        heartbeat_s=args.heartbeat_seconds,
        ignored_xids=args.ignore_xids,
    )
    return shell.run(settings, args.kubeconfig)


def _discover(args: argparse.Namespace) -> int:
    from ferryman.agent import run as shell  # noqa: PLC0415  `benchmark` does without
    from ferryman.agent.processors import Host  # noqa: PLC0415

    node = _machine(args)
    host = Host(
        node.cpu_millicores,
        node.memory_bytes,
        cgroup_root=args.cgroup_root,
        pod_uid=args.pod_uid,
        ignored_xids=args.ignore_xids,
    )
    print(json.dumps(shell.discover(node, host), indent=2))
    return 0


def _machine(args: argparse.Namespace) -> "Node":
    """Return a Node for this machine, as there is no Node object to ask."""
    from ferryman.clients.cluster import Node  # noqa: PLC0415  `benchmark` does without

    memory = args.memory or os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    architecture = _ARCHITECTURES.get(platform.machine(), platform.machine())
    return Node(
        platform.node(),
        "",
        architecture,
        quantity.to_millicores(args.cpu),
        quantity.to_units(memory),
    )


def _benchmark(args: argparse.Namespace) -> int:
    # numpy: the agent does without
    from ferryman.agent.measuring import benchmark  # noqa: PLC0415

    settings = benchmark.Settings(
        url=args.url,
        model=args.model,
        max_batch_size=args.max_batch_size,
        time_limit_s=args.time_limit_seconds,
        ready_timeout_s=args.ready_timeout_seconds,
        max_instances=args.max_instances,
        control_key=os.environ.get(CONTROL_KEY_ENV, ""),
    )
    # A measurement takes minutes: better to know before that its result has no place.
    content.expect_writable(args.result)
    try:
        return benchmark.run(settings, args.result)
    except OSError as error:
        raise content.unwritten(args.result, error) from error


def _amount(text: str) -> str:
    try:
        quantity.to_units(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    return text


def _seconds(text: str) -> float:
    return arguments.number(least=0, unit="seconds")(text)
