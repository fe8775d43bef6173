"""A pod network from Debian's plug-ins, for nodes without kind's own (an image of a registry).

Each node gives its pods addresses of its own range, reaches the other ranges by routes, and
hides its pods' addresses from what is not a pod. NetworkPolicies are not enforced.
"""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass
from typing import Any

from hack.cluster.engine import Engine

PODS = "10.244.0.0/16"
CONFIGURATION = "/etc/cni/net.d/10-ferryman.conflist"


@dataclass(frozen=True)
class Node:
    """A node's name, its address, and its pods' range."""

    name: str
    address: str
    pods: str


def connect(engine: Engine, listed: dict[str, Any]) -> None:
    """Set the pod network up on every node of a `kubectl get nodes -o json`; repeatable."""
    nodes = [_node(item) for item in listed["items"]]
    for node in nodes:
        script = script_for(node, [peer for peer in nodes if peer != node])
        engine.docker("exec", "--privileged", node.name, "sh", "-euc", script)


def _node(item: dict[str, Any]) -> Node:
    addresses = {each["type"]: each["address"] for each in item["status"]["addresses"]}
    return Node(item["metadata"]["name"], addresses["InternalIP"], item["spec"]["podCIDR"])


def script_for(node: Node, peers: list[Node]) -> str:
    """Return the shell script that sets one node up."""
    hidden = f"POSTROUTING -s {node.pods} ! -d {PODS} -j MASQUERADE"
    lines = [
        "sysctl -qw net.ipv4.ip_forward=1",
        *(f"ip route replace {peer.pods} via {peer.address}" for peer in peers),
        f"iptables -t nat -C {hidden} 2>/dev/null || iptables -t nat -A {hidden}",
        f"printf %s {shlex.quote(json.dumps(configuration(node.pods)))} > {CONFIGURATION}.part",
        f"mv {CONFIGURATION}.part {CONFIGURATION}",
    ]
    return "\n".join(lines)


def configuration(pods: str) -> dict[str, object]:
    """Return the network configuration of a node whose pods get addresses of this range."""
    addresses = {
        "type": "host-local",
        "dataDir": "/run/cni-ipam-state",
        "ranges": [[{"subnet": pods}]],
        "routes": [{"dst": "0.0.0.0/0"}],
    }
    return {
        "cniVersion": "0.4.0",
        "name": "ferryman",
        "plugins": [
            {"type": "ptp", "ipMasq": False, "ipam": addresses},
            {"type": "portmap", "capabilities": {"portMappings": True}},
        ],
    }
