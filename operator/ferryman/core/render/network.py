"""How a model's pods are reached: the Service for clients, and who else may connect."""

from collections.abc import Sequence
from typing import Final

from ferryman.api import names
from ferryman.api.access import AccessSpec, Peer
from ferryman.core.manifests import Manifest

#: Where the cluster's DNS is, and its port, as kubeadm and managed clusters have it.
_DNS_NAMESPACE: Final = "kube-system"
_DNS: Final = 53


def service_spec(selector: dict[str, str]) -> Manifest:
    """Return the Service's spec: HTTP and gRPC for clients; metrics are not exposed."""
    ports = {"http": names.PORT_HTTP, "grpc": names.PORT_GRPC}
    return {
        "type": "ClusterIP",
        "selector": selector,
        "ports": [
            {"name": name, "port": port, "targetPort": port, "protocol": "TCP"}
            for name, port in ports.items()
        ],
    }


def addresses_spec(selector: dict[str, str]) -> Manifest:
    """Return the spec of a Service whose name has an address for each ready pod."""
    return {**service_spec(selector), "clusterIP": "None"}


def network_policy_spec(
    selector: dict[str, str],
    operator_namespace: str,
    access: AccessSpec,
    monitoring_namespace: str = "",
    *,
    asked: Sequence[dict[str, str]] = (),
    fetched_from: Sequence[int] = (),
) -> Manifest:
    """Return the NetworkPolicy's spec: clients on HTTP and gRPC, our namespace on what it asks.

    Policies add up: one that admits everyone would open what a namespace has closed by default. So
    the model's own namespace is admitted, and whom else its owner or the installation says.

    What changes a server is kept from clients by its key, on both ports. The pods open no
    connections: egress is governed and has no rule. (An empty list of rules would be a new
    generation of the object at every apply.) Those of a pipeline that asks other servers (``asked``
    selects their pods, of the same namespace) reach these over HTTP, and the cluster's DNS. Those
    that fetch models' files reach the ports of the files' servers (``fetched_from``), wherever
    these are but for the node's own addresses: policies know pods, not containers.
    """
    operator = _namespace(operator_namespace)
    scraping = (
        [{"from": [_namespace(monitoring_namespace)], "ports": [_port(names.PORT_METRICS)]}]
        if monitoring_namespace
        else []
    )
    outward = [*_to(asked), *_fetching(fetched_from)]
    egress = [*outward, _DNS_RULE] if outward else []
    return {
        "podSelector": {"matchLabels": selector},
        "policyTypes": ["Ingress", "Egress"],
        "ingress": [
            {**_clients(access), "ports": [_port(names.PORT_HTTP), _port(names.PORT_GRPC)]},
            {"from": [operator], "ports": [_port(names.PORT_GRPC), _port(names.PORT_METRICS)]},
            *scraping,
        ],
        **({"egress": egress} if egress else {}),
    }


def _namespace(name: str) -> Manifest:
    return _peer(Peer(namespaces={"kubernetes.io/metadata.name": name}))


def _to(asked: Sequence[dict[str, str]]) -> list[Manifest]:
    if not asked:
        return []
    pods = [{"podSelector": {"matchLabels": labels}} for labels in asked]
    return [{"to": pods, "ports": [_port(names.PORT_HTTP)]}]


def _fetching(ports: Sequence[int]) -> list[Manifest]:
    """Return who may be fetched from; some networks do not count pods among addresses."""
    if not ports:
        return []
    everywhere = [{"ipBlock": dict(block)} for block in _ADDRESSES]
    return [
        {"to": [*everywhere, {"namespaceSelector": {}}], "ports": [_port(each) for each in ports]}
    ]


def _clients(access: AccessSpec) -> Manifest:
    """Return whom a rule admits; without the field it is everyone."""
    if access.everyone:
        return {}
    return {"from": [{"podSelector": {}}, *map(_peer, access.from_)]}


def _peer(peer: Peer) -> Manifest:
    namespaces = {"matchLabels": dict(peer.namespaces)} if peer.namespaces else {}
    pods = {"podSelector": {"matchLabels": dict(peer.pods)}} if peer.pods else {}
    return {"namespaceSelector": namespaces, **pods}


def _port(number: int) -> Manifest:
    return {"protocol": "TCP", "port": number}


#: All addresses but those by which clouds tell a node's credentials to whoever asks from it.
_ADDRESSES: Final[tuple[Manifest, ...]] = (
    {"cidr": "0.0.0.0/0", "except": ["169.254.0.0/16"]},
    {"cidr": "::/0", "except": ["fe80::/10", "fd00:ec2::/32"]},
)
_DNS_RULE: Final[Manifest] = {
    "to": [_namespace(_DNS_NAMESPACE)],
    "ports": [{**_port(_DNS), "protocol": protocol} for protocol in ("UDP", "TCP")],
}
