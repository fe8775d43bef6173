"""What a model reserves: by its pods, and by a placement whose pods are still to come."""

import pytest

from ferryman.api.inference_model import ResourceRequirements
from ferryman.api.inference_model_status import PlacementStatus
from ferryman.core.placement.reservations import (
    IN_FLIGHT_S,
    CreatedPods,
    NodeLoad,
    PodReservations,
    Reservation,
    ResourceAmount,
    amount,
    created,
    expected,
    of_pods,
    still_to_show,
)
from tests.factories import model, node, snapshot

GIB = 2**30
ONE = ResourceAmount(500, GIB)
PLACED = PlacementStatus(
    node_type="cpu-small", processor="cpu", preferred_node="node-2", reason="X", message="x"
)


def pod(node="n1", phase="Running", **requests):
    requests = requests or {"cpu": "500m", "memory": "1Gi"}
    spec = {"nodeName": node, "containers": [{"resources": {"requests": requests}}]}
    return {"spec": spec, "status": {"phase": phase}}


@pytest.mark.parametrize(
    ("requests", "total"),
    [
        pytest.param({"cpu": "250m", "memory": "1Mi"}, ResourceAmount(250, 2**20), id="both"),
        pytest.param({}, ResourceAmount(), id="nothing"),
        pytest.param({"ephemeral-storage": "1Gi"}, ResourceAmount(), id="what is no device"),
        pytest.param(
            {"nvidia.com/gpu": 2}, ResourceAmount(devices={"nvidia.com/gpu": 2}), id="devices"
        ),
    ],
)
def test_requests_come_to(requests, total):
    assert amount(requests) == total


def test_an_amount_is_nothing_only_where_nothing_of_it_is_left():
    assert not ResourceAmount()
    assert not ResourceAmount(devices={"a/b": 0})
    assert all(
        (ResourceAmount(1), ResourceAmount(memory_bytes=1), ResourceAmount(devices={"a/b": 1}))
    )


def test_pods_hold_what_their_containers_request_where_they_are_bound():
    held = of_pods([pod(), pod("n2", cpu="1"), pod(phase="Pending")])
    assert held.reserved == {"n1": ResourceAmount(1000, 2 * GIB), "n2": ResourceAmount(1000)}
    assert held.bound == {"n1": 2, "n2": 1}
    assert held.starting == {"n1": 1}, "no utilisation shows a pod that does not run"


@pytest.mark.parametrize(
    "ended",
    [
        pytest.param(pod(phase="Succeeded"), id="it succeeded"),
        pytest.param(pod(phase="Failed"), id="it failed"),
        pytest.param(pod(""), id="it is not bound"),
    ],
)
def test_a_pod_holds_nothing_where(ended):
    assert of_pods([ended]) == PodReservations()


def test_what_has_a_limit_and_no_request_requests_its_limit():
    limited = {"resources": {"limits": {"cpu": 1, "memory": 5}, "requests": {"memory": 3}}}
    bare = {"spec": {"nodeName": "n1", "containers": [limited, {}, {"resources": None}]}}
    assert of_pods([bare]).reserved == {"n1": ResourceAmount(1000, 3)}


def test_a_placement_is_expected_on_the_preferred_node_first():
    nodes = [node("node-1"), node("node-2"), node("other", "cpu-big")]
    asked = model(resources=ResourceRequirements(requests={"cpu": "3", "memory": "1Gi"}))
    found = expected(snapshot(model=asked, nodes=nodes), PLACED, 2)
    assert found == Reservation({"node-2": 1, "node-1": 1}, ResourceAmount(3000, GIB))


def test_without_a_runtime_for_it_the_replicas_request_nothing():
    found = expected(snapshot(has_runtime=False), PLACED, 1)
    assert found.one == ResourceAmount()
    lost = PLACED.with_(processor=None)
    assert expected(snapshot(), lost, 1).one == ResourceAmount()


def test_what_cannot_be_read_reserves_nothing():
    asked = model(resources=ResourceRequirements(requests={"cpu": "many"}))
    assert expected(snapshot(model=asked), PLACED, 1) == Reservation({}, ResourceAmount())


@pytest.mark.parametrize(
    ("pods", "since_s", "shown"),
    [
        pytest.param([], 1e9, {"n1": NodeLoad(ONE.times(2), ONE.times(2))}, id="no pod shows it"),
        pytest.param([pod()], 0, {"n1": NodeLoad(ONE, ONE.times(2))}, id="one pod, moments ago"),
        pytest.param(
            [pod()], IN_FLIGHT_S, {"n1": NodeLoad(ONE, ONE)}, id="utilisation shows the one pod"
        ),
        pytest.param(
            [pod(), pod(phase="Pending")],
            IN_FLIGHT_S,
            {"n1": NodeLoad(ResourceAmount(0, 0), ONE)},
            id="a pod that waits for its image is shown by nothing",
        ),
        pytest.param(
            [pod("n2"), pod("n2")], IN_FLIGHT_S, {}, id="pods elsewhere are not expected twice"
        ),
    ],
)
def test_what_a_placement_adds_to_its_pods(pods, since_s, shown):
    assert still_to_show(Reservation({"n1": 2}, ONE), of_pods(pods), since_s) == shown


def reports(observed, *, fails=None, **status):
    """Return a Deployment of generation 1 whose controller has seen that one, or not."""
    conditions = [] if fails is None else [{"type": "ReplicaFailure", "status": fails}]
    status = {"observedGeneration": observed, "conditions": conditions, **status}
    return {"metadata": {"generation": 1}, "status": status}


@pytest.mark.parametrize(
    ("deployment", "found"),
    [
        pytest.param(None, CreatedPods(), id="none"),
        pytest.param(reports(0), None, id="one that nobody has looked at"),
        pytest.param({"metadata": {}}, CreatedPods(), id="one without a status"),
        pytest.param(reports(1, replicas=3), CreatedPods(3), id="three pods"),
        pytest.param(reports(1, fails="True"), CreatedPods(fails=True), id="none can be created"),
        pytest.param(
            reports(1, replicas=1, fails="False"), CreatedPods(1), id="they can be created again"
        ),
    ],
)
def test_a_deployment_reports(deployment, found):
    assert created(deployment) == found


@pytest.mark.parametrize(
    ("exist", "awaited"),
    [
        pytest.param(None, 3, id="all are to come"),
        pytest.param(CreatedPods(3), 2, id="three exist, of which one is bound"),
        pytest.param(CreatedPods(9), 3, id="never more than are placed"),
        pytest.param(CreatedPods(1), 0, id="only what is bound exists"),
        pytest.param(CreatedPods(), 0, id="the Deployment knows less than the pods show"),
    ],
)
def test_only_pods_that_exist_are_awaited(exist, awaited):
    shown = still_to_show(Reservation({"n1": 4}, ONE), of_pods([pod()]), 1e9, exist)
    assert shown == ({"n1": NodeLoad(ONE.times(awaited), ONE.times(awaited))} if awaited else {})
