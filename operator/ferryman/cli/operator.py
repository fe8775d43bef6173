"""``ferryman operator``: what the operator's Deployment runs."""

import argparse
import asyncio
import logging
import os
from pathlib import Path

from ferryman.cli import arguments, prices

HIGHEST_PORT = 65_535
DEFAULT_NAMESPACE = "ferryman-system"

DESCRIPTION = """\
Place models, serve them and tune their batching until told to stop (SIGTERM, or Ctrl-C: both end
with 0). What happens is logged on standard error, one JSON object a line.
"""
EPILOG = """\
examples:
  ferryman operator                                in a pod, for all namespaces
  ferryman operator --context kind-ferryman        from a workstation
  ferryman operator --namespaced team-a --namespaced team-b
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
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
    prices.add_argument(
        parser,
        words=", for the policy Cheapest (may be repeated; a node's label "
        "serving.ferryman.dev/price-per-hour comes first)",
    )
    parser.add_argument(
        "--kubeconfig", help="default: in-cluster, or $KUBECONFIG, or ~/.kube/config"
    )
    parser.add_argument("--context", help="the kubeconfig's context")
    parser.add_argument(
        "--host", default="", help="address of /healthz and /metrics (default: all, IPv4 and IPv6)"
    )
    parser.add_argument(
        "--port",
        type=arguments.whole(0, HIGHEST_PORT),
        default=8080,
        help="their port; 0: any free one",
    )
    parser.add_argument(
        "--log-level",
        **arguments.one_of(("debug", "info", "warning", "error")),
        default="info",
        help="default: info",
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
