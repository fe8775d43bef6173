from pathlib import Path

import pytest
import yaml

from ferryman.api.conditions import Reason
from ferryman.core.fleet.fleet import Fleet
from ferryman.core.fleet.options import MOVE_FACTOR, offers
from ferryman.core.fleet.problem import Part

EXAMPLE = Path("tests/data/fleet.yaml")
TIMES = ({"nodeType": "l4", "coefficients": {"t0": 5, "a": 1}},)
L4 = {
    "name": "l4",
    "count": 2,
    "pricePerHour": 2.0,
    "cpu": 8,
    "memoryMebibytes": 1000,
    "processors": [{"class": "gpu", "count": 2, "memoryMebibytes": 4000, "imagesPerSecond": 100}],
}
BARE = {"name": "bare", "count": 1, "processors": [{"class": "cpu"}]}


def fleet(*node_types, **model):
    fields = {
        "name": "m",
        "ratePerSecond": 100,
        "objectives": {"latency": {"targetMilliseconds": 100}},
        "serviceTimes": TIMES,
    }
    return Fleet.model_validate({"nodeTypes": node_types or (L4,), "models": [{**fields, **model}]})


def only(asked, *, priced=False):
    found = offers(asked, priced=priced)
    (option,) = found.problem.demands[0].options
    return option


def refusals(asked):
    found = offers(asked, priced=False).refused["m"]
    return {each.node_type: (each.reason, each.message) for each in found}


def test_an_option_uses_what_is_limited_there():
    option = only(fleet(memoryMebibytes=500, cpu=2, hostMemoryMebibytes=100))
    assert option.uses.keys() == {"gpu time", "gpu memory", "cpu", "memory"}
    assert (option.uses["gpu memory"], option.uses["cpu"], option.uses["memory"]) == (1000, 2, 100)
    nodes = offers(fleet(), priced=False).problem.node_types[0]
    assert nodes.free == ({"cpu": 8, "memory": 1000, "gpu time": 2, "gpu memory": 8000},) * 2


def test_several_processors_are_no_single_large_one():
    (kind,) = offers(fleet(), priced=False).problem.node_types
    assert kind.parts == (Part(2, ("gpu time", "gpu memory")),)
    assert kind.part_of(only(fleet())) == kind.parts[0]


def test_what_a_node_type_does_not_state_is_not_looked_at():
    times = [{"nodeType": "bare", "coefficients": {"t0": 5}}]
    option = only(
        fleet(BARE, serviceTimes=times, memoryMebibytes=9e6, cpu=99, hostMemoryMebibytes=9e6)
    )
    assert option.uses.keys() == {"cpu time"}


def test_the_cost_is_the_largest_share_of_a_node_times_its_price():
    asked = fleet(cpu=4)
    assert only(asked).cost == pytest.approx(0.5)
    assert only(asked, priced=True).cost == pytest.approx(1.0)


def test_a_device_that_is_not_shared_is_taken_whole():
    processors = [{"class": "gpu", "count": 2, "exclusive": True}]
    option = only(fleet({**L4, "processors": processors}, ratePerSecond=1))
    assert (option.uses["gpu time"], option.cost) == (1.0, 0.5)


def test_a_price_that_is_missing_is_told():
    with pytest.raises(ValueError, match="nodeTypes: bare has no pricePerHour"):
        offers(fleet(L4, BARE), priced=True)


def test_a_model_that_serves_knows_where_and_what_a_move_counts():
    asked = fleet(present={"nodeType": "l4", "class": "gpu"})
    demand = offers(asked, priced=False).problem.demands[0]
    assert (demand.present, demand.move_factor) == (("l4", "gpu"), MOVE_FACTOR)


@pytest.mark.parametrize(
    ("model", "reason", "message"),
    [
        pytest.param(
            {"processors": ["cpu", "npu"]},
            Reason.PROCESSOR_NOT_ALLOWED,
            "the model allows cpu, npu only",
            id="its class is not allowed",
        ),
        pytest.param(
            {"nodeTypes": ["bare"]},
            Reason.NODE_TYPE_NOT_ALLOWED,
            "the model allows bare only",
            id="it is not allowed",
        ),
        pytest.param(
            {"memoryMebibytes": 2001},
            Reason.INSUFFICIENT_RESOURCES,
            "4002 MiB for 2 copies, a gpu has 4000 MiB",
            id="no processor holds all copies",
        ),
        pytest.param(
            {"hostMemoryMebibytes": 1001},
            Reason.INSUFFICIENT_RESOURCES,
            "needs 1001 MiB of memory, a node has 1000",
            id="no node has the memory",
        ),
        pytest.param(
            {"cpu": 8.5},
            Reason.INSUFFICIENT_RESOURCES,
            "needs 8.5 cpu, a node has 8",
            id="no node has the cores",
        ),
        pytest.param(
            {"objectives": {"latency": {"targetMilliseconds": 5}}},
            Reason.LATENCY_UNREACHABLE,
            "a batch of one takes 6 ms, the latency objective leaves 4.5 ms",
            id="it is too slow",
        ),
        pytest.param(
            {"objectives": {"throughput": {"minPerSecond": 10_000_000}}, "maxBatchSize": 1},
            Reason.NEEDS_CAPACITY,
            "60,000 replicas needed, no more than 10,000 are placed",
            id="it would take a whole data centre",
        ),
    ],
)
def test_a_node_type_that_is_no_option_says_why(model, reason, message):
    assert refusals(fleet(L4, BARE, **model))["l4"] == (reason, message)


def test_where_nothing_tells_how_fast_it_is_it_is_no_option():
    reason, message = refusals(fleet(L4, BARE))["bare"]
    assert reason == Reason.NOT_BENCHMARKED
    assert (
        message == "no reference benchmark tells how fast it is compared to where it was measured"
    )


@pytest.mark.parametrize(
    ("processor", "target", "fits"),
    [
        ({"class": "gpu", "imagesPerSecond": 50}, 14, True),
        ({"class": "gpu", "imagesPerSecond": 50}, 13, False),
        ({"class": "cpu", "imagesPerSecond": 100}, 7, True),
        ({"class": "cpu", "imagesPerSecond": 100}, 6, False),
    ],
)
def test_elsewhere_times_are_scaled_by_the_reference_benchmark(processor, target, fits):
    """A batch of one takes 6 ms on the L4, and so twice as long at half of its speed."""
    other = {"name": "other", "count": 1, "processors": [processor]}
    asked = fleet(L4, other, objectives={"latency": {"targetMilliseconds": target}})
    assert ("other" not in refusals(asked)) is fits


def test_times_of_the_same_class_are_scaled_rather_than_others():
    slow = {"name": "c", "count": 1, "processors": [{"class": "cpu", "imagesPerSecond": 100}]}
    other = {"name": "g", "count": 1, "processors": [{"class": "gpu", "imagesPerSecond": 100}]}
    times = [{"nodeType": "c", "coefficients": {"t0": 99}}, *TIMES]
    asked = fleet(slow, L4, other, serviceTimes=times)
    sizes = offers(asked, priced=False).sizes["m"]
    assert sizes["g", "gpu"] == sizes["l4", "gpu"]


def test_knots_say_nothing_beyond_the_last_one():
    knots = [{"batchSize": 1, "milliseconds": 5}, {"batchSize": 4, "milliseconds": 6}]
    asked = fleet(serviceTimes=[{"nodeType": "l4", "class": "gpu", "knots": knots}])
    assert offers(asked, priced=False).sizes["m"]["l4", "gpu"].batch_size == 4


def test_the_example_has_an_option_for_every_model():
    content = yaml.safe_load(EXAMPLE.read_text(encoding="utf-8"))
    found = offers(Fleet.model_validate(content), priced=True)
    assert all(each.options for each in found.problem.demands)
    assert found.refused["detector"][0].reason == Reason.LATENCY_UNREACHABLE
