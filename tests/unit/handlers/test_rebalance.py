import pytest

from ferryman.api import names
from ferryman.api.inference_model import PlacementSpec, RebalanceSpec
from ferryman.handlers.rebalance import PERIOD_S
from tests import factories
from tests.fakes import node_object, wire

AUTO = PlacementSpec(policy="BestFit", rebalance=RebalanceSpec(mode="Auto"))
#: A model is left alone for ten minutes after it was placed; then comes the next look.
MOVED_AFTER_S = 600 + 2 * PERIOD_S


def large(cluster, cpu="16", **labels):
    """Put a node of which the model takes a quarter of the share."""
    body = node_object("large-1")
    body["status"]["allocatable"] = {"cpu": cpu, "memory": "64Gi"}
    body["metadata"]["labels"] = labels
    cluster.api.put("nodes", body)
    table = factories.benchmark(100.0, node_type="large")
    cluster.heartbeat("large-1", "large", benchmarks=[table])


async def serving(cluster, placement=AUTO, **fields):
    """One node, and a model that serves on it; then a better node comes."""
    cluster.api.put("runtimes", wire(factories.runtime()))
    cluster.node()
    cluster.model(placement=placement, **fields)
    await cluster.settle()
    cluster.serve()
    await cluster.settle(10)


async def pass_time(cluster, for_s):
    """Let time pass while both agents report."""
    for _ in range(int(for_s // 30)):
        await cluster.settle(30)
        cluster.heartbeat()
        table = factories.benchmark(100.0, node_type="large")
        cluster.heartbeat("large-1", "large", benchmarks=[table])


def placed(cluster):
    placement = cluster.status()["placement"]
    return placement["nodeType"], placement["reason"]


def test_a_model_that_asked_for_it_is_moved_to_the_better_node_type(cluster, play):
    async def script(cluster):
        await serving(cluster)
        large(cluster)
        await pass_time(cluster, MOVED_AFTER_S)

    play(script)
    assert placed(cluster) == ("large", "Rebalanced")
    assert cluster.status()["placement"]["message"].startswith("rebalanced with all others: 75%")
    pods = cluster.api.get("deployments", "resnet50-triton")["spec"]["template"]["spec"]
    terms = pods["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    (term,) = terms["nodeSelectorTerms"]
    assert {"key": names.LABEL_NODE_TYPE, "operator": "In", "values": ["large"]} in term[
        "matchExpressions"
    ]
    reasons = [reason for _, _, reason, *_ in cluster.api.events]
    assert "Rebalanced" in reasons


def test_one_that_did_not_ask_stays(cluster, play):
    async def script(cluster):
        await serving(cluster, PlacementSpec(policy="BestFit"))
        large(cluster)
        await pass_time(cluster, MOVED_AFTER_S)

    play(script)
    assert placed(cluster)[0] == "cpu-small"


def test_an_object_that_cannot_be_read_keeps_nobody_else_where_it_is(cluster, play):
    async def script(cluster):
        await serving(cluster)
        broken = wire(factories.model("broken"))
        broken["spec"]["replicas"] = -1
        cluster.api.put("models", {**broken, "status": {}})
        orphan = wire(factories.model("orphan", runtime_ref={"name": "gone"}))
        cluster.api.put("models", {**orphan, "status": {}})
        large(cluster)
        await pass_time(cluster, MOVED_AFTER_S)

    play(script)
    assert placed(cluster) == ("large", "Rebalanced")


@pytest.mark.parametrize(
    ("label", "moves"), [("0.2", True), ("9", False), ("1e3", False), ("free", False)]
)
def test_cheapest_goes_by_the_price_on_the_node(cluster, play, label, moves):
    """The small type has no label; the operator was told its price."""
    cluster.prices = {"cpu-small": 0.4}
    cheapest = AUTO.with_(policy="Cheapest")

    async def script(cluster):
        await serving(cluster, cheapest)
        large(cluster, cpu="4", **{names.LABEL_PRICE: label})
        await pass_time(cluster, MOVED_AFTER_S)

    play(script)
    assert placed(cluster)[0] == ("large" if moves else "cpu-small")
