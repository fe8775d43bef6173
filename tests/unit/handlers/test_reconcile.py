"""What one reconcile does, and that it rests."""

import copy
import hashlib
import hmac

import pytest

from tests import factories
from tests.fakes import wire
from tests.unit.handlers.cluster import MASTER_KEY
from tests.unit.handlers.scenes import SERVING, prepare, serving


def test_a_new_model_is_placed_and_its_objects_are_applied_once_each(cluster, play):
    async def script(cluster):
        prepare(cluster)
        await cluster.settle()

    play(script)
    applied = {kind: n for (verb, kind), n in cluster.writes().items() if verb == "apply"}
    assert {kind: applied[kind] for kind in SERVING} == dict.fromkeys(SERVING, 1)
    assert cluster.condition("Placed") == ("True", "LeastWorkload")
    assert cluster.condition("Reconciling") == ("True", "Deploying")
    assert cluster.api.events[0][:3] == ("resnet50", "Normal", "LeastWorkload")


def test_the_decision_is_written_down_before_anything_is_carried_out(cluster, play):
    order = []

    async def script(cluster):
        written = cluster.api._written

        def note(verb, kind):
            order.append(kind)
            written(verb, kind)

        cluster.api._written = note
        prepare(cluster)
        await cluster.settle()

    play(script)
    about_the_model = [kind for kind in order if kind != "Node"]
    assert about_the_model[0] == "InferenceModel/status"
    assert about_the_model.index("Deployment") > about_the_model.index("Secret")


def test_a_model_whose_pods_are_ready_is_ready(cluster, play):
    play(serving)
    assert cluster.condition("Ready") == ("True", "Serving")
    assert cluster.condition("ModelLoaded") == ("True", "ModelLoaded")
    assert cluster.condition("Reconciling") is None


def test_when_nothing_changes_nothing_is_written(cluster, play):
    async def script(cluster):
        await serving(cluster)
        await cluster.beat(60)
        before = cluster.writes()
        await cluster.beat(3600)
        return before

    before = play(script)
    assert cluster.writes() == before, "an hour of heartbeats and idle windows"


def test_after_a_restart_objects_are_applied_anew_but_no_status_and_no_event(cluster, play):
    async def script(cluster):
        await serving(cluster)
        before, events = cluster.writes(), list(cluster.api.events)
        await cluster.end()
        await cluster.begin()
        await cluster.settle(10)
        return before, events

    before, events = play(script)
    after = cluster.writes()
    assert {kind for kind in after if after[kind] != before.get(kind)} == {
        ("apply", kind) for kind in SERVING
    }
    assert cluster.api.events == events


@pytest.mark.parametrize(
    "kind", ["deployments", "services", "configmaps", "networkpolicies", "poddisruptionbudgets"]
)
def test_a_serving_object_that_somebody_deletes_is_put_back(cluster, play, kind):
    async def script(cluster):
        await serving(cluster)
        cluster.api.drop(kind, "resnet50-triton", "default")
        await cluster.settle()

    play(script)
    assert cluster.api.get(kind, "resnet50-triton") is not None


@pytest.mark.parametrize("kind", ["deployments", "services"])
def test_a_serving_object_that_somebody_edits_is_put_right(cluster, play, kind):
    async def script(cluster):
        await serving(cluster)
        await cluster.settle(60)
        edited = copy.deepcopy(cluster.api.get(kind, "resnet50-triton"))
        edited["metadata"]["generation"] = edited["metadata"].get("generation", 1) + 1
        right, edited["spec"] = edited["spec"], {"replicas": 7}
        cluster.api.put(kind, edited)
        await cluster.settle()
        return right

    right = play(script)
    assert cluster.api.get(kind, "resnet50-triton")["spec"] == right


def test_a_secret_that_vanished_is_put_back_when_pods_get_into_trouble(cluster, play):
    async def script(cluster):
        await serving(cluster)
        before = cluster.writes()["apply", "Secret"]
        del cluster.api.objects["Secret", "default", "resnet50-triton"]
        waiting = {"reason": "CreateContainerConfigError", "message": "secret not found"}
        container = {"name": "triton", "ready": False, "state": {"waiting": waiting}}
        pod = cluster.api.get("pods", "resnet50-triton-10.0.0.1")
        status = {**pod["status"], "containerStatuses": [container], "conditions": []}
        cluster.api.put("pods", {**pod, "status": status})
        await cluster.settle(120)
        return before

    before = play(script)
    assert cluster.writes()["apply", "Secret"] == before + 1, "once, not at every look"


def test_a_model_that_is_created_anew_gets_another_control_key(cluster, play):
    async def script(cluster):
        prepare(cluster)
        await cluster.settle()
        first = cluster.api.objects["Secret", "default", "resnet50-triton"]["data"]
        cluster.api.drop("models", "resnet50", "default")
        await cluster.settle()
        body = wire(factories.model())
        body["metadata"]["uid"] = "another-uid"
        cluster.api.put("models", body)
        await cluster.settle()
        return first, cluster.api.objects["Secret", "default", "resnet50-triton"]["data"]

    first, second = play(script)
    assert first != second


def test_the_control_key_is_derived_from_the_master_key_and_the_models_identity(cluster, play):
    keys = []
    connect = cluster.tritons.connect

    def note(ip, model, control_key):
        keys.append(control_key)
        return connect(ip, model, control_key)

    cluster.tritons.connect = note
    play(serving)
    identity = b"default/resnet50/uid-resnet50"
    assert set(keys) == {hmac.new(MASTER_KEY, identity, hashlib.sha256).hexdigest()}


def test_the_metrics_show_the_model_and_forget_it_when_it_is_gone(cluster, play):
    async def script(cluster):
        await serving(cluster)
        labels = {"namespace": "default", "model": "resnet50"}
        sample = cluster.metrics.registry.get_sample_value
        seen = [
            sample("ferryman_model_max_batch_size", labels),
            sample("ferryman_model_latency_target_milliseconds", labels),
            sample("ferryman_models_placed", {"node_type": "cpu-small"}),
        ]
        cluster.api.drop("models", "resnet50", "default")
        await cluster.settle()
        return seen, [
            sample("ferryman_model_max_batch_size", labels),
            sample("ferryman_models_placed", {"node_type": "cpu-small"}),
        ]

    assert play(script) == ([8, 50, 1], [None, 0])


def test_connections_to_the_pods_of_a_deleted_model_are_closed(cluster, play):
    async def script(cluster):
        await serving(cluster)
        cluster.api.drop("models", "resnet50", "default")
        await cluster.settle()

    play(script)
    assert cluster.tritons.at("10.0.0.1").closed


def test_two_models_of_one_name_in_two_namespaces_do_not_mix(cluster, play):
    async def script(cluster):
        prepare(cluster)
        twin = wire(factories.model(namespace="other"))
        twin["metadata"]["uid"] = "uid-twin"
        cluster.api.put("models", twin)
        await cluster.settle()

    play(script)
    owners = {
        namespace: cluster.api.get("deployments", "resnet50-triton", namespace)["metadata"][
            "ownerReferences"
        ][0]["uid"]
        for namespace in ("default", "other")
    }
    assert owners == {"default": "uid-resnet50", "other": "uid-twin"}
