"""A model is ready again once its new specification is rolled out."""

import pytest

from ferryman.api.inference_model import PlacementSpec
from ferryman.clients.kubernetes_errors import TemporaryError
from tests import factories
from tests.fakes import node_object
from tests.unit.handlers.scenes import ANOTHER, ROLLED_OUT, fixed, readiness, serving

ELSEWHERE = {"placement": PlacementSpec(node_selector={"zone": "b"})}


@pytest.mark.parametrize("lags", [False, True], ids=["the watch is quick", "the watch lags"])
@pytest.mark.parametrize(
    "spec",
    [pytest.param(ANOTHER, id="other pods"), pytest.param(ELSEWHERE, id="another place")],
)
def test_a_model_is_not_ready_before_its_new_specification_is_rolled_out(cluster, play, spec, lags):
    async def script(cluster):
        await serving(cluster)
        other = node_object("node-2")
        other["metadata"]["labels"] = {"zone": "b"}
        cluster.api.put("nodes", other)
        cluster.heartbeat("node-2", "cpu-large")
        await cluster.settle()
        cluster.model(**spec)
        cluster.api.delay_watch = lags
        await cluster.settle(20)
        during = cluster.condition("Ready"), cluster.condition("Reconciling")
        cluster.api.delay_watch = False
        cluster.api.catch_up()
        cluster.serve()
        await cluster.settle(10)
        return during

    assert play(script) == (("False", "Deploying"), ("True", "Deploying"))
    assert readiness(cluster, 2) == ROLLED_OUT
    assert cluster.writes()["apply", "Deployment"] == 2


@pytest.mark.parametrize("dies", [False, True], ids=["it tries again", "it dies"])
def test_a_specification_that_could_not_be_applied_at_once_is_not_ready_meanwhile(
    cluster, play, dies
):
    """The status was written, and its event; the Deployment was not."""

    async def script(cluster):
        await serving(cluster)
        cluster.api.fail_next = [None, None, *[TemporaryError("busy")] * 100]
        cluster.model(**ANOTHER)
        await cluster.settle(0.2)
        written = len(cluster.api.statuses), cluster.writes()["apply", "Deployment"]
        cluster.api.fail_next = []
        if dies:
            await cluster.end()
            await cluster.begin()
        await cluster.settle(10)
        during = cluster.condition("Ready")
        cluster.serve()
        await cluster.settle(10)
        return written, len(cluster.api.statuses), during

    (written, applied), in_the_end, during = play(script)
    assert (applied, in_the_end > written) == (1, True), "it failed at the right moment"
    assert during == ("False", "Deploying")
    assert readiness(cluster, 2) == ROLLED_OUT


@pytest.mark.parametrize("lags", [False, True], ids=["the watch is quick", "the watch lags"])
@pytest.mark.parametrize(
    "spec",
    [
        pytest.param({"batching": fixed(16)}, id="batching"),
        pytest.param({"objectives": factories.objectives(80)}, id="objectives"),
    ],
)
def test_a_change_that_rolls_no_pods_is_soon_ready_by_itself(cluster, play, spec, lags):
    async def script(cluster):
        await serving(cluster)
        await cluster.beat(60)
        cluster.model(**spec)
        cluster.api.delay_watch = lags
        await cluster.settle(8)
        ready = cluster.condition("Ready")
        cluster.api.delay_watch = False
        cluster.api.catch_up()
        await cluster.beat(60)
        before = cluster.writes()
        await cluster.beat(600)
        return ready, before

    ready, before = play(script)
    assert ready == ("True", "Serving")
    assert readiness(cluster, 2) == ROLLED_OUT
    assert cluster.writes() == before
