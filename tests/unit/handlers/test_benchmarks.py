import json

import pytest

from ferryman.api.inference_runtime import ReferenceBenchmark
from ferryman.core.benchmark.job import CONTAINER_BENCHMARK
from ferryman.handlers import gather
from tests import factories
from tests.factories import at
from tests.fakes import pod_object, wire

LABEL = "serving.ferryman.dev/node-type"
RESULT = {
    "points": [
        {
            "batchSize": 1,
            "imagesPerSecond": 50.0,
            "latencyP50Milliseconds": 20.0,
            "latencyP99Milliseconds": 25.0,
        }
    ],
    "maxInstances": 2,
}


def only_cpu(*, measured=True):
    return factories.runtime(processors=[factories.runtime_processor("cpu")], measured=measured)


def prepare(cluster, **profile):
    cluster.api.put("runtimes", wire(only_cpu()))
    cluster.node(benchmarks=[], **profile)


def finish(cluster, message, *, kind="Complete"):
    """Do the Job controller's work: every Job ends, and its pod leaves a message."""
    for job in cluster.api.jobs.values():
        job["status"] = {"conditions": [{"type": kind, "status": "True", "message": "its words"}]}
    ended = {"terminated": {"exitCode": 0, "message": message}}
    statuses = [{"name": CONTAINER_BENCHMARK, "state": ended}]
    cluster.api.pods = [{"metadata": {"name": "p"}, "status": {"containerStatuses": statuses}}]


def tables(cluster, node="node-1"):
    return cluster.api.get("profiles", node, "")["status"].get("benchmarks", [])


async def measure(cluster, message=None):
    prepare(cluster)
    await cluster.settle(5)
    finish(cluster, json.dumps(RESULT) if message is None else message)
    await cluster.settle(15)


def test_a_node_type_that_was_not_measured_is_measured_once(cluster, play):
    async def script(cluster):
        prepare(cluster)
        cluster.node("node-2", benchmarks=[])
        await cluster.settle(60)
        return len(cluster.api.jobs)

    assert play(script) == 1, "two nodes of one type: one Job, and it is not started twice"
    assert cluster.writes()["create", "Job"] == 1


def test_the_result_goes_to_every_profile_of_the_type_and_the_job_goes_away(cluster, play):
    async def script(cluster):
        cluster.node("node-2", benchmarks=[])
        await measure(cluster)

    play(script)
    for node in ("node-1", "node-2"):
        assert tables(cluster, node)[0]["points"][0]["imagesPerSecond"] == 50.0
    assert cluster.api.jobs == {}
    assert cluster.writes()["create", "Job"] == 1, "what was just measured is not measured again"


@pytest.mark.parametrize(
    ("message", "kind", "words"),
    [
        pytest.param('{"error": "no memory"}', "Failed", "no memory", id="the client says why"),
        pytest.param("Segmentation fault", "Failed", "Segmentation", id="the end of its log"),
        pytest.param("", "Failed", "its words", id="no message: what the Job says"),
        pytest.param("", "Complete", "its words", id="success without a result is a failure"),
    ],
)
def test_a_failure_is_published_and_tried_again_later(cluster, play, message, kind, words):
    async def script(cluster):
        prepare(cluster)
        await cluster.settle(5)
        finish(cluster, message, kind=kind)
        await cluster.settle(60)
        soon = cluster.writes()["create", "Job"]
        await cluster.beat(700, benchmarks=tables_of(cluster))
        return soon

    def tables_of(cluster):
        from ferryman.api.node_profile import Benchmark  # noqa: PLC0415

        return [Benchmark.model_validate(table) for table in tables(cluster)]

    assert play(script) == 1, "not at once"
    assert cluster.writes()["create", "Job"] == 2, "but after ten minutes"
    assert words in tables(cluster)[0]["error"]


def test_an_init_container_that_failed_says_why_nothing_was_measured(cluster, play):
    def fail_early(cluster):
        words = {"exitCode": 255, "message": "exec /bin/sh: exec format error"}
        layout = {"name": "layout", "image": "x:1", "state": {"terminated": words}}
        client = {"name": CONTAINER_BENCHMARK, "state": {"waiting": {"reason": "PodInitializing"}}}
        status = {"initContainerStatuses": [layout], "containerStatuses": [client]}
        cluster.api.pods = [{"metadata": {"name": "p"}, "status": status}]

    async def failing(cluster):
        prepare(cluster)
        await cluster.settle(5)
        finish(cluster, "", kind="Failed")
        fail_early(cluster)
        await cluster.settle(15)
        return tables(cluster)[0]["error"]

    assert "the image x:1 is not made for the node's processor architecture" in play(failing)


def test_a_benchmark_that_its_runtime_makes_impossible_is_said_once(cluster, play):
    model = factories.source("oci://ferryman/resnet50:test").with_(config={"no_such_field": 1})
    broken = factories.runtime(
        processors=[factories.runtime_processor("cpu")], benchmark=ReferenceBenchmark(model=model)
    )

    async def script(cluster):
        cluster.api.put("runtimes", wire(broken))
        cluster.node(benchmarks=[])
        await cluster.settle(60)

    play(script)
    assert "no_such_field" in tables(cluster)[0]["error"]
    assert cluster.writes()["apply", "NodeProfile/status"] == 1
    assert cluster.api.jobs == {}


def test_models_are_placed_as_soon_as_the_benchmark_is_there(cluster, play):
    async def script(cluster):
        cluster.model()
        await measure(cluster)

    play(script)
    assert cluster.condition("Placed") == ("True", "LeastWorkload")


def test_nodes_are_labelled_with_their_type_once(cluster, play):
    async def script(cluster):
        cluster.node()
        await cluster.beat(120)

    play(script)
    assert cluster.api.get("nodes", "node-1", "")["metadata"]["labels"] == {LABEL: "cpu-small"}
    assert cluster.writes()["apply", "Node"] == 1


def test_a_node_whose_hardware_changed_gets_another_label(cluster, play):
    async def script(cluster):
        cluster.node()
        await cluster.settle(15)
        cluster.heartbeat(node_type="cpu-large")
        await cluster.settle(15)

    play(script)
    assert cluster.api.get("nodes", "node-1", "")["metadata"]["labels"] == {LABEL: "cpu-large"}


def test_without_an_image_of_our_own_nothing_is_measured(cluster, play):
    cluster.image = ""

    async def script(cluster):
        prepare(cluster)
        await cluster.settle(60)

    play(script)
    assert cluster.api.jobs == {}


def test_a_runtime_without_a_benchmark_is_not_measured(cluster, play):
    async def script(cluster):
        cluster.api.put("runtimes", wire(only_cpu(measured=False)))
        cluster.node(benchmarks=[])
        await cluster.settle(60)

    play(script)
    assert cluster.api.jobs == {}


def waiting_pod(lack):
    words = f"0/1 nodes are available: 1 Insufficient {lack}."
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}
    pod = pod_object(node="", ready=False, conditions=[{**condition, "message": words}])
    return {**pod, "status": {**pod["status"], "phase": "Pending", "podIP": ""}}


def place(cluster, node_type):
    """Put a model that is placed on a node type."""
    body = cluster.model()
    placement = {"nodeType": node_type, "processor": "cpu", "since": at(-600), "reason": "x"}
    placement |= {"message": "x", "candidates": []}
    cluster.api.put("models", {**body, "status": {"placement": placement}})


@pytest.mark.parametrize(
    ("node_type", "lack", "gives_way"),
    [
        pytest.param("cpu-small", "cpu", True, id="CPU, where the benchmark runs"),
        pytest.param("cpu-small", "nvidia.com/gpu", False, id="a device that it does not hold"),
        pytest.param("cpu-large", "cpu", False, id="on another node type"),
    ],
)
def test_a_benchmark_gives_way_to_a_serving_pod_and_is_no_failure(
    cluster, play, node_type, lack, gives_way
):
    async def script(cluster):
        prepare(cluster)
        await cluster.settle(5)
        assert len(cluster.api.jobs) == 1
        place(cluster, node_type)
        cluster.api.put("pods", waiting_pod(lack))
        await cluster.settle(2)
        assert len(cluster.api.jobs) == (0 if gives_way else 1), "at once"
        await cluster.settle(30)
        while_it_waits = len(cluster.api.jobs)
        cluster.api.put("pods", pod_object())
        await cluster.settle(30)
        return while_it_waits

    assert play(script) == (0 if gives_way else 1)
    assert tables(cluster) == [], "nothing is recorded"
    assert len(cluster.api.jobs) == 1, "and it is measured once nobody waits"
    assert cluster.writes().get(("delete", "Job"), 0) == (1 if gives_way else 0)


def test_a_job_that_is_not_ours_is_left_alone(cluster, play, caplog):
    stranger = {"metadata": {"name": "stranger"}, "status": {}}

    async def script(cluster):
        cluster.api.jobs["stranger"] = stranger
        await measure(cluster)

    cluster.api.jobs["stranger"] = stranger
    play(script)
    assert "stranger" in cluster.api.jobs
    assert "not one of ours" in caplog.text


def test_a_look_that_breaks_is_logged_and_does_not_end_the_looking(cluster, play, caplog):
    async def script(cluster):
        list_jobs, broken = cluster.api.list_jobs, [True]

        async def breaks_once(*arguments):
            if broken:
                raise KeyError(broken.pop())
            return await list_jobs(*arguments)

        cluster.api.list_jobs = breaks_once
        prepare(cluster)
        await cluster.settle(30)

    play(script)
    assert "the look at the benchmarks failed" in caplog.text
    assert cluster.writes()["create", "Job"] == 1


# Prices


def price(cluster, node="node-1"):
    return cluster.api.get("profiles", node, "")["status"].get("pricePerHour")


def test_the_prices_that_the_operator_was_told_are_published_by_node_type_and_once(cluster, play):
    cluster.prices = {"cpu-small": 2.5, "elsewhere": 7.0}

    async def script(cluster):
        cluster.node(benchmarks=[])
        cluster.node("node-2", benchmarks=[])
        cluster.node("large-1", "cpu-large", benchmarks=[])
        await cluster.settle(60)

    play(script)
    assert [price(cluster, name) for name in ("node-1", "node-2", "large-1")] == [2.5, 2.5, None]
    assert cluster.writes()["apply", "NodeProfile/status"] == 2


@pytest.mark.parametrize(
    ("told", "shown"),
    [
        pytest.param({}, None, id="there is none any more"),
        pytest.param({"cpu-small": 3.0}, 3.0, id="it is another"),
        pytest.param({"cpu-small": 0.0}, 0.0, id="it costs nothing now"),
    ],
)
def test_a_price_of_before_is_replaced_and_the_tables_stay(cluster, play, told, shown):
    cluster.prices = told

    async def script(cluster):
        cluster.node(price_per_hour=2.5)
        before = tables(cluster)
        await cluster.settle(15)
        return before

    assert play(script) == tables(cluster)
    assert price(cluster) == shown


def test_with_prices_no_node_is_made_anew_that_has_not_changed(cluster, play, monkeypatch):
    """Reconciles, rebalancing and benchmarks look at the same nodes: they are made once for all."""
    built = []
    make = gather._node_view
    monkeypatch.setattr(
        gather, "_node_view", lambda *parts, **said: built.append(parts) or make(*parts, **said)
    )
    cluster.prices = {"cpu-small": 2.5}

    async def script(cluster):
        prepare(cluster, price_per_hour=2.5)
        cluster.model()
        await cluster.settle(5)
        first = len(built)
        for replicas in (2, 3, 2):
            cluster.model(replicas=replicas)
            await cluster.settle(15)
        return first

    first = play(script)
    assert first
    assert len(built) == first
