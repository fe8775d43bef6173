from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ferryman.api.inference_model import WorkloadWeights
from ferryman.api.node_profile import BenchmarkPoint
from ferryman.core.placement.workload import (
    Contender,
    Counted,
    Utilisation,
    rank,
    seconds_per_image,
    share,
)
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


SPEEDS = {"cpu": 0.04, "gpu": 0.01}


def entrant(name, processor, *loads):
    return contender(name, SPEEDS[processor], *loads, processor=processor)


@pytest.mark.parametrize(
    ("contenders", "winner"),
    [
        pytest.param(
            [entrant("cpu", "cpu", (0.2, 0.1)), entrant("gb10", "gpu", (None, 0.3))],
            "gb10",
            id="memory that no GPU tells is left out for all",
        ),
        pytest.param(
            [entrant("cpu", "cpu", (0.0, 0.0)), entrant("orin", "gpu", (None, None))],
            "orin",
            id="nothing is known of the GPU: the benchmark decides alone",
        ),
        pytest.param(
            [
                entrant("cpu", "cpu", (0.2, 0.2)),
                entrant("known", "gpu", (0.9, 0.9)),
                entrant("silent", "gpu", (None, None)),
            ],
            "cpu",
            id="the GPUs that are known are busy, so the other counts as busy",
        ),
        pytest.param(
            [
                entrant("cpu", "cpu", (0.2, 0.2)),
                contender("slow", 0.036, (0.4, 0.4), processor="gpu"),
                entrant("silent", "gpu", (None, None)),
            ],
            "silent",
            id="the GPUs that are known are free enough, so the other counts as such",
        ),
        pytest.param(
            [entrant("a", "cpu", (None, 0.5)), entrant("b", "cpu", (None, 0.4))],
            "b",
            id="within a class what nobody tells decides nothing",
        ),
    ],
)
def test_what_nobody_could_read_moves_no_model_from_one_class_to_another(contenders, winner):
    assert names(rank(contenders, EVEN))[0] == winner


def test_what_is_unknown_is_shown_as_unknown_and_what_it_counts_as_beside_it():
    known, silent = (entrant("known", "gpu", (0.4, 0.2)), entrant("silent", "gpu", (None, 0.3)))
    workloads = {workload.node_type: workload for workload in rank([known, silent], EVEN)}
    assert (workloads["silent"].memory, workloads["silent"].counted) == (None, Counted(0.4, 0.3))
    assert workloads["silent"].total == 1.7


def test_a_term_that_is_left_out_is_left_out_of_every_sum():
    ranked = rank([entrant("c", "cpu", (0.2, 0.1)), entrant("g", "gpu", (None, 0.3))], EVEN)
    assert [(w.node_type, w.total, w.counted.memory) for w in ranked] == [
        ("g", 0.55, None),
        ("c", 1.1, None),
    ]
    assert ranked[1].memory == 0.2  # it is known all the same


def test_of_twins_the_one_that_is_known_to_be_free_comes_first():
    workload = rank([contender("a", 0.01, (None, None), (0.9, 0.9))], EVEN)[0]
    assert workload.node == "a-2"


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


MAYBE = st.one_of(st.none(), SHARES)
OF_TWO_CLASSES = st.lists(
    st.builds(
        lambda name, seconds, loads, kind: contender(name, seconds, *loads, processor=kind),
        st.sampled_from("abcdefgh"),
        st.floats(min_value=1e-3, max_value=1),
        st.lists(st.tuples(MAYBE, MAYBE), min_size=1, max_size=3),
        st.sampled_from(["cpu", "gpu"]),
    ),
    min_size=1,
    max_size=5,
    unique_by=lambda c: c.node_type,
)


@given(OF_TWO_CLASSES, WEIGHTS)
def test_what_is_unknown_is_never_better_than_the_best_nor_worse_than_the_worst_of_its_class(
    contenders, weights
):
    ranked = rank(contenders, weights)
    assert [w.total for w in ranked] == sorted(w.total for w in ranked)
    for term in ("memory", "utilisation"):
        counted = {getattr(w.counted, term) for w in ranked}
        if None in counted:
            assert counted == {None}  # left out for all, or for none
            continue
        for workload in ranked:
            own = [w for w in ranked if w.processor == workload.processor]
            known = [x for x in (getattr(w, term) for w in own) if x is not None]
            value = getattr(workload.counted, term)
            assert min(known) - 1e-12 <= value <= max(known) + 1e-12


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
