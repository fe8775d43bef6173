"""The operator on a real API server, with no more permissions than the installation gives it."""

import time
from itertools import count

import pytest

from tests.integration.operators import (
    NAMESPACE,
    SERVING,
    await_served,
    versions,
    wait_for,
    wait_until_still,
)

pytestmark = pytest.mark.integration


@pytest.fixture(autouse=True)
def _cluster(fresh):
    """Every test finds two node types and a runtime."""


def test_a_model_gets_its_objects_and_a_status_that_tells_why(objects, operator):
    objects.model("digits")
    deployment = await_served(objects, "digits")

    model = objects.get("inferencemodel", "digits", "default")
    for kind in SERVING:
        owner = objects.get(kind, "digits-triton", "default")["metadata"]["ownerReferences"][0]
        assert (owner["kind"], owner["uid"]) == ("InferenceModel", model["metadata"]["uid"]), kind
    affinity = deployment["spec"]["template"]["spec"]["affinity"]["nodeAffinity"]
    required = affinity["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
    assert required[0]["matchExpressions"] == [
        {"key": "serving.ferryman.dev/node-type", "operator": "In", "values": ["cpu-large"]}
    ]
    status = model["status"]
    assert objects.condition("digits", "Placed") == ("True", "LeastWorkload")
    assert status["placement"]["nodeType"] == "cpu-large", "twice as fast, equally busy"
    reasons = {c["nodeType"]: c["reason"] for c in status["placement"]["candidates"]}
    assert reasons == {"cpu-large": "LeastWorkload", "cpu-small": "MoreWorkload"}
    assert status["target"] == "p99 ≤ 50 ms"
    assert "finalizers" not in model["metadata"]
    assert "annotations" not in model["metadata"], "the test applies on the server's side"


def test_nodes_are_labelled_with_their_type(objects, operator):
    def labels():
        return {
            node["metadata"]["name"]: node["metadata"]["labels"].get(
                "serving.ferryman.dev/node-type"
            )
            for node in objects.list("nodes")
        }

    expected = {"node-1": "cpu-small", "node-2": "cpu-large"}
    wait_for("nodes are labelled", lambda: expected.items() <= labels().items())


def test_an_event_tells_of_the_placement(objects, operator):
    objects.model("told")

    def events():
        found = objects.list("events", "default")
        return [e for e in found if e["involvedObject"]["name"] == "told"]

    event = wait_for("an event", events)[0]
    assert (event["type"], event["reason"]) == ("Normal", "LeastWorkload")
    assert event["count"] == 1

    objects.patch_status("inferencemodel", "told", {"placement": None})
    wait_for("told again it is counted", lambda: 2 in [e["count"] for e in events()])


def test_when_nothing_changes_nothing_is_written(objects, operator):
    objects.model("quiet")
    await_served(objects, "quiet")

    def seen():
        return versions(objects, "quiet"), operator.writes()

    before = wait_until_still(seen)
    for _ in range(5):  # an agent's reports are no changes
        objects.profile("node-1", "cpu-small", utilisation=0.3, images_per_second=0)
        time.sleep(2)
    assert seen() == before


def test_two_models_of_one_name_in_two_namespaces_do_not_mix(objects, operator):
    for namespace in ("team-a", "team-b"):
        objects.namespace(namespace)
    for namespace in ("team-a", "team-b"):
        objects.model("twin", namespace)
    owners = {
        namespace: await_served(objects, "twin", namespace)["metadata"]["ownerReferences"][0]["uid"]
        for namespace in ("team-a", "team-b")
    }
    uids = {
        namespace: objects.get("inferencemodel", "twin", namespace)["metadata"]["uid"]
        for namespace in ("team-a", "team-b")
    }
    assert owners == uids
    keys = {
        str(objects.get("secret", "twin-triton", namespace)["data"])
        for namespace in ("team-a", "team-b")
    }
    assert len(keys) == 2, "each has a control key of its own"


def test_an_unknown_runtime_is_a_condition_until_it_appears(objects, operator):
    objects.model("early", runtime="late")
    wait_for("it stalls", lambda: objects.condition("early", "Stalled"))
    assert objects.condition("early", "Stalled") == ("True", "RuntimeNotFound")
    assert objects.served("early") is None
    for node, node_type in (("node-1", "cpu-small"),):
        objects.profile(node, node_type, runtime="late")
    objects.runtime("late")
    await_served(objects, "early")
    wait_for("it recovers", lambda: objects.condition("early", "Stalled") is None)


def test_a_service_that_somebody_deletes_is_put_back(objects, operator):
    objects.model("robbed")
    await_served(objects, "robbed")
    objects.delete("service", "robbed-triton", "default")
    wait_for("it is back", lambda: objects.get("service", "robbed-triton", "default"))


def test_a_deployment_that_somebody_edits_is_put_right(objects, operator):
    objects.model("edited")
    await_served(objects, "edited")
    objects.plane.kubectl("scale", "deployment", "edited-triton", "--replicas=5")
    wait_for("it is put right", lambda: objects.served("edited")["spec"]["replicas"] == 1)


def test_a_change_of_replicas_reaches_the_deployment(objects, operator):
    objects.model("scaled")
    await_served(objects, "scaled")
    objects.plane.kubectl("scale", "inferencemodel", "scaled", "--replicas=3")
    wait_for("it is scaled", lambda: objects.served("scaled")["spec"]["replicas"] == 3)


def test_a_model_whose_node_type_vanishes_is_placed_anew_or_has_no_candidate(objects, operator):
    objects.node("node-3")
    objects.profile("node-3", "cpu-fast", images_per_second=1000.0, utilisation=0.0)
    names = (f"moving-{number}" for number in count(1))
    name = wait_for(
        "a model is on the fast node", lambda: _placed_on(objects, "cpu-fast", next(names)), 60
    )
    objects.delete("nodeprofile", "node-3")
    objects.delete("node", "node-3")
    wait_for("it is placed anew", lambda: _node_type(objects, name) in {"cpu-small", "cpu-large"})
    affinity = str(objects.served(name)["spec"]["template"]["spec"]["affinity"])
    wait_for(
        "its Deployment follows",
        lambda: "cpu-fast" not in str(objects.served(name)["spec"]["template"]["spec"]),
    )
    assert affinity


def _placed_on(objects, node_type, name):
    """Create a model; return its name if it was placed there.

    The operator may be told of a new node type later than of the model.
    """
    objects.model(name)
    placed = wait_for(f"{name} is placed", lambda: _node_type(objects, name))
    return name if placed == node_type else None


def _node_type(objects, name):
    return objects.status(name).get("placement", {}).get("nodeType")


def test_health_readiness_and_metrics_are_served(objects, operator):
    assert operator.get("/healthz") == (200, "ok")
    assert operator.get("/readyz") == (200, "ok")
    objects.model("measured")
    await_served(objects, "measured")
    page = operator.get("/metrics")[1]
    assert 'ferryman_models_placed{node_type="cpu-large"}' in page
    assert 'ferryman_model_max_batch_size{model="measured",namespace="default"} 64.0' in page


def test_the_log_is_json_and_holds_no_secret(objects, operator):
    objects.model("secretive")
    await_served(objects, "secretive")
    wait_for("the decision is logged", lambda: _decisions(operator, "default/secretive"))
    assert not [line for line in operator.lines() if "raw" in line]
    secret = objects.get("secret", "ferryman-master-key", NAMESPACE)["data"]
    for value in secret.values():
        assert value not in operator.log_path.read_text()


def _decisions(operator, model):
    return [
        line
        for line in operator.lines()
        if line["message"] == "decided" and line["model"] == model and line["node_type"]
    ]
