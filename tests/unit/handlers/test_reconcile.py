import asyncio
import copy
import hashlib
import hmac

import pytest

from ferryman.api import names
from ferryman.api.batching import Batching, BatchingSpec
from ferryman.api.conditions import Reason
from ferryman.api.inference_model import PlacementSpec, ResourceRequirements, RuntimeRef
from ferryman.api.inference_runtime import RuntimeLiveCap
from ferryman.clients.kubernetes_errors import ForbiddenError, PermanentError, TemporaryError
from ferryman.clients.triton import ConfigRefused
from ferryman.core import render, timestamps
from ferryman.core.batching import tuning
from ferryman.core.placement.validity import COMPARE_AGAIN_S
from ferryman.core.tuners.needs import Replicas, Unattainable
from ferryman.core.tuners.select import TuneDecision
from ferryman.handlers.gather import Nodes
from ferryman.handlers.reservations import Reservations
from ferryman.handlers.watch import Concern, EventMapper
from tests import factories
from tests.fakes import node_object, now, pod_object, run_virtually, wire
from tests.unit.handlers.cluster import MASTER_KEY, Cluster

SERVING = {"Secret", "ConfigMap", "NetworkPolicy", "Service", "Deployment"}
KEY = ("default", "resnet50")
#: What readiness says one after the other of a specification that changes what serves.
ROLLED_OUT = [("False", "Applying"), ("False", "Deploying"), ("True", "Serving")]


def prepare(cluster):
    """One node type, one runtime and one model."""
    cluster.api.put("runtimes", wire(factories.runtime()))
    cluster.node()
    cluster.model()


async def serving(cluster):
    prepare(cluster)
    await cluster.settle()
    cluster.serve()
    await cluster.settle(10)


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


@pytest.mark.parametrize("kind", ["deployments", "services", "configmaps", "networkpolicies"])
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


def test_an_unknown_runtime_is_a_condition_and_the_model_recovers_when_it_appears(cluster, play):
    async def script(cluster):
        cluster.node()
        cluster.model()
        await cluster.settle()
        before = cluster.condition("Stalled"), set(cluster.writes())
        cluster.api.put("runtimes", wire(factories.runtime()))
        await cluster.settle()
        return before

    stalled, writes = play(script)
    assert stalled == ("True", "RuntimeNotFound")
    assert not writes & {("apply", kind) for kind in SERVING}
    assert cluster.condition("Placed") == ("True", "LeastWorkload")


def test_a_node_type_that_vanishes_leaves_the_model_without_a_candidate(cluster, play):
    async def script(cluster):
        await serving(cluster)
        cluster.api.drop("profiles", "node-1")
        cluster.api.drop("nodes", "node-1")
        await cluster.settle()

    play(script)
    status, reason = cluster.condition("Placed")
    assert (status, reason) == ("False", "NoNodeProfile")
    assert cluster.api.get("deployments", "resnet50-triton") is not None, "what serves stays"


def test_a_model_is_placed_anew_where_another_node_type_is_left(cluster, play):
    async def script(cluster):
        await serving(cluster)
        cluster.node("node-2", "cpu-large")
        await cluster.settle()
        cluster.api.drop("profiles", "node-1")
        cluster.api.drop("nodes", "node-1")
        await cluster.settle()

    play(script)
    assert cluster.status()["placement"]["nodeType"] == "cpu-large"


@pytest.mark.parametrize("position", range(8))
def test_a_write_that_fails_is_tried_again_and_the_end_is_the_same(position):
    def end_of(errors):
        cluster = Cluster()

        async def main():
            await place_while(cluster, errors)
            await cluster.settle(30)
            await cluster.end()

        run_virtually(main())
        return normalised(cluster)

    assert end_of([*[None] * position, TemporaryError("busy")]) == end_of([])


@pytest.mark.parametrize("position", range(8))
def test_an_operator_that_dies_at_any_write_leaves_what_the_next_one_completes(position):
    def end_of(errors):
        cluster = Cluster()

        async def main():
            await place_while(cluster, errors)
            await cluster.settle(0.2)
            cluster.api.fail_next = []
            await cluster.end()
            await cluster.begin()
            await cluster.settle(30)
            await cluster.end()

        run_virtually(main())
        return normalised(cluster)

    hang = [*[None] * position, *[TemporaryError("dead")] * 100]
    assert end_of(hang) == end_of([])


async def place_while(cluster, errors):
    """Begin, and create a model whose next writes end as told."""
    await cluster.begin()
    cluster.api.put("runtimes", wire(factories.runtime()))
    cluster.node()
    await cluster.settle()
    cluster.api.fail_next = errors
    cluster.model()


def normalised(cluster):
    """Return all objects without versions, uids and times."""
    dropped = {"resourceVersion", "uid", "generation", "since", "lastTransitionTime"}

    def strip(value):
        if isinstance(value, dict):
            return {k: strip(v) for k, v in sorted(value.items()) if k not in dropped}
        return [strip(entry) for entry in value] if isinstance(value, list | tuple) else value

    objects = {key: strip(body) for key, body in cluster.api.objects.items()}
    objects.pop(("Secret", "default", "resnet50-triton"))  # its key depends on the uid
    return objects


def test_a_watch_that_lags_behind_makes_no_decision_twice(cluster, play):
    async def script(cluster):
        cluster.api.put("runtimes", wire(factories.runtime()))
        cluster.node()
        cluster.model()
        cluster.api.delay_watch = True
        await cluster.settle(20)
        cluster.api.catch_up()
        cluster.api.delay_watch = False
        await cluster.settle(20)

    play(script)
    assert [event[2] for event in cluster.api.events] == ["LeastWorkload"]
    assert cluster.writes()["apply", "Deployment"] == 1


def test_an_object_that_cannot_be_read_is_stalled_and_heals_when_it_can(cluster, play):
    async def script(cluster):
        prepare(cluster)
        await cluster.settle()
        broken = copy.deepcopy(cluster.api.get("models", "resnet50"))
        broken["spec"]["objectives"] = {"latency": {"targetMilliseconds": "soon"}}
        cluster.api.put("models", broken)
        await cluster.settle()
        seen = cluster.condition("Stalled"), cluster.condition("Ready"), cluster.writes()
        kept = cluster.status()["placement"]["nodeType"]
        message = next(
            c["message"] for c in cluster.status()["conditions"] if c["type"] == "Stalled"
        )
        await cluster.beat(700)
        again = cluster.writes()
        cluster.model()
        await cluster.settle()
        return *seen, kept, message, again

    stalled, ready, writes, kept, message, again = play(script)
    assert stalled == ("True", "InvalidSpec")
    assert ready == ("False", "InvalidSpec")
    assert "spec.objectives.latency.targetMilliseconds" in message
    assert kept == "cpu-small", "the rest of the status stays"
    assert writes == again, "told once"
    assert cluster.condition("Stalled") is None


@pytest.mark.parametrize(
    "status", [{"conditions": "none"}, {"placement": 7}, {"batching": {"applied": "x"}}]
)
def test_a_status_that_cannot_be_read_does_not_stop_the_operator(cluster, play, status):
    async def script(cluster):
        prepare(cluster)
        await cluster.settle()
        broken = {**cluster.api.get("models", "resnet50"), "status": status}
        cluster.api.put("models", broken)
        cluster.model("other")
        await cluster.settle(5)

    play(script)
    assert cluster.condition("Placed", "other") == ("True", "LeastWorkload")


def test_a_model_deleted_while_it_is_reconciled_ends_quietly(cluster, play, caplog):
    async def script(cluster):
        prepare(cluster)
        await asyncio.sleep(0)
        cluster.api.drop("models", "resnet50", "default")
        await cluster.settle(60)

    play(script)
    assert ("default", "resnet50") not in cluster.api.indices["models"]
    assert "tried again" not in caplog.text


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


def test_models_created_together_do_not_all_go_to_the_node_that_was_idle(cluster, play):
    async def script(cluster):
        cluster.api.put("runtimes", wire(factories.runtime()))
        cluster.node("node-1", "type-a")
        cluster.node("node-2", "type-b")
        await cluster.settle()
        for n in range(4):
            cluster.model(f"model-{n}")
        await cluster.settle()

    play(script)
    chosen = [cluster.status(f"model-{n}")["placement"]["nodeType"] for n in range(4)]
    assert sorted(chosen) == ["type-a", "type-a", "type-b", "type-b"]


@pytest.mark.parametrize(
    ("config", "first", "second"),
    [
        pytest.param({}, "cpu-small", None, id="a model that will be deployed"),
        pytest.param({"nonsense": 1}, "cpu-small", "cpu-small", id="one whose pods will not come"),
    ],
)
def test_what_is_placed_is_reserved_until_its_pods_show_it(cluster, play, config, first, second):
    """No pod is ever seen here; a node has four cores."""
    most = ResourceRequirements(requests={"cpu": "3"})

    async def script(cluster):
        cluster.api.put("runtimes", wire(factories.runtime()))
        cluster.node()
        cluster.model("first", resources=most, model=factories.source(config=config))
        await cluster.beat(120)
        cluster.model("second", resources=most)
        await cluster.settle()

    play(script)
    placed = [cluster.status(name)["placement"].get("nodeType") for name in ("first", "second")]
    assert placed == [first, second]


def fixed(size):
    return BatchingSpec(mode="Fixed", initial=Batching(max_batch_size=size))


def test_a_change_of_the_specification_reaches_running_pods_and_then_the_configmap(cluster, play):
    async def script(cluster):
        await serving(cluster)
        cluster.model(batching=fixed(16))
        await cluster.settle()

    play(script)
    assert cluster.tritons.at("10.0.0.1").batching.max_batch_size == 16
    assert cluster.status()["batching"]["applied"]["maxBatchSize"] == 16
    change = cluster.status()["batching"]["changes"][0]
    assert (change["outcome"], change["reason"]) == ("Applied", "SpecChanged")
    config = cluster.api.get("configmaps", "resnet50-triton")["data"]["config.pbtxt"]
    assert "max_batch_size: 16" in config
    assert cluster.writes()["apply", "Deployment"] == 1, "no rollout"


def test_a_change_that_triton_refuses_is_reported_and_not_tried_again_soon(cluster, play):
    async def script(cluster):
        await serving(cluster)
        cluster.tritons.at("10.0.0.1").refusal = ConfigRefused("out of memory")
        cluster.model(batching=fixed(16))
        await cluster.beat(300)

    play(script)
    batching = cluster.status()["batching"]
    assert batching["applied"]["maxBatchSize"] == 8
    assert [c["outcome"] for c in batching["changes"]] == ["Refused"]
    assert "out of memory" in batching["changes"][0]["message"]


def test_a_pod_that_came_up_otherwise_is_converged(cluster, play):
    async def script(cluster):
        await serving(cluster)
        cluster.tritons.at("10.0.0.1").batching = Batching(max_batch_size=2)
        await cluster.beat(700)

    play(script)
    assert cluster.tritons.at("10.0.0.1").batching.max_batch_size == 8
    assert cluster.status()["batching"]["changes"][0]["reason"] == "Drifted"


def test_observations_reach_the_status(cluster, play):
    async def script(cluster):
        await serving(cluster)
        cluster.tritons.at("10.0.0.1").requests_per_s = 50.0
        await cluster.beat(120)

    play(script)
    assert cluster.condition("ObjectivesMet") == ("True", "Met")
    assert cluster.status()["observed"]["inferencesPerSecond"] == 50


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


def test_an_event_that_cannot_be_posted_is_no_reason_to_decide_again(cluster, play, caplog):
    async def script(cluster):
        async def post_event(*_arguments):
            raise PermanentError("events are forbidden", status=403)

        cluster.api.post_event = post_event
        prepare(cluster)
        await cluster.settle()

    play(script)
    assert cluster.writes()["apply", "Deployment"] == 1
    assert "an event was not posted" in caplog.text


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


def test_a_runtime_that_names_itself_differently_is_found_by_its_reference(cluster, play):
    async def script(cluster):
        prepare(cluster)
        cluster.model("other", runtime_ref=RuntimeRef(name="missing"))
        await cluster.settle()
        return now()

    play(script)
    assert cluster.condition("Stalled", "other") == ("True", "RuntimeNotFound")
    assert cluster.condition("Placed") == ("True", "LeastWorkload")


async def overloaded(cluster):
    """Serve 100 requests a second and reject 40 more."""
    prepare(cluster)
    cluster.model(batching=BatchingSpec(on_overload="Reject"))
    await cluster.settle()
    server = cluster.tritons.at("10.0.0.1")
    server.requests_per_s, server.rejected_per_s = 100.0, 40.0
    cluster.serve()
    await cluster.beat(60)
    return server


def gauge(cluster, name):
    labels = {"namespace": "default", "model": "resnet50"}
    return cluster.metrics.registry.get_sample_value(f"ferryman_model_{name}", labels)


def test_rejected_requests_are_shown_and_raise_the_condition_while_they_last(cluster, play):
    async def script(cluster):
        server = await overloaded(cluster)
        during = (
            cluster.condition("NeedsCapacity"),
            cluster.status()["observed"]["rejectedRequests"],
            gauge(cluster, "rejected_requests"),
            cluster.status()["observed"]["failedRequests"],
        )
        server.rejected_per_s = 0.0
        await cluster.beat(60)
        return (*during, gauge(cluster, "rejected_requests"))

    condition, rejected, shown, failed, shown_after = play(script)
    assert condition == ("True", "NeedsCapacity")
    # A window of 140 requests a second ends after 8 s.
    assert rejected == shown == 8 * 40
    assert failed == 0
    assert cluster.condition("NeedsCapacity") is None
    assert shown_after == 0
    reasons = [event[2] for event in cluster.api.events]
    assert reasons.count("NeedsCapacity") == reasons.count("CapacitySuffices") == 1


def test_an_hour_of_steady_rejections_writes_nothing(cluster, play):
    async def script(cluster):
        await overloaded(cluster)
        before = cluster.writes()
        await cluster.beat(3600)
        return before

    before = play(script)
    assert cluster.writes() == before


def test_where_no_number_of_replicas_would_do_there_is_a_reason_and_no_code(
    cluster, play, monkeypatch
):
    why = "even a batch of one takes too long"

    def needs_a_miracle(_spec, _objectives, applied, _window, state):
        return TuneDecision(applied, Reason.NEEDS_CAPACITY, "m", state, needs=Unattainable(why))

    monkeypatch.setattr(tuning, "tune", needs_a_miracle)

    async def script(cluster):
        prepare(cluster)
        await cluster.settle()
        shown = [gauge(cluster, "desired_replicas")]
        cluster.tritons.at("10.0.0.1").requests_per_s = 100.0
        cluster.serve()
        await cluster.beat(60)
        return [*shown, gauge(cluster, "desired_replicas"), gauge(cluster, "needed_replicas")]

    assert play(script) == [1.0, 1.0, None]
    batching = cluster.status()["batching"]
    assert ("neededReplicas" in batching, batching["unattainable"]) == (False, why)
    assert cluster.condition("NeedsCapacity") == ("True", "NeedsCapacity")


def test_needed_replicas_are_shown_until_there_are_to_be_so_many(cluster, play, monkeypatch):
    def needs_three(_spec, _objectives, applied, _window, state):
        message = "too much is asked"
        return TuneDecision(applied, Reason.NEEDS_CAPACITY, message, state, needs=Replicas(3))

    monkeypatch.setattr(tuning, "tune", needs_three)

    async def script(cluster):
        prepare(cluster)
        await cluster.settle()
        cluster.tritons.at("10.0.0.1").requests_per_s = 100.0
        cluster.serve()
        await cluster.beat(60)
        during = (
            cluster.status()["batching"]["neededReplicas"],
            gauge(cluster, "needed_replicas"),
            gauge(cluster, "desired_replicas"),
            cluster.condition("NeedsCapacity"),
        )
        cluster.model(replicas=3)
        await cluster.settle()
        return (*during, gauge(cluster, "needed_replicas"), gauge(cluster, "desired_replicas"))

    assert play(script) == (3, 3.0, 3.0, ("True", "NeedsCapacity"), None, 3.0)
    assert "neededReplicas" not in cluster.status()["batching"]
    assert cluster.condition("NeedsCapacity") is None


def test_after_a_restart_the_tuner_knows_which_batches_failed(cluster, play, monkeypatch):
    seen = []

    def too_large(_spec, _objectives, applied, _window, state):
        seen.append(state.learned.safe_bound)
        smaller = applied.with_(max_batch_size=2)
        return TuneDecision(smaller, Reason.BATCH_TOO_LARGE, "a batch of 4 failed", state)

    monkeypatch.setattr(tuning, "tune", too_large)

    async def script(cluster):
        await serving(cluster)
        await cluster.beat(60)
        before = list(seen)
        await cluster.end()
        await cluster.begin()
        await cluster.beat(60)
        return before

    before = play(script)
    assert cluster.status()["batching"]["applied"]["maxBatchSize"] == 2
    assert (before[0], seen[len(before)]) == (None, 2)


def test_only_what_ended_windows_say_is_decided_in_executor(cluster, play):
    async def script(cluster):
        await serving(cluster)
        before = cluster.decided_in_executor
        await cluster.beat(65)
        return before

    assert play(script) == 0
    assert cluster.decided_in_executor == 2


def test_a_place_that_is_found_lost_with_a_window_is_decided_anew_and_noted(
    cluster, play, monkeypatch
):
    """No event tells of it: the first to see the other node type is a window's decision."""
    placed = []
    monkeypatch.setattr(Reservations, "place", lambda _self, key, *_: placed.append(key))

    async def script(cluster):
        await serving(cluster)
        monkeypatch.setattr(EventMapper, "map", lambda *_, **__: Concern())
        cluster.heartbeat("node-1", "cpu-large")
        await cluster.beat(COMPARE_AGAIN_S + 35, node_type="cpu-large")

    play(script)
    assert cluster.status()["placement"]["nodeType"] == "cpu-large"
    assert placed == [KEY, KEY]


def test_a_model_whose_pods_find_no_node_moves_on_in_time_and_only_then(cluster, play):
    def wait_for_a_node():
        words = "0/2 nodes are available: 1 Insufficient cpu"
        unscheduled = {"type": "PodScheduled", "status": "False", "message": words}
        since = {"lastTransitionTime": timestamps.text(now())}
        pod = pod_object(node="", ready=False, conditions=[unscheduled | since])
        cluster.api.put("pods", pod)
        cluster.api.indices["pods"][KEY] = [pod]

    async def script(cluster):
        cluster.node("node-2", "cpu-large")
        prepare(cluster)
        cluster.model(progress_deadline_seconds=120)
        await cluster.settle()
        first = cluster.status()["placement"]["nodeType"]
        wait_for_a_node()
        await cluster.settle(100)
        waiting = cluster.status()["placement"], cluster.condition("Ready")
        await cluster.settle(40)
        return first, *waiting

    first, waiting, ready = play(script)
    assert waiting["nodeType"] == first
    assert ready == ("False", "PodUnschedulable")
    found = cluster.status()["placement"]
    assert found["nodeType"] != first
    assert [each["nodeType"] for each in found["unschedulable"]] == [first]
    template = cluster.api.get("deployments", "resnet50-triton")["spec"]["template"]["spec"]
    assert found["nodeType"] in str(template["affinity"])
    assert cluster.api.events[-1][2] == "LeastWorkload"
    assert "kube-scheduler has no" in cluster.api.events[-1][3]


def test_nodes_are_compared_again_only_when_something_bears_on_the_placement(
    cluster, play, monkeypatch
):
    compared = []
    views = Nodes.views
    monkeypatch.setattr(
        Nodes, "views", lambda self, own, now_s: compared.extend(own) or views(self, own, now_s)
    )

    async def script(cluster):
        await serving(cluster)
        counts = [len(compared)]
        await cluster.beat(200)
        counts.append(len(compared))
        cluster.node("node-2", "cpu-large")
        await cluster.settle()
        counts.append(len(compared))
        cluster.model(replicas=2)
        await cluster.settle()
        counts.append(len(compared))
        return counts

    first, later, after_a_node, after_a_change = play(script)
    assert later == first
    assert after_a_node > later
    assert after_a_change > after_a_node
    assert {c["nodeType"] for c in cluster.status()["placement"]["candidates"]} == {
        "cpu-small",
        "cpu-large",
    }


# The live cap

CAP = "serving.ferryman.dev/max-batch-size"
POD = "resnet50-triton-10.0.0.1"


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


# Ready only when what is specified serves

ANOTHER = {"model": factories.source("oci://registry.example/resnet50:2")}
ELSEWHERE = {"placement": PlacementSpec(node_selector={"zone": "b"})}


def readiness(cluster, generation):
    """Return (status, reason) of Ready as written of a generation, repetitions left out."""
    found = []
    for status in cluster.api.statuses:
        ready = next(c for c in status["conditions"] if c["type"] == "Ready")
        seen = ready["status"], ready["reason"]
        if status["observedGeneration"] == generation and seen not in found[-1:]:
            found.append(seen)
    return found


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


# What the API server does not take


def told(cluster):
    """Return how often something was written for people."""
    writes = cluster.writes()
    return writes["apply", "InferenceModel/status"], writes["create", "Event"]


def words_of(cluster, kind="Stalled"):
    """Return the message of a condition."""
    return next(c["message"] for c in cluster.status()["conditions"] if c["type"] == kind)


def put_theirs(cluster, index="services", **metadata):
    """Put somebody else's object of the name that one of the model's is to have."""
    own = {"name": "resnet50-triton", "namespace": "default", **metadata}
    return copy.deepcopy(cluster.api.put(index, {"metadata": own, "spec": {"theirs": True}}))


@pytest.mark.parametrize(
    ("index", "kind"),
    [
        ("configmaps", "ConfigMap"),
        ("deployments", "Deployment"),
        ("networkpolicies", "NetworkPolicy"),
        ("services", "Service"),
    ],
)
def test_nothing_is_applied_while_an_object_of_the_name_is_somebody_elses(
    cluster, play, index, kind
):
    async def script(cluster):
        theirs = put_theirs(cluster, index)
        prepare(cluster)
        await cluster.beat(60)
        seen = cluster.condition("Ready"), cluster.condition("Stalled"), words_of(cluster)
        before = cluster.writes()
        await cluster.beat(600)
        assert cluster.writes() == before, "told once"
        assert not {("apply", each) for each in SERVING} & set(before)
        assert cluster.api.get(index, "resnet50-triton") == theirs
        cluster.api.drop(index, "resnet50-triton", "default")
        await cluster.beat(70)
        return seen

    ready, stalled, words = play(script)
    assert (ready, stalled) == (("False", "NameTaken"), ("True", "NameTaken"))
    assert words == (
        f"{kind} resnet50-triton exists and is not Ferryman's: rename the model, or remove that "
        "object"
    )
    events = [event[1:3] for event in cluster.api.events]
    assert events == [("Normal", "LeastWorkload"), ("Warning", "NameTaken")]
    assert cluster.condition("Stalled") is None
    assert cluster.condition("Reconciling") == ("True", "Deploying")
    applied = {each: cluster.writes()["apply", each] for each in SERVING}
    assert applied == dict.fromkeys(SERVING, 1)


@pytest.mark.parametrize(
    "metadata",
    [
        pytest.param({"labels": {names.LABEL_MODEL: "resnet50"}}, id="by its label"),
        pytest.param({"ownerReferences": [{"uid": "uid-resnet50"}]}, id="by its owner"),
    ],
)
def test_an_object_of_the_models_own_that_no_watch_shows_is_put_right(cluster, play, metadata):
    async def script(cluster):
        put_theirs(cluster, **metadata)
        cluster.api.indices["services"].clear()  # the label that watches go by was taken off
        prepare(cluster)
        await cluster.settle()

    play(script)
    assert cluster.api.get("services", "resnet50-triton")["spec"] != {"theirs": True}
    assert cluster.condition("Stalled") is None


def test_what_takes_the_place_of_a_deleted_object_is_left_alone_and_what_serves_goes_on(
    cluster, play
):
    async def script(cluster):
        await serving(cluster)
        before = cluster.writes()
        cluster.api.drop("services", "resnet50-triton", "default")
        theirs = put_theirs(cluster)
        await cluster.settle(20)
        return theirs, before

    theirs, before = play(script)
    assert cluster.condition("Ready") == ("False", "NameTaken")
    assert cluster.api.get("services", "resnet50-triton") == theirs
    assert cluster.writes()["apply", "Deployment"] == before["apply", "Deployment"]


def test_names_are_looked_for_only_while_nothing_is_known_of_them(cluster, play):
    async def script(cluster):
        await serving(cluster)
        first = sorted(cluster.api.looked_for)
        cluster.model(**ANOTHER)
        await cluster.beat(700)
        await cluster.end()
        await cluster.begin()
        await cluster.settle(10)
        return first

    assert play(script) == sorted(SERVING - {"Secret"})
    assert len(cluster.api.looked_for) == len(SERVING) - 1


QUOTA = ForbiddenError('apply Service: 403 services "resnet50-triton": exceeded quota', status=403)
POLICY = PermanentError("apply Deployment: 422 images must be signed", status=422)


def test_what_the_api_server_refuses_is_told_once_and_is_over_once_it_takes_it(cluster, play):
    async def script(cluster):
        cluster.api.refused = {"Service": QUOTA}
        prepare(cluster)
        await cluster.beat(60)
        seen = cluster.condition("Ready"), cluster.condition("Stalled"), words_of(cluster)
        before, place = told(cluster), cluster.status()["placement"]
        await cluster.beat(600)
        await cluster.end()
        await cluster.begin()
        await cluster.beat(300)
        assert told(cluster) == before, "not even by another operator"
        assert cluster.status()["placement"]["nodeType"] == place["nodeType"] == "cpu-small"
        cluster.api.refused = {"Service": POLICY}
        await cluster.beat(130)
        assert told(cluster) == (before[0] + 1, before[1] + 1), "other words are told as well"
        assert "images must be signed" in words_of(cluster)
        cluster.api.refused = {}
        await cluster.beat(130)
        return seen

    ready, stalled, words = play(script)
    assert (ready, stalled) == (("False", "ApplyRefused"), ("True", "ApplyRefused"))
    assert "exceeded quota" in words
    warnings = [event[2] for event in cluster.api.events if event[1] == "Warning"]
    assert warnings == ["ApplyRefused", "ApplyRefused"]
    assert cluster.condition("Stalled") is None
    assert cluster.condition("Reconciling") == ("True", "Deploying")


def test_a_refused_specification_is_never_ready_and_the_next_is_judged_afresh(cluster, play):
    async def script(cluster):
        await serving(cluster)
        cluster.api.refused = {"Deployment": POLICY}
        cluster.model(**ANOTHER)
        await cluster.beat(130)
        during = cluster.condition("Ready")
        cluster.api.refused = {}
        cluster.model(model=factories.source("oci://registry.example/resnet50:signed"))
        await cluster.settle()
        cluster.serve()
        await cluster.settle(10)
        return during

    assert play(script) == ("False", "ApplyRefused")
    assert readiness(cluster, 2) == [("False", "Applying"), ("False", "ApplyRefused")]
    assert readiness(cluster, 3) == ROLLED_OUT


def test_a_very_long_refusal_is_cut_and_told_once(cluster, play):
    async def script(cluster):
        cluster.api.refused = {"Service": PermanentError("x" * 5000, status=422)}
        prepare(cluster)
        await cluster.beat(60)
        before = told(cluster)
        await cluster.beat(300)
        return before

    assert play(script) == told(cluster)
    assert len(words_of(cluster)) == 1024


def test_batching_is_not_changed_while_objects_are_refused_and_that_costs_no_write(cluster, play):
    async def script(cluster):
        await serving(cluster)
        cluster.api.refused = {"Deployment": POLICY}
        cluster.model(**ANOTHER, batching=fixed(16))
        await cluster.beat(90)
        before = told(cluster)
        await cluster.beat(600)
        seen = cluster.status()["batching"], list(cluster.tritons.at("10.0.0.1").loads)
        assert told(cluster) == before
        cluster.api.refused = {}
        await cluster.beat(130)
        return seen

    batching, loads = play(script)
    assert (batching["changes"], batching["recentReloads"], loads) == ([], [], [])
    assert [loaded.max_batch_size for loaded in cluster.tritons.at("10.0.0.1").loads] == [16]


# Reloads during a rollout


@pytest.mark.parametrize(
    ("made_for", "brings_all"),
    [
        pytest.param("this", True, id="a pod that stays"),
        pytest.param("another", False, id="a pod that is being replaced"),
        pytest.param(None, True, id="a pod of which it is not known"),
    ],
)
def test_a_reload_leaves_a_pod_the_configuration_that_it_was_made_for(
    cluster, play, made_for, brings_all
):
    async def script(cluster):
        await serving(cluster)
        template = cluster.api.get("deployments", "resnet50-triton")["spec"]["template"]
        this = template["metadata"]["annotations"][render.ANNOTATION_CONFIG_HASH]
        value = this if made_for == "this" else made_for
        pod = copy.deepcopy(cluster.api.get("pods", POD))
        pod["metadata"]["annotations"] = {render.ANNOTATION_CONFIG_HASH: value} if value else {}
        cluster.api.put("pods", pod)
        cluster.model(batching=fixed(16))
        await cluster.settle()

    play(script)
    assert cluster.tritons.at("10.0.0.1").batching.max_batch_size == 16
    [config] = cluster.tritons.at("10.0.0.1").configs
    assert (config is not None) == brings_all
