import pytest

from ferryman.api.resources import model_key
from ferryman.core.placement.reservations import (
    GRACE_S,
    IN_FLIGHT_S,
    CreatedPods,
    NodeLoad,
    Reservation,
    ResourceAmount,
    amount,
)
from ferryman.handlers.reservations import Reservations
from tests.fakes import pod_object

A, B = model_key("default", "a"), model_key("default", "b")
GIB = 2**30


def pod(name="p1", node="n1", cpu="500m", memory="1Gi", **status):
    return pod_object(name, node=node, requests={"cpu": cpu, "memory": memory}, **status)


def test_a_models_own_pods_do_not_count_against_it_but_against_all_others():
    reservations = Reservations()
    reservations.update(A, [pod()])
    reservations.update(B, [pod("p2", cpu="250m")])
    assert reservations.loads((A,), 0)["n1"].reserved == ResourceAmount(250, GIB)
    assert reservations.loads((B,), 0)["n1"].reserved == ResourceAmount(500, GIB)
    assert reservations.loads((), 0)["n1"].reserved == ResourceAmount(750, 2 * GIB)


@pytest.mark.parametrize(
    "later",
    [
        pytest.param([], id="the pod is gone"),
        pytest.param([pod(phase="Succeeded")], id="the pod has ended"),
        pytest.param([pod(node="")], id="the pod is not bound to a node"),
    ],
)
def test_what_no_pod_holds_any_more_is_free_again(later):
    reservations = Reservations()
    reservations.update(A, [pod()])
    reservations.update(A, later)
    assert reservations.loads((B,), 0) == {}


def test_a_placement_counts_as_reserved_and_in_flight_before_any_pod_shows_it():
    reservations = Reservations()
    reservations.place(A, Reservation({"n1": 2}, ResourceAmount(500, GIB)), now_s=0, is_new=True)
    assert reservations.loads((B,), 1)["n1"] == NodeLoad(
        ResourceAmount(1000, 2 * GIB), ResourceAmount(1000, 2 * GIB)
    )
    assert reservations.loads((A,), 1) == {}, "not against the model itself"


def test_pods_replace_the_reservation_of_the_placement_but_stay_in_flight():
    reservations = Reservations()
    reservations.place(A, Reservation({"n1": 2}, ResourceAmount(500, GIB)), now_s=0, is_new=True)
    reservations.update(A, [pod()])
    load = reservations.loads((B,), 1)["n1"]
    assert load.reserved == ResourceAmount(1000, 2 * GIB), "one pod, and one that is still to come"
    assert load.in_flight == ResourceAmount(1000, 2 * GIB)


def test_after_a_minute_utilisation_shows_what_was_in_flight():
    reservations = Reservations()
    reservations.place(A, Reservation({"n1": 1}, ResourceAmount(500, GIB)), now_s=0, is_new=True)
    reservations.update(A, [pod()])
    assert reservations.loads((B,), IN_FLIGHT_S - 1)["n1"].in_flight == ResourceAmount(500, GIB)
    assert reservations.loads((B,), IN_FLIGHT_S)["n1"] == NodeLoad(
        ResourceAmount(500, GIB), ResourceAmount()
    )


def test_a_pod_that_waits_for_a_node_stays_reserved_and_in_flight_however_long_that_takes():
    reservations = Reservations()
    reservations.exist(A, CreatedPods(3))
    reservations.place(
        A, Reservation({"n1": 1, "n2": 2}, ResourceAmount(500, GIB)), now_s=0, is_new=True
    )
    reservations.update(A, [pod(node="n2")])
    loads = reservations.loads((B,), 10 * IN_FLIGHT_S)
    one = ResourceAmount(500, GIB)
    assert loads == {"n1": NodeLoad(one, one), "n2": NodeLoad(one.times(2), one)}
    reservations.forget(A)
    assert reservations.loads((B,), 0) == {"n2": NodeLoad(one)}


@pytest.mark.parametrize(
    ("exist", "after_s", "replicas"),
    [
        pytest.param(None, GRACE_S - 1, 1000, id="all are awaited for a while"),
        pytest.param(None, GRACE_S, 0, id="but not for ever"),
        pytest.param(CreatedPods(7), GRACE_S, 7, id="later those that exist"),
        pytest.param(CreatedPods(7, fails=True), 0, 7, id="at once if no more can be created"),
        pytest.param(CreatedPods(0, fails=True), 0, 0, id="a quota of none"),
        pytest.param(CreatedPods(2000), GRACE_S, 1000, id="never more than are asked for"),
        pytest.param("unseen", 1e6, 1000, id="all, while no controller has seen the Deployment"),
    ],
)
def test_pods_that_never_come_into_being_keep_nobody_out(exist, after_s, replicas):
    reservations, one = Reservations(), ResourceAmount(500, GIB)
    reservations.place(A, Reservation({"n1": 1000}, one), now_s=0, is_new=True)
    if exist is not None:
        reservations.exist(A, None if exist == "unseen" else exist)
    load = reservations.loads((B,), after_s).get("n1", NodeLoad())
    assert load == NodeLoad(one.times(replicas), one.times(replicas))


def test_a_placement_that_grows_is_awaited_anew_and_one_that_is_told_again_is_not():
    reservations, one = Reservations(), ResourceAmount(500, GIB)
    reservations.place(A, Reservation({"n1": 1}, one), now_s=0, is_new=True)
    reservations.place(A, Reservation({"n1": 1}, one), now_s=GRACE_S, is_new=False)
    assert reservations.loads((B,), GRACE_S) == {}
    reservations.place(A, Reservation({"n1": 3}, one), now_s=GRACE_S, is_new=False)
    assert reservations.loads((B,), GRACE_S)["n1"].reserved == one.times(3)
    reservations.exist(A, CreatedPods(1))
    reservations.exist(A, CreatedPods())
    assert reservations.loads((B,), 2 * GRACE_S) == {}, "its Deployment is gone"


def test_a_pod_that_waits_for_its_image_is_in_flight_until_it_runs():
    reservations, one = Reservations(), ResourceAmount(500, GIB)
    reservations.place(A, Reservation({"n1": 1}, one), now_s=0, is_new=True)
    reservations.update(A, [pod(phase="Pending")])
    assert reservations.loads((B,), 10 * IN_FLIGHT_S)["n1"] == NodeLoad(one, one)
    reservations.update(A, [pod()])
    assert reservations.loads((B,), 10 * IN_FLIGHT_S)["n1"] == NodeLoad(one)
    reservations.update(A, [])
    reservations.forget(A)
    assert reservations.loads((B,), 10 * IN_FLIGHT_S) == {}


def test_pods_that_are_bound_elsewhere_than_expected_are_not_counted_twice():
    reservations = Reservations()
    reservations.place(
        A, Reservation({"n1": 1, "n2": 1}, ResourceAmount(500, GIB)), now_s=0, is_new=False
    )
    reservations.update(A, [pod("p1", node="n3"), pod("p2", node="n3")])
    assert reservations.loads((B,), 0) == {"n3": NodeLoad(ResourceAmount(1000, 2 * GIB))}


def test_the_time_of_a_placement_is_kept():
    reservations, one = Reservations(), ResourceAmount(500, GIB)
    reservations.update(A, [pod()])
    reservations.place(A, Reservation({"n1": 1}, one), now_s=0, is_new=False)
    assert reservations.loads((B,), 0)["n1"] == NodeLoad(one), "decided long ago"
    reservations.place(A, Reservation({"n1": 1}, one), now_s=7.0, is_new=True)
    reservations.place(A, Reservation({"n1": 1}, one), now_s=8.0, is_new=False)
    assert reservations.loads((B,), 7.0 + IN_FLIGHT_S - 1)["n1"] == NodeLoad(one, one)
    assert reservations.loads((B,), 7.0 + IN_FLIGHT_S)["n1"] == NodeLoad(one)


def test_pods_that_request_nothing_reserve_nothing():
    reservations = Reservations()
    reservations.update(A, [pod(cpu="0", memory="0")])
    assert reservations.loads((A,), 0)["n1"] == NodeLoad()
    assert reservations.loads((B,), 0) == {}


def test_devices_are_counted_and_what_has_only_a_limit_requests_it():
    limited = pod_object("p1", node="n1")
    limited["spec"]["containers"][0]["resources"] = {"limits": {"cpu": 1, "nvidia.com/gpu": 2}}
    reservations = Reservations()
    reservations.update(A, [limited])
    assert reservations.loads((B,), 0)["n1"].reserved == ResourceAmount(
        1000, 0, {"nvidia.com/gpu": 2}
    )


def test_requests_are_read_as_quantities():
    assert amount({"cpu": "250m", "memory": "1Mi", "ephemeral-storage": "1Gi"}) == ResourceAmount(
        250, 2**20
    )
