from itertools import pairwise, product
from math import ceil, inf

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ferryman.api.conditions import Reason
from ferryman.core.balancing import branch_and_bound, frontier
from ferryman.core.balancing.latency import (
    BudgetSplit,
    NoSplit,
    longest_path_s,
    options_of,
    split_budget,
    weights_of,
)
from ferryman.core.balancing.profile import Resources
from tests.unit.core.balancing.pipelines import drawn_resources, drawn_steps, step

#: One batch of up to four costs little more than one of one.
BATCHES = (10.0, 12.0, 14.0, 16.0)
#: The smallest pipeline that is not series-parallel: d reads one of the two that c reads.
CROSSED = {"a": (), "b": (), "c": ("a", "b"), "d": ("b",), "e": ("c", "d")}


def paths(steps):
    """Return all paths, each from a step that reads nothing to one that nobody reads."""
    after = {s.name: s.after for s in steps}
    read = {name for sources in after.values() for name in sources}

    def back(name):
        if not after[name]:
            return [(name,)]
        return [(*way, name) for source in after[name] for way in back(source)]

    return [way for name in after if name not in read for way in back(name)]


def cheapest(steps, budget_s, demand_per_s, resources):
    """Return the least cost of any choice of bounds, trying all of them; infinite if none fits."""
    held = [s.memory_bytes for s in steps]
    known = None not in held and sum(held) > 0
    best, best_held = inf, 0
    ways = []
    for s in steps:
        unknown = resources.memory_bytes is not None and s.memory_bytes is None
        most = s.limits.min if unknown else s.limits.max
        weight = s.memory_bytes * len(steps) / sum(held) if known else 1.0
        own = []
        for size, seconds in enumerate(s.service_s, start=1):
            if size < min(s.visits, len(s.service_s)):
                continue
            count = max(s.limits.min, ceil(demand_per_s * s.visits * seconds / size - 1e-9))
            if count <= most:
                own.append((seconds * (1 + ceil(s.visits / size)), count * weight, count))
        ways.append(own)
    every_path = paths(steps)
    names = [s.name for s in steps]
    for chosen in product(*ways):
        took = dict(zip(names, (way[0] for way in chosen), strict=True))
        if all(sum(took[name] for name in path) <= budget_s * (1 + 1e-9) for path in every_path):
            cost = sum(way[1] for way in chosen)
            if cost < best:
                best = cost
                best_held = sum(
                    way[2] * (s.memory_bytes or 0) for way, s in zip(chosen, steps, strict=True)
                )
    fits = resources.memory_bytes is None or best_held <= resources.memory_bytes
    return best, fits


def crossed(**fields):
    return tuple(
        step(name, service_ms=BATCHES, after=after, most=64, **fields)
        for name, after in CROSSED.items()
    )


def test_a_tight_budget_buys_time_with_instances_where_they_save_most_of_it():
    steps = (
        step("quick", service_ms=(10.0, 11.0, 12.0, 13.0), most=64),
        step("slow", service_ms=(100.0, 130.0, 160.0, 190.0), after=("quick",), most=64),
    )
    loose = split_budget(steps, 1.0, 600.0, Resources())
    tight = split_budget(steps, 0.25, 600.0, Resources())
    assert [o.bound for o in loose.options.values()] == [4, 4]
    assert [o.bound for o in tight.options.values()] == [4, 1]
    assert tight.cost > loose.cost
    assert tight.latency_s == pytest.approx(0.226)


def test_beside_each_other_the_longer_branch_alone_spends_the_budget():
    steps = (
        step("left", service_ms=BATCHES, most=64),
        step("right", service_ms=(5.0, 6.0, 7.0, 8.0), most=64),
    )
    found = split_budget(steps, 0.032, 1000.0, Resources())
    assert {name: o.bound for name, o in found.options.items()} == {"left": 4, "right": 4}
    assert dict(found.budgets_s) == {"left": pytest.approx(0.032), "right": pytest.approx(0.032)}


@pytest.mark.parametrize(
    ("steps", "budget_s", "resources", "reason", "words"),
    [
        pytest.param(
            crossed(),
            0.05,
            Resources(),
            Reason.LATENCY_UNREACHABLE,
            "the longest path takes at least 60 ms, more than the budget of 50 ms",
            id="not even batches of one are quick enough",
        ),
        pytest.param(
            (step("a", 100, most=2),),
            1.0,
            Resources(),
            Reason.INSTANCE_LIMIT,
            "a cannot serve 100 requests/s within its limits",
            id="the limits let it have too few instances",
        ),
        pytest.param(
            (step("a", 100, most=64, memory_bytes=2),),
            1.0,
            Resources(memory_bytes=10),
            Reason.MEMORY_FULL,
            "the memory has no room for as many instances as it takes",
            id="ten instances of two bytes do not fit into ten",
        ),
    ],
)
def test_why_there_is_no_split(steps, budget_s, resources, reason, words):
    assert split_budget(steps, budget_s, 100.0, resources) == NoSplit(reason, words)


def test_a_pipeline_that_is_not_series_parallel_is_split_exactly_too():
    steps = crossed()
    for budget_s in (0.06, 0.07, 0.09):
        found = split_budget(steps, budget_s, 400.0, Resources())
        assert found.cost == pytest.approx(cheapest(steps, budget_s, 400.0, Resources())[0])


@given(
    st.lists(st.tuples(st.integers(1, 40), st.integers(1, 15)), min_size=5, max_size=5),
    st.floats(1.0, 4.0),
)
@example([(26, 11), (1, 3), (26, 1), (12, 13), (12, 5)], 1.2)  # the greedy way is not the best
@settings(deadline=None, max_examples=30)
def test_whatever_its_curves(curves, looseness):
    steps = tuple(
        step(name, service_ms=[t0 + a * b for b in (1, 2, 3, 4)], after=after, most=64)
        for (name, after), (t0, a) in zip(CROSSED.items(), curves, strict=True)
    )
    quickest_s = longest_path_s(steps, {s.name: 2 * s.service_s[0] for s in steps})
    found = split_budget(steps, quickest_s * looseness, 300.0, Resources())
    best, _ = cheapest(steps, quickest_s * looseness, 300.0, Resources())
    assert found.cost == pytest.approx(best)
    assert found.at_least == pytest.approx(best)


@given(
    drawn_steps(most_steps=4, most_instances=64),
    drawn_resources(),
    st.floats(0.001, 3.0),
    st.floats(0.1, 50.0),
)
@settings(deadline=None, max_examples=50)
def test_no_choice_of_bounds_is_cheaper(steps, resources, budget_s, demand_per_s):
    found = split_budget(steps, budget_s, demand_per_s, resources)
    best, fits = cheapest(steps, budget_s, demand_per_s, resources)
    if isinstance(found, NoSplit):
        assert best == inf or (found.reason == Reason.MEMORY_FULL and not fits)
        return
    assert found.cost == pytest.approx(best)
    assert found.at_least == pytest.approx(best)
    assert found.latency_s <= budget_s * (1 + 1e-6)
    budgets = found.budgets_s
    for path in paths(steps):
        assert sum(budgets[name] for name in path) <= budget_s * (1 + 1e-6)
    for each in steps:
        assert budgets[each.name] >= found.options[each.name].latency_s * (1 - 1e-6)


def test_a_request_of_more_rows_than_a_batch_waits_for_all_of_its_batches():
    rows = step("lines", service_ms=BATCHES, visits=6.0, most=64)
    assert [(o.bound, o.latency_s) for o in options_of(rows, 1.0, most=64)] == [
        (4, pytest.approx(3 * 0.016))
    ]


def test_of_large_bounds_some_sizes_are_options():
    wide = step("wide", service_ms=tuple(10.0 + i for i in range(4096)), most=64)
    sizes = [option.bound for option in options_of(wide, 1.0, most=64)]
    assert (sizes[0], sizes[-1]) == (1, 4096)
    assert len(sizes) <= 64
    assert all(one < other for one, other in pairwise(sizes))


@pytest.mark.parametrize(
    ("held", "weights"),
    [
        pytest.param((10, 30), (0.5, 1.5), id="by what they hold, 1 on average"),
        pytest.param((10, None), (1.0, 1.0), id="alike, where one is unknown"),
        pytest.param((0, 0), (1.0, 1.0), id="alike, where they hold nothing"),
    ],
)
def test_what_an_instance_costs(held, weights):
    steps = [step(str(i), memory_bytes=each) for i, each in enumerate(held)]
    assert tuple(weights_of(steps).values()) == weights


def test_a_search_that_is_given_up_says_what_no_split_can_undercut(monkeypatch):
    exact = split_budget(crossed(), 0.08, 400.0, Resources())
    monkeypatch.setattr(branch_and_bound, "MOST_NODES", 3)
    found = split_budget(crossed(), 0.08, 400.0, Resources())
    assert found.at_least <= exact.cost <= found.cost


def test_a_thinned_frontier_says_what_that_may_cost(monkeypatch):
    steps = tuple(
        step(
            name,
            service_ms=tuple(10.0 + i * pace for i in range(16)),
            after=after,
            memory_bytes=held,
            most=64,
        )
        for name, after, pace, held in (
            ("a", (), 1.0, 7),
            ("b", ("a",), 1.7, 11),
            ("c", ("b",), 2.3, 13),
        )
    )
    exact = split_budget(steps, 0.2, 300.0, Resources())
    monkeypatch.setattr(frontier, "MOST_POINTS", 5)
    found = split_budget(steps, 0.2, 300.0, Resources())
    assert isinstance(found, BudgetSplit)
    assert found.at_least < found.cost
    assert found.at_least <= exact.cost <= found.cost


def test_what_reads_a_later_step_is_refused():
    steps = (step("a", after=("b",)), step("b"))
    with pytest.raises(ValueError, match="a reads a step that does not come before it"):
        split_budget(steps, 1.0, 1.0, Resources())


def test_the_longest_path_counts():
    took = {"a": 0.1, "b": 0.3, "c": 0.1, "d": 0.5, "e": 0.1}
    assert longest_path_s(crossed(), took) == pytest.approx(0.9)
