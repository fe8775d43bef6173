"""The live cap: the bound changes by an annotation."""

import pytest

from ferryman.api.batching import BatchingSpec
from ferryman.api.inference_runtime import RuntimeLiveCap
from ferryman.clients.kubernetes_errors import TemporaryError
from tests import factories
from tests.fakes import run_virtually, wire
from tests.unit.handlers.cluster import Cluster
from tests.unit.handlers.scenes import POD

CAP = "serving.ferryman.dev/max-batch-size"


async def serving_with_live_cap(cluster):
    """One pod with a live cap that starts at 8, of Triton's own 64."""
    entry = factories.runtime_processor(live_cap=RuntimeLiveCap(library="/lib.so"))
    cluster.api.put("runtimes", wire(factories.runtime(processors=[entry])))
    cluster.node()
    cluster.model()
    cluster.tritons.at("10.0.0.1").largest = 64
    await cluster.settle()
    cluster.serve(live_cap=True)
    await cluster.settle(10)


def at_most(size):
    limits = BatchingSpec().limits
    size = limits.max_batch_size.with_(max=size)
    return BatchingSpec(algorithm="Trend", limits=limits.with_(max_batch_size=size))


def annotation(cluster):
    return cluster.api.get("pods", POD)["metadata"].get("annotations", {}).get(CAP)


def test_the_live_cap_changes_the_bound_without_asking_triton_or_rolling_pods(cluster, play):
    async def script(cluster):
        await serving_with_live_cap(cluster)
        assert annotation(cluster) is None
        cluster.model(batching=at_most(4))
        await cluster.settle()

    play(script)
    assert annotation(cluster) == "4"
    assert cluster.tritons.at("10.0.0.1").loads == []
    batching = cluster.status()["batching"]
    change = batching["changes"][0]
    assert (change["actuator"], change["outcome"]) == ("LiveCap", "Applied")
    assert (batching["applied"]["maxBatchSize"], batching["recentReloads"]) == (4, [])
    config = cluster.api.get("configmaps", "resnet50-triton")["data"]["config.pbtxt"]
    assert 'key: "FERRYMAN_LIVE_CAP_START"' in config
    assert 'string_value: "4"' in config
    assert cluster.writes()["apply", "Deployment"] == 1, "no rollout"


def test_an_annotation_is_written_once_although_the_watch_lags_behind(cluster, play):
    async def script(cluster):
        await serving_with_live_cap(cluster)
        cluster.model(batching=at_most(4))
        cluster.api.delay_watch = True
        await cluster.beat(60)
        cluster.api.delay_watch = False
        cluster.api.catch_up()
        await cluster.beat(700)

    play(script)
    assert annotation(cluster) == "4"
    assert cluster.writes()["patch", "Pod"] == 1
    assert len(cluster.status()["batching"]["changes"]) == 1


def test_an_annotation_that_somebody_edits_is_brought_back(cluster, play):
    async def script(cluster):
        await serving_with_live_cap(cluster)
        await cluster.api.annotate_pod("default", POD, {CAP: "1", "theirs": "stays"})
        await cluster.settle()

    play(script)
    assert annotation(cluster) == "8"
    assert cluster.api.get("pods", POD)["metadata"]["annotations"]["theirs"] == "stays"
    change = cluster.status()["batching"]["changes"][0]
    assert (change["actuator"], change["reason"]) == ("LiveCap", "Drifted")


def test_a_reload_brings_the_annotation_along(cluster, play):
    async def script(cluster):
        await serving_with_live_cap(cluster)
        cluster.model(batching=at_most(4))
        await cluster.settle()
        delay = BatchingSpec().limits.max_queue_delay_microseconds.with_(min=100)
        spec = at_most(2)
        limits = spec.limits.with_(max_queue_delay_microseconds=delay)
        cluster.model(batching=spec.with_(limits=limits))
        await cluster.settle()

    play(script)
    assert annotation(cluster) == "2"
    assert cluster.status()["batching"]["changes"][0]["actuator"] == "Reload"
    assert [loaded.max_batch_size for loaded in cluster.tritons.at("10.0.0.1").loads] == [2]


@pytest.mark.parametrize("position", range(8))
def test_an_operator_that_dies_while_it_annotates_leaves_what_the_next_one_completes(position):
    """At the status, the annotation, the outcome, what follows, the events, and the ConfigMap."""
    cluster = Cluster()

    async def script():
        await cluster.begin()
        await serving_with_live_cap(cluster)
        cluster.api.fail_next = [*[None] * position, *[TemporaryError("dead")] * 100]
        cluster.model(batching=at_most(4))
        await cluster.settle(0.2)
        cluster.api.fail_next = []
        await cluster.end()
        await cluster.begin()
        await cluster.settle(60)
        await cluster.end()

    run_virtually(script())
    assert annotation(cluster) == "4"
    batching = cluster.status()["batching"]
    assert batching["changes"][0]["outcome"] == "Applied"
    assert batching["applied"]["maxBatchSize"] == 4
    config = cluster.api.get("configmaps", "resnet50-triton")["data"]["config.pbtxt"]
    assert 'string_value: "4"' in config
    assert cluster.tritons.at("10.0.0.1").loads == []
