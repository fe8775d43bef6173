"""How a model's pods are reached: the Service for clients, and who else may connect."""

from typing import Any

from ferryman.api import names

Manifest = dict[str, Any]


def service_spec(selector: dict[str, str]) -> Manifest:
    """Return the Service's spec: HTTP for clients; gRPC and metrics are not exposed."""
    return {
        "type": "ClusterIP",
        "selector": selector,
        "ports": [
            {
                "name": "http",
                "port": names.PORT_HTTP,
                "targetPort": names.PORT_HTTP,
                "protocol": "TCP",
            }
        ],
    }


def network_policy_spec(selector: dict[str, str], operator_namespace: str) -> Manifest:
    """Return the NetworkPolicy's spec: clients on HTTP, only the operator on gRPC.

    Anything in the operator's namespace may read metrics. The pods open no connections: egress
    is governed and has no rule. (An empty list of rules would be a new generation of the object
    at every apply.)
    """
    namespace = {"matchLabels": {"kubernetes.io/metadata.name": operator_namespace}}
    operator = {
        "matchLabels": {names.LABEL_NAME: names.MANAGED_BY, names.LABEL_COMPONENT: "operator"}
    }
    return {
        "podSelector": {"matchLabels": selector},
        "policyTypes": ["Ingress", "Egress"],
        "ingress": [
            {"ports": [_port(names.PORT_HTTP)]},
            {
                "from": [{"namespaceSelector": namespace, "podSelector": operator}],
                "ports": [_port(names.PORT_GRPC)],
            },
            {"from": [{"namespaceSelector": namespace}], "ports": [_port(names.PORT_METRICS)]},
        ],
    }


def _port(number: int) -> Manifest:
    return {"protocol": "TCP", "port": number}
