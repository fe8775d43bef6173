"""Who may connect to a model's pods."""

import pytest

from ferryman.api.access import AccessSpec, Peer
from ferryman.core.render import network

SELECTOR = {"serving.ferryman.dev/model": "resnet50"}
OPERATOR = {
    "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "ferryman-system"}}
}
OWN = {"podSelector": {}}


def policy(access):
    return network.network_policy_spec(SELECTOR, "ferryman-system", access)


def test_the_namespace_of_prometheus_reads_the_metrics_and_nothing_else():
    monitoring = {
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}
    }
    without = policy(AccessSpec())
    spec = network.network_policy_spec(SELECTOR, "ferryman-system", AccessSpec(), "monitoring")

    *before, added = spec["ingress"]
    assert before == without["ingress"]
    assert added == {"from": [monitoring], "ports": [{"protocol": "TCP", "port": 8002}]}


@pytest.mark.parametrize(
    ("access", "admitted"),
    [
        pytest.param(AccessSpec(), [OWN], id="the model's own namespace by default"),
        pytest.param(
            AccessSpec(from_=(Peer(namespaces={"team": "web"}),)),
            [OWN, {"namespaceSelector": {"matchLabels": {"team": "web"}}}],
            id="and namespaces by their labels",
        ),
        pytest.param(
            AccessSpec(from_=(Peer(namespaces={"team": "web"}, pods={"app": "shop"}),)),
            [
                OWN,
                {
                    "namespaceSelector": {"matchLabels": {"team": "web"}},
                    "podSelector": {"matchLabels": {"app": "shop"}},
                },
            ],
            id="of them, pods by theirs",
        ),
        pytest.param(
            AccessSpec(from_=(Peer(pods={"app": "shop"}),)),
            [OWN, {"namespaceSelector": {}, "podSelector": {"matchLabels": {"app": "shop"}}}],
            id="pods of any namespace",
        ),
        pytest.param(AccessSpec(from_=(Peer(),)), [OWN, {"namespaceSelector": {}}], id="all pods"),
        pytest.param(AccessSpec(everyone=True), None, id="everyone, as a rule without sources"),
    ],
)
def test_clients_reach_http_and_grpc_and_the_pods_reach_nobody(access, admitted):
    spec = policy(access)
    sources = [
        ([port["port"] for port in rule["ports"]], rule.get("from")) for rule in spec["ingress"]
    ]
    assert sources == [([8000, 8001], admitted), ([8001, 8002], [OPERATOR])]
    assert spec["podSelector"] == {"matchLabels": SELECTOR}
    assert spec["policyTypes"] == ["Ingress", "Egress"]
    assert "egress" not in spec


def test_what_either_admits_is_admitted():
    web, mesh = (Peer(namespaces={"team": name}) for name in ("web", "mesh"))
    one, other = AccessSpec(from_=(web,)), AccessSpec(from_=(web, mesh))
    assert one.widened(other) == AccessSpec(from_=(web, mesh))
    assert one.widened(AccessSpec(everyone=True)) == AccessSpec(from_=(web,), everyone=True)
    assert AccessSpec(everyone=True).widened(AccessSpec()).everyone
