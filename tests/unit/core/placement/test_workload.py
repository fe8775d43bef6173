from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ferryman.api.inference_model import WorkloadWeights
from ferryman.api.node_profile import BenchmarkPoint
from ferryman.core.placement.workload import Contender, Utilisation, rank, seconds_per_image, share
from tests.factories import points

EVEN = WorkloadWeights()


def contender(name="a", seconds=0.01, *loads, processor="cpu"):
    """Return a contender; loads are (memory, utilisation) of the nodes NAME-1, NAME-2 and so on."""
    shares = loads or ((0.0, 0.0),)
    return Contender(
        name,
        processor,
        seconds,
        tuple(Utilisation(f"{name}-{i}", *load) for i, load in enumerate(shares, start=1)),
    )


def names(ranked):
    return [workload.node_type for workload in ranked]


def test_the_workload_is_the_sum_of_three_terms():
    slow, fast = contender("slow", 0.04, (0.1, 0.2)), contender("fast", 0.01, (0.5, 0.7))
    first, second = rank([slow, fast], EVEN)
    assert (first.node_type, first.benchmark, first.memory, first.utilisation, first.total) == (
        "slow",
        1.0,
        0.1,
        0.2,
        1.3,
    )
    assert (second.node_type, second.benchmark, second.total) == ("fast", 0.25, 1.45)


def test_the_benchmark_term_compares_with_the_slowest_contender_only():
    alone = rank([contender("fast", 0.25)], EVEN)[0]
    beside = rank([contender("fast", 0.25), contender("slow", 1.0)], EVEN)[0]
    assert (alone.benchmark, beside.benchmark) == (1.0, 0.25)


@pytest.mark.parametrize(
    ("weights", "winner"),
    [
        pytest.param(EVEN, "idle", id="1:1:1"),
        pytest.param(WorkloadWeights(benchmark=10), "fast", id="speed counts tenfold"),
        pytest.param(WorkloadWeights(utilisation=0, memory=0), "fast", id="only speed counts"),
        pytest.param(WorkloadWeights(benchmark=0), "idle", id="speed does not count"),
    ],
)
def test_weights(weights, winner):
    contenders = [contender("fast", 0.01, (0.6, 0.6)), contender("idle", 0.02, (0.1, 0.1))]
    assert names(rank(contenders, weights))[0] == winner


def test_a_node_type_scores_as_its_least_loaded_node():
    workload = rank([contender("a", 0.01, (0.9, 0.9), (0.1, 0.3), (0.3, 0.2))], EVEN)[0]
    assert (workload.node, workload.memory, workload.utilisation) == ("a-2", 0.1, 0.3)


def test_equally_loaded_nodes_go_by_name():
    assert rank([contender("a", 0.01, (0.2, 0.1), (0.1, 0.2))], EVEN)[0].node == "a-1"


def test_the_least_loaded_node_is_found_even_where_load_does_not_count():
    weights = WorkloadWeights(memory=0, utilisation=0)
    assert rank([contender("a", 0.01, (0.9, 0.9), (0.1, 0.1))], weights)[0].node == "a-2"


@pytest.mark.parametrize(
    ("contenders", "winner"),
    [
        pytest.param(
            [contender("a", 0.02, (0.0, 0.0)), contender("b", 0.01, (0.25, 0.25))],
            ("b", "cpu"),
            id="equal sums: the faster",
        ),
        pytest.param(
            [contender("b", 0.01, (0.1, 0.2)), contender("a", 0.01, (0.2, 0.1))],
            ("a", "cpu"),
            id="equally fast too: by name",
        ),
        pytest.param(
            [contender("a", processor="npu"), contender("a", processor="gpu")],
            ("a", "gpu"),
            id="one node type: by processor class",
        ),
    ],
)
def test_ties(contenders, winner):
    best = rank(contenders, EVEN)[0]
    assert (best.node_type, best.processor) == winner


def test_nobody_contends():
    assert rank([], EVEN) == ()


@pytest.mark.parametrize(
    ("known", "added", "expected"),
    [
        pytest.param(0.3, 0.0, 0.3, id="known"),
        pytest.param(None, 0.0, 1.0, id="unknown counts as full"),
        pytest.param(0.3, 0.2, 0.5, id="what was placed moments ago comes on top"),
        pytest.param(0.9, 0.2, 1.0, id="never above 1"),
        pytest.param(-0.5, 0.0, 0.0, id="never below 0"),
        pytest.param(float("nan"), 0.0, 1.0, id="not a number counts as full"),
        pytest.param(0.1, float("inf"), 1.0, id="an infinite addition counts as full"),
    ],
)
def test_share(known, added, expected):
    assert share(known, added) == pytest.approx(expected)


def test_seconds_per_image_are_those_of_the_best_row():
    assert seconds_per_image(points(20, 50, 40)) == 1 / 50


def nonsense(rate):
    return BenchmarkPoint.model_construct(batch_size=4, images_per_second=rate)


@pytest.mark.parametrize(
    "rate",
    [
        pytest.param(0.0, id="zero"),
        pytest.param(-5.0, id="negative"),
        pytest.param(float("nan"), id="not a number"),
        pytest.param(float("inf"), id="infinite"),
        pytest.param(5e-324, id="so small that its reciprocal overflows"),
    ],
)
def test_a_rate_that_no_processor_has_is_an_error(rate):
    with pytest.raises(ValueError, match="images per second at batch size 4"):
        seconds_per_image((*points(10, 20), nonsense(rate)))


def test_a_table_without_rows_is_an_error():
    with pytest.raises(ValueError, match="no rows"):
        seconds_per_image(())


SHARES = st.floats(min_value=0, max_value=1)
WEIGHTS = st.builds(
    WorkloadWeights,
    benchmark=st.integers(0, 100),
    memory=st.integers(0, 100),
    utilisation=st.integers(0, 100),
)
CONTENDERS = st.lists(
    st.builds(
        lambda name, seconds, loads: contender(name, seconds, *loads),
        st.sampled_from("abcdefgh"),
        st.floats(min_value=1e-7, max_value=1e7),
        st.lists(st.tuples(SHARES, SHARES), min_size=1, max_size=4),
    ),
    min_size=1,
    max_size=5,
    unique_by=lambda c: c.node_type,
)


def brute_force(contenders, weights):
    """Score every node of every contender and take the least by a plain comparison."""
    slowest = max(c.seconds_per_image for c in contenders)
    scores = {
        (c.node_type, load.node): weights.benchmark * c.seconds_per_image / slowest
        + weights.memory * load.memory
        + weights.utilisation * load.utilisation
        for c in contenders
        for load in c.loads
    }
    return min(scores.values())


@given(CONTENDERS, WEIGHTS)
def test_the_winner_is_the_argmin_over_all_nodes(contenders, weights):
    best = rank(contenders, weights)[0]
    assert best.total == pytest.approx(brute_force(contenders, weights), abs=1e-8)


@given(CONTENDERS, WEIGHTS)
def test_scores_are_bounded_and_sorted(contenders, weights):
    ranked = rank(contenders, weights)
    assert len(ranked) == len(contenders)
    assert [w.total for w in ranked] == sorted(w.total for w in ranked)
    most = weights.benchmark + weights.memory + weights.utilisation
    for workload in ranked:
        assert 0 <= workload.benchmark <= 1
        assert 0 <= workload.total <= most + 1e-9
    assert max(workload.benchmark for workload in ranked) == 1.0


@given(CONTENDERS, WEIGHTS)
def test_the_order_of_contenders_and_nodes_does_not_matter(contenders, weights):
    expected = rank(contenders, weights)
    for shuffled in list(permutations(contenders))[:6]:
        turned = [
            Contender(c.node_type, c.processor, c.seconds_per_image, c.loads[::-1])
            for c in shuffled
        ]
        assert rank(turned, weights) == expected


@given(CONTENDERS, WEIGHTS, SHARES)
def test_more_load_never_improves_a_score(contenders, weights, extra):
    first = contenders[0]
    loads = tuple(
        Utilisation(load.node, share(load.memory, extra), share(load.utilisation, extra))
        for load in first.loads
    )
    busier = Contender(first.node_type, first.processor, first.seconds_per_image, loads)

    def total(entrants):
        ranked = rank(entrants, weights)
        return next(w.total for w in ranked if w.node_type == first.node_type)

    assert total([busier, *contenders[1:]]) >= total(contenders) - 1e-9
