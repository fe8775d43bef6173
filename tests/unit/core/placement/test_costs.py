import pytest

from ferryman.api.conditions import Reason
from ferryman.api.inference_model_status import (
    InferenceModelStatus,
    ObservedStatus,
    ServiceTimePoint,
    ServiceTimes,
)
from ferryman.core.fleet.sizing import Size, TooSlow
from ferryman.core.placement import candidates, costs
from ferryman.core.placement.filters import FilterContext
from tests.factories import NOW, at, benchmark, model, node, objectives, processor, runtime


def times(node_type="cpu-small", processor_class="cpu", ms=(6.0, 7.0, 9.0, 13.0)):
    """Return service times of batches of 1, 2, 4 and so on."""
    points = [ServiceTimePoint(batch_size=2**i, milliseconds=each) for i, each in enumerate(ms)]
    return ServiceTimes(
        node_type=node_type, processor=processor_class, measured_at=at(), points=tuple(points)
    )


def large(name="large-1", images_per_second=400.0, **fields):
    table = benchmark(images_per_second, node_type="large")
    return node(name, "large", benchmarks=[table], **fields)


def found(nodes, asked):
    return candidates.find(FilterContext(asked, runtime(), NOW), nodes)


def cost(nodes=None, asked=None, *, of="cpu-small", priced=False, **spec):
    asked = asked or model(**spec)
    all_of_them = found(nodes or [node()], asked)
    chosen = next(each for each in all_of_them if each.node_type == of)
    return costs.cost(asked, chosen, all_of_them, priced=priced)


def measured(*known, rate_per_s=0.0, **spec):
    observed = ObservedStatus(inferences_per_second=rate_per_s) if rate_per_s else None
    return model(status=InferenceModelStatus(service_times=known, observed=observed), **spec)


def test_the_share_is_that_of_the_resource_of_which_most_is_requested():
    """A replica requests 500m of 4 CPUs, and 512 MiB of 8 GiB."""
    assert cost().share == pytest.approx(1 / 8)
    assert cost([node(allocatable={"cpu": "16", "memory": "2Gi"})]).share == pytest.approx(1 / 4)


def test_the_cost_is_that_of_all_replicas_and_of_one_while_there_are_none():
    assert cost(replicas=3).total == pytest.approx(3 / 8)
    assert cost(replicas=0).total == pytest.approx(1 / 8)


def test_a_record_of_service_times_that_holds_none_is_no_record():
    assert cost(asked=measured(times(ms=()))).predicted is None


def test_a_price_multiplies_it():
    assert cost([node().with_(price_per_hour=0.8)], priced=True).total == pytest.approx(0.1)
    assert cost([node().with_(price_per_hour=0.8)]).total == pytest.approx(0.125)


def test_without_the_price_that_is_wanted_there_is_no_cost():
    with pytest.raises(ValueError, match="the price of node type cpu-small is not known"):
        cost(priced=True)


def test_what_fits_nowhere_costs_nothing_that_could_be_told():
    full = node(reserved={"reserved_cpu_millicores": 3_900})
    with pytest.raises(ValueError, match="no node of type cpu-small fits"):
        cost([full])


def test_the_fullest_node_that_it_fits_on_is_preferred():
    nodes = [
        node("a"),
        node("b", reserved={"reserved_cpu_millicores": 3_000}),
        node("c", reserved={"reserved_cpu_millicores": 3_900}),
    ]
    assert cost(nodes).place.node.name == "b"


def test_nothing_is_predicted_while_no_service_time_is_known():
    found = cost()
    assert found.predicted is None
    assert not found.misses


def test_a_measured_service_time_predicts_whether_the_objectives_are_met():
    assert isinstance(cost(asked=measured(times())).predicted, Size)
    slow = cost(asked=measured(times(), objectives=objectives(5)))
    assert slow.misses
    assert slow.predicted.reason == Reason.LATENCY_UNREACHABLE


def test_service_times_of_another_type_are_scaled_by_the_reference_benchmark():
    """Four times as fast: batches of one take 1.5 ms there."""
    tight = measured(times(), objectives=objectives(5))
    assert isinstance(cost([node(), large()], tight, of="large").predicted, Size)
    even = measured(times(), objectives=objectives(5))
    same = [node(), large(images_per_second=100.0)]
    assert isinstance(cost(same, even, of="large").predicted, TooSlow)


def test_without_both_benchmarks_nothing_is_scaled():
    bare = node(benchmarks=[])
    assert cost([bare, large()], measured(times()), of="large").predicted is None


def test_times_of_the_same_class_are_the_better_guide():
    """Measured on a slow CPU and on a fast GPU: for another CPU the CPU counts."""
    gpu = node(
        "g",
        "gpu",
        processors=[processor("gpu")],
        benchmarks=[benchmark(100.0, processor="gpu", node_type="gpu")],
    )
    asked = measured(times("gpu", "gpu", (1.0, 1.1)), times(), objectives=objectives(5), replicas=1)
    nodes = [node(), gpu, large(images_per_second=100.0)]
    assert cost(nodes, asked, of="large").misses


def test_what_was_seen_and_what_is_asked_for_must_both_be_served():
    assert costs.rate_per_s(measured(times())) == 0
    assert costs.rate_per_s(measured(times(), rate_per_s=70.0)) == 70
    wanted = objectives(50, 200)
    assert costs.rate_per_s(measured(times(), rate_per_s=70.0, objectives=wanted)) == 200
    assert costs.rate_per_s(measured(times(), rate_per_s=300.0, objectives=wanted)) == 300


def test_more_than_the_replicas_can_serve_is_a_miss():
    busy = cost(asked=measured(times(), rate_per_s=5_000.0))
    assert busy.predicted.reason == Reason.NEEDS_CAPACITY
    assert "replicas needed, spec.replicas is 1" in busy.predicted.message


def test_batches_are_not_larger_than_the_limits_allow_nor_than_were_seen():
    found = cost(asked=measured(times(), objectives=objectives(1000)))
    assert found.predicted.batch_size == 8
