from math import inf

import pytest

from ferryman.handlers.reservations import IN_FLIGHT_S, Amount, Ledger, Load, Placed, amount
from tests.fakes import pod_object

A, B = ("default", "a"), ("default", "b")
GIB = 2**30


def pod(name="p1", node="n1", cpu="500m", memory="1Gi", **status):
    return pod_object(name, node=node, requests={"cpu": cpu, "memory": memory}, **status)


def test_a_models_own_pods_do_not_count_against_it_but_against_all_others():
    ledger = Ledger()
    ledger.update(A, [pod()])
    ledger.update(B, [pod("p2", cpu="250m")])
    assert ledger.loads((A,), 0)["n1"].reserved == Amount(250, GIB)
    assert ledger.loads((B,), 0)["n1"].reserved == Amount(500, GIB)
    assert ledger.loads((), 0)["n1"].reserved == Amount(750, 2 * GIB)


@pytest.mark.parametrize(
    "later",
    [
        pytest.param([], id="the pod is gone"),
        pytest.param([pod(phase="Succeeded")], id="the pod has ended"),
        pytest.param([pod(node="")], id="the pod is not bound to a node"),
    ],
)
def test_what_no_pod_holds_any_more_is_free_again(later):
    ledger = Ledger()
    ledger.update(A, [pod()])
    ledger.update(A, later)
    assert ledger.loads((B,), 0) == {}


def test_a_placement_counts_as_reserved_and_in_flight_before_any_pod_shows_it():
    ledger = Ledger()
    ledger.place(A, Placed({"n1": 2}, Amount(500, GIB), at_s=0))
    assert ledger.loads((B,), 1)["n1"] == Load(Amount(1000, 2 * GIB), Amount(1000, 2 * GIB))
    assert ledger.loads((A,), 1) == {}, "not against the model itself"


def test_pods_replace_the_reservation_of_the_placement_but_stay_in_flight():
    ledger = Ledger()
    ledger.place(A, Placed({"n1": 2}, Amount(500, GIB), at_s=0))
    ledger.update(A, [pod()])
    load = ledger.loads((B,), 1)["n1"]
    assert load.reserved == Amount(1000, 2 * GIB), "one pod, and one that is still to come"
    assert load.in_flight == Amount(1000, 2 * GIB)


def test_after_a_minute_utilisation_shows_what_was_in_flight():
    ledger = Ledger()
    ledger.place(A, Placed({"n1": 1}, Amount(500, GIB), at_s=0))
    ledger.update(A, [pod()])
    assert ledger.loads((B,), IN_FLIGHT_S - 1)["n1"].in_flight == Amount(500, GIB)
    assert ledger.loads((B,), IN_FLIGHT_S)["n1"] == Load(Amount(500, GIB), Amount())


def test_what_no_pod_shows_stays_reserved_and_in_flight_however_long_that_takes():
    ledger = Ledger()
    ledger.place(A, Placed({"n1": 1, "n2": 2}, Amount(500, GIB), at_s=0))
    ledger.update(A, [pod(node="n2")])
    loads = ledger.loads((B,), 10 * IN_FLIGHT_S)
    one = Amount(500, GIB)
    assert loads == {"n1": Load(one, one), "n2": Load(one.times(2), one)}
    ledger.forget(A)
    assert ledger.loads((B,), 0) == {"n2": Load(one)}


def test_a_pod_that_waits_for_its_image_is_in_flight_until_it_runs():
    ledger, one = Ledger(), Amount(500, GIB)
    ledger.place(A, Placed({"n1": 1}, one, at_s=0))
    ledger.update(A, [pod(phase="Pending")])
    assert ledger.loads((B,), 10 * IN_FLIGHT_S)["n1"] == Load(one, one)
    ledger.update(A, [pod()])
    assert ledger.loads((B,), 10 * IN_FLIGHT_S)["n1"] == Load(one)
    ledger.update(A, [])
    ledger.forget(A)
    assert ledger.loads((B,), 10 * IN_FLIGHT_S) == {}


def test_pods_that_are_bound_elsewhere_than_expected_are_not_counted_twice():
    ledger = Ledger()
    ledger.place(A, Placed({"n1": 1, "n2": 1}, Amount(500, GIB)))
    ledger.update(A, [pod("p1", node="n3"), pod("p2", node="n3")])
    assert ledger.loads((B,), 0) == {"n3": Load(Amount(1000, 2 * GIB))}


def test_the_time_of_a_placement_is_kept():
    ledger = Ledger()
    assert ledger.placed_at_s(A) == -inf
    ledger.place(A, Placed({"n1": 1}, Amount(), at_s=7.0))
    assert ledger.placed_at_s(A) == 7.0


def test_devices_are_counted_and_what_has_only_a_limit_requests_it():
    limited = pod_object("p1", node="n1")
    limited["spec"]["containers"][0]["resources"] = {"limits": {"cpu": 1, "nvidia.com/gpu": 2}}
    ledger = Ledger()
    ledger.update(A, [limited])
    assert ledger.loads((B,), 0)["n1"].reserved == Amount(1000, 0, {"nvidia.com/gpu": 2})


def test_requests_are_read_as_quantities():
    assert amount({"cpu": "250m", "memory": "1Mi", "ephemeral-storage": "1Gi"}) == Amount(
        250, 2**20
    )
