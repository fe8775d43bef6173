"""``ferryman operator``: what the operator's Deployment runs."""

import argparse
import asyncio
import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING

from ferryman.cli.prices import price

if TYPE_CHECKING:
    SubParsers = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001

DEFAULT_NAMESPACE = "ferryman-system"

EPILOG = """\
examples:
  ferryman operator                                in a pod, for all namespaces
  ferryman operator --context kind-ferryman        from a workstation
  ferryman operator --namespaced team-a --namespaced team-b
"""


def add_parser(subparsers: "SubParsers") -> None:
    """Add the subcommand's parser."""
    parser = subparsers.add_parser(
        "operator",
        help="run the operator (what its Deployment runs)",
        description="Place models, serve them and tune their batching until told to stop.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--namespace",
        default=os.environ.get("POD_NAMESPACE", DEFAULT_NAMESPACE),
        help="the operator's own namespace: master key and benchmark Jobs "
        "(default: $POD_NAMESPACE, or %(default)s)",
    )
    parser.add_argument(
        "--namespaced",
        action="append",
        default=[],
        metavar="NAMESPACE",
        help="serve models of this namespace only (may be repeated)",
    )
    parser.add_argument(
        "--image",
        default=os.environ.get("FERRYMAN_IMAGE", ""),
        help="Ferryman's image for benchmark Jobs (default: $FERRYMAN_IMAGE; empty: none run)",
    )
    parser.add_argument(
        "--runtimes", type=Path, metavar="FOLDER", help="InferenceRuntimes to apply at start"
    )
    parser.add_argument(
        "--price",
        action="append",
        default=[],
        type=price,
        metavar="NODETYPE=PRICE",
        dest="prices",
        help="what a node of a type costs per hour, for the policy Cheapest (may be repeated; "
        "a node's label serving.ferryman.dev/price-per-hour comes first)",
    )
    parser.add_argument(
        "--kubeconfig", help="default: in-cluster, or $KUBECONFIG, or ~/.kube/config"
    )
    parser.add_argument("--context", help="the kubeconfig's context")
    parser.add_argument(
        "--host", default="", help="address of /healthz and /metrics (default: all, IPv4 and IPv6)"
    )
    parser.add_argument("--port", type=int, default=8080, help="their port; 0: any free one")
    parser.add_argument(
        "--log-level", default="info", choices=("debug", "info", "warning", "error")
    )


def run(args: argparse.Namespace) -> int:
    """Run the operator until SIGTERM; return the exit status."""
    from ferryman.clients.kubernetes_transport import (  # noqa: PLC0415  slow to import
        ConfigException,
    )
    from ferryman.handlers import app, logs  # noqa: PLC0415
    from ferryman.handlers.session import Scope  # noqa: PLC0415

    logs.configure(args.log_level)
    options = app.Options(
        scope=Scope(args.namespace, args.image, tuple(args.namespaced), dict(args.prices)),
        kubeconfig=args.kubeconfig,
        context=args.context,
        runtimes=args.runtimes,
        host=args.host,
        port=args.port,
    )
    try:
        asyncio.run(app.run(options))
    except ConfigException as error:
        logging.getLogger(__name__).critical(
            "no credentials: run in a pod, or name a kubeconfig", extra={"why": str(error)}
        )
        return 1
    return 0
