import pytest

from ferryman.api.conditions import Reason
from ferryman.api.objectives import LatencyObjective, Objectives
from ferryman.core.balancing import planning
from ferryman.core.balancing.case import instances_of
from ferryman.core.balancing.profile import Resources
from tests.unit.core.balancing.test_case import case
from tests.unit.core.balancing.windows import applied, step_window

#: b is short: 100 ms and always busy. Two of the three a's are idle.
SHORT = {"a": step_window(100, 20.0), "b": step_window(100, 100.0, 380.0)}


def test_other_steps_keep_what_they_have_where_there_is_room():
    plan = planning.grown(case(1, {"a": 3, "b": 1}, SHORT))
    assert instances_of(plan.assignment) == {"a": 3, "b": 6}
    assert plan.reason == Reason.DEMAND_SERVED


def test_and_give_some_up_where_there_is_not():
    """Room for five: two a's of which the rest stays below 70 % give it to b."""
    tight = case(1, {"a": 3, "b": 1}, SHORT, memory_bytes=1, resources=Resources(memory_bytes=5))
    plan = planning.grown(tight)
    assert instances_of(plan.assignment) == {"a": 1, "b": 4}
    assert plan.reason == Reason.MEMORY_FULL


def test_thrift_never_adds():
    plan = planning.thrifty(case(1, {"a": 3, "b": 1}, SHORT))
    assert instances_of(plan.assignment) == {"a": 1, "b": 1}


@pytest.mark.parametrize(
    ("rate_per_s", "kept"),
    [
        pytest.param(10.0, {"a": 2, "b": 1}, id="what was there before"),
        pytest.param(20.1, {"a": 2, "b": 2}, id="no instance for the last hundredth"),
        pytest.param(35.0, {"a": 2, "b": 4}, id="what it takes"),
        pytest.param(90.0, {"a": 2, "b": 6}, id="no more than was added"),
    ],
)
def test_of_what_was_added_so_much_is_kept_as_a_rate_takes(rate_per_s, kept):
    there = case(1, {"a": 2, "b": 6}, {"a": step_window(100, 20.0), "b": step_window(100, 100.0)})
    found = planning.enough(there, applied(a=2, b=1), rate_per_s)
    assert instances_of(found) == kept


def test_without_what_was_added_other_changes_stay():
    found = planning.without_growth(applied(a=1, b=6), applied(a=2, b=1))
    assert instances_of(found) == {"a": 1, "b": 1}


@pytest.mark.parametrize(
    ("steps", "more"),
    [
        pytest.param(SHORT, True, id="a short step"),
        pytest.param(
            {"a": step_window(100, 20.0), "b": step_window(100, 50.0)}, False, id="half idle"
        ),
        pytest.param(
            {"a": step_window(100, 20.0), "b": step_window(100, 95.0, 1.0, pending=1)},
            True,
            id="hardly idle, and somebody waits",
        ),
        pytest.param(
            {"a": step_window(100, 20.0), "b": step_window(100, 95.0, 1.0)},
            False,
            id="hardly idle, and nobody waits: a client that waits for each answer",
        ),
    ],
)
def test_when_more_is_needed(steps, more):
    assert planning.needs_more(case(1, {"a": 1, "b": 1}, steps)) is more


@pytest.mark.parametrize(
    ("objectives", "missed"),
    [
        (None, False),
        (Objectives(latency=LatencyObjective(target_milliseconds=499)), True),
        (Objectives(latency=LatencyObjective(target_milliseconds=501)), False),
    ],
)
def test_when_the_latency_is_missed(objectives, missed):
    assert (
        planning.misses_latency(case(1, {"a": 3, "b": 1}, SHORT, objectives=objectives)) is missed
    )
