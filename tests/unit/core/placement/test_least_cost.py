import pytest

from ferryman.api.conditions import Reason
from ferryman.api.inference_model import PlacementSpec
from ferryman.core.placement.choose import choose
from tests.factories import NOW, benchmark, node, objectives, snapshot
from tests.unit.core.placement.test_costs import large, measured, times


def chosen(*nodes, policy="BestFit", known=(), **spec):
    asked = measured(*known, placement=PlacementSpec(policy=policy), **spec)
    return choose(snapshot(model=asked, nodes=nodes), NOW)


def reasons(placement):
    return {each.node_type: each.reason for each in placement.candidates}


BIG = {"cpu": "16", "memory": "64Gi"}


def test_best_fit_takes_the_node_type_of_which_the_model_takes_least():
    placement = chosen(node(), large(allocatable=BIG))
    assert (placement.node_type, placement.reason) == ("large", Reason.BEST_FIT)
    assert placement.message == (
        "large (cpu): takes 0.0312 nodes, its service time there is not known; "
        "the least of 2, next is cpu-small"
    )
    first, second = placement.candidates
    assert (first.cost, second.cost) == (0.0312, 0.125)
    assert second.reason == Reason.MORE_COST
    assert second.message.endswith("0.0938 more than large")


def test_cheapest_takes_the_price_into_account():
    cheap, dear = node().with_(price_per_hour=0.1), large(allocatable=BIG)
    placement = chosen(cheap, dear.with_(price_per_hour=4.0), policy="Cheapest")
    assert (placement.node_type, placement.reason) == ("cpu-small", Reason.CHEAPEST)
    assert placement.message.startswith("cpu-small (cpu): costs 0.0125 per hour")


def test_a_node_type_without_a_price_is_refused_by_cheapest():
    placement = chosen(node().with_(price_per_hour=9.0), large(), policy="Cheapest")
    assert placement.node_type == "cpu-small"
    assert reasons(placement)["large"] == Reason.PRICE_UNKNOWN
    assert "price-per-hour" in placement.candidates[-1].message


def test_without_any_price_there_is_no_cheapest():
    placement = chosen(node(), policy="Cheapest")
    assert (placement.node_type, placement.reason) == (None, Reason.NO_CANDIDATE)


def test_a_node_type_that_would_miss_is_not_chosen_however_cheap():
    """On the small one a batch of one takes 6 ms."""
    placement = chosen(node(allocatable=BIG), large(), known=[times()], objectives=objectives(5))
    assert placement.node_type == "large"
    assert "predicted to meet with batches up to" in placement.message
    lost = placement.candidates[1]
    assert lost.reason == Reason.LATENCY_UNREACHABLE
    assert lost.message.endswith("; large is predicted to meet")


def test_where_all_would_miss_the_fastest_is_the_fallback():
    placement = chosen(node(allocatable=BIG), large(), known=[times()], objectives=objectives(1))
    assert (placement.node_type, placement.reason) == ("large", Reason.FALLBACK)
    assert placement.message.endswith(
        "no node type is predicted to meet the objectives, this one is the fastest"
    )
    assert placement.candidates[1].message.endswith("; large is faster")


def test_the_next_best_serves_where_the_best_is_full_and_says_so():
    full = large(allocatable=BIG, reserved={"reserved_cpu_millicores": 15_900})
    placement = chosen(node(), full)
    assert placement.node_type == "cpu-small"
    assert placement.message.endswith("the only candidate that can serve (large is full)")
    assert reasons(placement)["large"] == Reason.INSUFFICIENT_RESOURCES


@pytest.mark.parametrize(("images_per_second", "first"), [(400.0, "large"), (100.0, "cpu-small")])
def test_equal_costs_go_to_the_faster_then_by_name(images_per_second, first):
    placement = chosen(node(), large(images_per_second=images_per_second))
    assert placement.node_type == first
    second = "cpu-small" if first == "large" else "large"
    lost = next(each for each in placement.candidates if each.node_type == second)
    assert lost.message.endswith(f"equal to {first}, which is faster or comes first by name")


def test_a_placement_is_kept_when_costs_change():
    before = chosen(node(), large(allocatable=BIG))
    asked = measured(placement=PlacementSpec(policy="BestFit"))
    asked = asked.with_(status=asked.status.with_(placement=before))
    after = choose(snapshot(model=asked, nodes=[node(allocatable=BIG), large()]), NOW)
    assert (after.node_type, after.message) == ("large", before.message)
    assert {each.reason for each in after.candidates} == {Reason.BEST_FIT, Reason.MORE_COST}


def test_node_types_that_are_not_measured_are_refused_by_every_policy():
    placement = chosen(node(), node("n", "new", benchmarks=[benchmark(node_type="other")]))
    assert reasons(placement)["new"] == Reason.NOT_BENCHMARKED
