import pytest

from ferryman.api.conditions import Reason
from ferryman.api.inference_model import PlacementSpec
from ferryman.core.placement.candidates import find
from ferryman.core.placement.filters import FilterContext
from ferryman.core.placement.workload import Utilisation
from tests.factories import (
    GIB,
    NOW,
    at,
    benchmark,
    model,
    node,
    processor,
    runtime,
    runtime_processor,
)


def candidates(nodes, asked=None, served=None):
    return find(FilterContext(asked or model(), served or runtime(), NOW), nodes)


def only(nodes, *args):
    [candidate] = candidates(nodes, *args)
    return candidate


def test_one_candidate_per_node_type_and_class_sorted_by_name():
    both = [processor("gpu"), processor("cpu")]
    found = candidates([node("n1", "b", processors=both), node("n2", "a"), node("n3", "a")])
    assert [(c.node_type, c.processor) for c in found] == [("a", "cpu"), ("b", "cpu"), ("b", "gpu")]
    assert all(c.contender and c.refusal is None for c in found)
    assert [c.product for c in found] == ["test cpu", "test cpu", "test gpu"]


@pytest.mark.parametrize(
    "nodes",
    [
        pytest.param([], id="no nodes"),
        pytest.param([node(has_profile=False)], id="no profile"),
        pytest.param([node(node_type="")], id="a profile that does not know its type yet"),
        pytest.param([node(processors=[])], id="no processors"),
    ],
)
def test_no_candidates(nodes):
    assert candidates(nodes) == ()


def test_only_nodes_that_fit_compete():
    nodes = [node("full", ready=False), node("n1", processors=[processor("cpu", 0.5, 0.25)])]
    assert only(nodes).contender.loads == (Utilisation("n1", memory=0.25, utilisation=0.5),)


@pytest.mark.parametrize("reserved", [{}, {"in_flight_cpu_millicores": 1000}])
def test_unknown_utilisation_stays_unknown_whatever_comes_on_top(reserved):
    nodes = [node("n", processors=[processor("cpu", None, None)], reserved=reserved)]
    assert only(nodes).contender.loads == (Utilisation("n", memory=None, utilisation=None),)


def test_what_was_placed_moments_ago_counts_as_load():
    in_flight = {"in_flight_cpu_millicores": 1000, "in_flight_memory_bytes": 2 * GIB}
    [load] = only([node("n", reserved=in_flight)]).contender.loads
    assert (load.utilisation, load.memory) == (pytest.approx(0.35), pytest.approx(0.45))


def test_the_refusal_of_the_node_that_came_furthest_is_shown():
    nodes = [
        node("n1", ready=False),
        node("n2", processors=[processor(unavailable="lost")]),
        node("n3", heartbeat_age_s=500),
    ]
    candidate = only(nodes)
    assert (candidate.refusal.reason, candidate.node) == (Reason.PROCESSOR_UNAVAILABLE, "n2")
    assert candidate.contender is None


def test_of_equally_far_nodes_the_first_by_name_is_shown():
    candidate = only([node("n2", ready=False), node("n1", ready=False)])
    assert (candidate.node, candidate.refusal.message) == ("n1", "n1 is cordoned")


def test_a_class_that_is_ruled_out_names_no_node():
    candidate = only([node()], model(placement=PlacementSpec(processors=("gpu",))))
    assert (candidate.refusal.reason, candidate.node) == (Reason.PROCESSOR_NOT_ALLOWED, None)


def test_a_class_that_the_runtime_lacks_is_ruled_out():
    served = runtime(processors=[runtime_processor("gpu")])
    assert only([node()], model(), served).refusal.reason == Reason.PROCESSOR_NOT_IN_RUNTIME


def test_a_node_uses_the_table_of_its_peer():
    nodes = [node("n1", benchmarks=[]), node("n2", ready=False, benchmarks=[benchmark(200.0)])]
    assert only(nodes).contender.seconds_per_image == 1 / 200


@pytest.mark.parametrize(
    "table",
    [
        pytest.param(benchmark(runtime="another"), id="of another runtime"),
        pytest.param(benchmark(image="triton:older"), id="of another image"),
        pytest.param(benchmark(processor="gpu"), id="of another class"),
        pytest.param(benchmark(node_type="cpu-large"), id="of what the node was before"),
    ],
)
def test_a_table_of_something_else_does_not_count(table):
    assert only([node(benchmarks=[table])]).refusal.reason == Reason.NOT_BENCHMARKED


@pytest.mark.parametrize(
    ("tables", "images_per_second"),
    [
        pytest.param(
            [benchmark(100.0, measured_at=at(-9)), benchmark(300.0, measured_at=at(-5))],
            300,
            id="the newest",
        ),
        pytest.param(
            [benchmark(100.0, measured_at=at(-9)), benchmark(points=(), measured_at=at(-5))],
            100,
            id="one with rows before a newer failure",
        ),
    ],
)
def test_of_several_tables_one_counts(tables, images_per_second):
    nodes = [node("n1", benchmarks=tables[:1]), node("n2", benchmarks=tables[1:])]
    assert only(nodes).contender.seconds_per_image == 1 / images_per_second


def test_where_all_replicas_fit_somewhere_a_type_with_less_room_is_refused():
    """A replica requests half a core: a node of four has room for eight."""
    nodes = [node("a1", "a"), node("b1", "b"), node("b2", "b")]
    first, second = candidates(nodes, model(replicas=9))
    assert first.refusal.reason == Reason.INSUFFICIENT_RESOURCES
    assert first.refusal.message == "a has room for 8 of 9 replicas"
    assert (second.room, len(second.places)) == (9, 2)
    assert all(each.places for each in candidates(nodes, model(replicas=8)))


def test_where_not_all_replicas_fit_anywhere_some_of_them_may_serve():
    found = candidates([node("a1", "a"), node("b1", "b")], model(replicas=9))
    assert [(each.room, each.refusal) for each in found] == [(8, None), (8, None)]


def test_a_model_that_is_scaled_to_zero_needs_room_for_one():
    assert only([node()], model(replicas=0)).room == 1
