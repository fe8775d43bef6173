"""A pipeline's life in a session: placed, deployed, its ensemble loaded, balanced."""

from ferryman.api.pipelines.inference_pipeline import BalancingSpec
from ferryman.api.pipelines.step import ModelRef, StepBalance
from tests import factories
from tests.unit.handlers.pipelines.scenes import condition, prepare, put, serve, serving, status

WORKERS = {"prepare": 1, "detect": 2, "read": 1}
FIXED = factories.pipeline(
    steps=[
        step.with_(initial=StepBalance(instances=WORKERS[step.name]))
        for step in factories.pipeline().spec.steps
    ],
    balancing=BalancingSpec(mode="Fixed"),
)


def test_a_pipeline_is_placed_and_deployed_under_a_name_that_no_model_has(cluster, play):
    async def script(cluster):
        prepare(cluster)
        await cluster.settle()

    play(script)
    kinds = {index for (index, _, name) in cluster.api.objects if name == "chain-pipeline"}
    assert kinds >= {"deployments", "services", "configmaps", "networkpolicies", "Secret"}
    assert condition(cluster, "Placed")[:2] == ("True", "LeastWorkload")
    assert condition(cluster, "Ready")[:2] == ("False", "Deploying")
    assert status(cluster)["workers"] == "prepare=1 detect=1 read=1"


def test_the_ensemble_is_loaded_once_the_steps_told_what_they_are(cluster, play):
    async def script(cluster):
        prepare(cluster)
        await cluster.settle()
        unknown = cluster.api.get("configmaps", "chain-pipeline")["data"]["chain.pbtxt"]
        deployed = cluster.api.get("deployments", "chain-pipeline")
        [server] = serve(cluster, ready=False)
        await cluster.settle(10)
        return unknown, deployed, server

    unknown, deployed, server = play(script)
    assert unknown == ""
    known = cluster.api.get("configmaps", "chain-pipeline")["data"]["chain.pbtxt"]
    assert 'platform: "ensemble"' in known
    assert server.loads == [("chain", known)]
    after = cluster.api.get("deployments", "chain-pipeline")
    assert after["spec"] == deployed["spec"], "so that no pod rolls"


def test_a_pipeline_that_serves_is_ready_and_nothing_is_written_while_nothing_changes(
    cluster, play
):
    async def script(cluster):
        await serving(cluster)
        await cluster.settle(40)
        ready, before = condition(cluster, "Ready"), cluster.writes()
        await cluster.beat(700)
        return ready, before, cluster.writes()

    ready, before, after = play(script)
    assert ready[:2] == ("True", "Serving")
    assert before == after


def test_the_slow_step_gets_workers_until_what_is_asked_is_served(cluster, play):
    async def script(cluster):
        server = await serving(cluster)
        server.asked_per_s = 80.0
        await cluster.settle(120)
        return server

    server = play(script)
    found = status(cluster)
    assert server.steps["detect"].instances == 3, found
    assert found["workers"] == "prepare=1 detect=3 read=1"
    changes = found["balancing"]["changes"]
    assert [each["outcome"] for each in changes] == ["Applied"] * len(changes)
    assert found["observed"]["requestsPerSecond"] > 75
    assert condition(cluster, "ObjectivesMet")[0] == "True"


def test_a_growth_is_judged_by_what_is_served_once_it_is_in_effect(cluster, play):
    """New workers may take longer to serve than a window does."""

    async def script(cluster):
        server = await serving(cluster)
        server.load_s = 20.0
        server.asked_per_s = 80.0
        await cluster.settle(200)
        return server

    server = play(script)
    assert server.steps["detect"].instances == 3
    changes = status(cluster)["balancing"]["changes"]
    assert {(each["outcome"], each["reason"]) for each in changes} == {("Applied", "LimitingStep")}


def test_every_replica_is_changed(cluster, play):
    async def script(cluster):
        prepare(cluster, factories.pipeline(replicas=2))
        await cluster.settle()
        serve(cluster, "10.0.0.1", "10.0.0.2", ready=False)
        await cluster.settle(10)
        servers = serve(cluster, "10.0.0.1", "10.0.0.2")
        await cluster.settle(10)
        put(cluster, FIXED.with_(spec=FIXED.spec.with_(replicas=2)))
        await cluster.settle(20)
        return servers

    servers = play(script)
    assert [server.steps["detect"].instances for server in servers] == [2, 2]
    assert [server.ensemble.ready for server in servers] == [True, True]
    assert status(cluster)["readyReplicas"] == 2


def test_observe_tells_and_changes_nothing(cluster, play):
    async def script(cluster):
        pipeline = factories.pipeline(balancing=BalancingSpec(mode="Observe"))
        server = await serving(cluster, pipeline)
        server.asked_per_s = 80.0
        await cluster.settle(90)
        return server

    server = play(script)
    assert server.steps["detect"].instances == 1
    recommended = {each["step"]: each for each in status(cluster)["balancing"]["recommended"]}
    assert recommended["detect"]["instances"] > recommended["read"]["instances"]
    assert not status(cluster)["balancing"]["changes"]


def test_a_pipeline_and_a_model_of_one_name_have_nothing_in_common(cluster, play):
    async def script(cluster):
        await serving(cluster)
        cluster.model("chain")
        await cluster.settle(10)
        secrets = [
            cluster.api.objects["Secret", "default", name]["data"]["key"]
            for name in ("chain-pipeline", "chain-triton")
        ]
        both = condition(cluster, "Ready")[1], cluster.condition("Ready", "chain")[1]
        cluster.api.drop("models", "chain", "default")
        await cluster.settle(10)
        return secrets, both, condition(cluster, "Ready")[1]

    secrets, both, after = play(script)
    assert len(set(secrets)) == 2
    assert both == ("Serving", "Deploying")
    assert after == "Serving"


def test_a_model_that_a_step_takes_its_files_from_is_followed(cluster, play):
    step = factories.pipeline_step("read", "image", model=None, model_ref=ModelRef(name="m"))

    async def script(cluster):
        prepare(cluster, factories.pipeline(steps=[step]))
        await cluster.settle()
        missing = condition(cluster, "Ready")[1]
        cluster.model("m", model=factories.source("oci://registry.example/m:1", "python"))
        await cluster.settle(10)
        return missing, cluster.api.get("deployments", "chain-pipeline")

    missing, deployment = play(script)
    assert missing == "ModelNotFound"
    assert "registry.example/m:1" in repr(deployment)


def test_a_namesake_of_a_pipeline_that_was_deleted_starts_afresh(cluster, play):
    async def script(cluster):
        server = await serving(cluster)
        server.asked_per_s = 20.0
        await cluster.settle(60)
        body = put(cluster)
        body = {**body, "metadata": {**body["metadata"], "uid": "another"}, "status": {}}
        cluster.api.put("pipelines", body)
        await cluster.settle(10)

    play(script)
    deployment = cluster.api.get("deployments", "chain-pipeline")
    assert deployment["metadata"]["ownerReferences"][0]["uid"] == "another"
    assert "observed" not in status(cluster)


def test_a_pipeline_that_is_deleted_is_forgotten(cluster, play):
    async def script(cluster):
        server = await serving(cluster)
        cluster.api.drop("pipelines", "chain", "default")
        await cluster.settle(10)
        return server

    server = play(script)
    assert all(model.closed for model in server.models.values())
