"""``ferryman operator``: what the operator's Deployment runs."""

import argparse
import asyncio
import logging
import os
import socket
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path

from pydantic import ValidationError

from ferryman.api.access import AccessSpec
from ferryman.cli import arguments, prices
from ferryman.core.status import unreadable

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
        help="Ferryman's image, for benchmark Jobs and to fetch models' files "
        "(default: $FERRYMAN_IMAGE; empty: neither is done)",
    )
    parser.add_argument(
        "--runtimes", type=Path, metavar="FOLDER", help="InferenceRuntimes to apply at start"
    )
    parser.add_argument(
        "--pod-ip",
        type=_pod_ip,
        default=os.environ.get("POD_IP", ""),
        metavar="ADDRESS",
        help="the operator's own address: where it is of IPv6, models are served over IPv6 "
        "(default: $POD_IP; empty: over IPv4)",
    )
    parser.add_argument(
        "--identity",
        default=os.environ.get("POD_NAME") or f"{socket.gethostname()}-{os.getpid()}",
        metavar="NAME",
        help="its name in the Lease ferryman-operator: of several operators one leads, the others "
        "stand by (default: $POD_NAME, or host and process)",
    )
    prices.add_argument(
        parser,
        words=", for the policy Cheapest (may be repeated; a node's label "
        "serving.ferryman.dev/price-per-hour comes first)",
    )
    parser.add_argument(
        "--access",
        type=_access,
        default="{}",
        metavar="JSON",
        help="who may send requests to every model, as spec.access of one says it "
        "(default: the pods of the model's namespace)",
    )
    parser.add_argument(
        "--monitoring-namespace",
        default="",
        metavar="NAME",
        help="whose pods may read the metrics of serving pods (default: the operator's alone)",
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


def _pod_ip(text: str) -> IPv4Address | IPv6Address | None:
    """Read an address, or nothing; raises ArgumentTypeError."""
    try:
        return ip_address(text) if text else None
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no IP address") from error


def _access(text: str) -> AccessSpec:
    try:
        return AccessSpec.model_validate_json(text)
    except ValidationError as error:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no spec.access: {unreadable.words(error)}"
        ) from error


def run(args: argparse.Namespace) -> int:
    """Run the operator until SIGTERM; return the exit status."""
    from ferryman.clients.kubernetes_transport import (  # noqa: PLC0415  slow to import
        ConfigException,
    )
    from ferryman.handlers import app, logs  # noqa: PLC0415
    from ferryman.handlers.session import Scope  # noqa: PLC0415

    logs.configure(args.log_level)
    options = app.Options(
        identity=args.identity,
        scope=Scope(
            args.namespace,
            args.image,
            tuple(args.namespaced),
            dict(args.prices),
            ipv6=isinstance(args.pod_ip, IPv6Address),
            access=args.access,
            monitoring_namespace=args.monitoring_namespace,
        ),
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
