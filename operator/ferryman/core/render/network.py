"""How a model's pods are reached: the Service for clients, and who else may connect."""

from ferryman.api import names
from ferryman.core.manifests import Manifest


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


def network_policy_spec(selector: dict[str, str], operator_namespace: str) -> Manifest:
    """Return the NetworkPolicy's spec: clients on HTTP and on gRPC, metrics for our namespace.

    What changes a server is kept from clients by its key, on both ports. The pods open no
    connections: egress is governed and has no rule. (An empty list of rules would be a new
    generation of the object at every apply.)
    """
    namespace = {"matchLabels": {"kubernetes.io/metadata.name": operator_namespace}}
    return {
        "podSelector": {"matchLabels": selector},
        "policyTypes": ["Ingress", "Egress"],
        "ingress": [
            {"ports": [_port(names.PORT_HTTP), _port(names.PORT_GRPC)]},
            {"from": [{"namespaceSelector": namespace}], "ports": [_port(names.PORT_METRICS)]},
        ],
    }


def _port(number: int) -> Manifest:
    return {"protocol": "TCP", "port": number}
