"""One window, one decision. What a run of them comes to: tests/unit/core/simulator/graph."""

import pytest

from ferryman.api.conditions import Reason
from ferryman.api.objectives import LatencyObjective, Objectives, ThroughputObjective
from ferryman.core.balancing.decide import balance
from ferryman.core.balancing.profile import Resources
from ferryman.core.balancing.state import BalancerState
from tests import factories
from tests.unit.core.balancing.windows import applied, pipeline_window, rules, step_window

NEW = BalancerState()
ONE = applied(a=1, b=1)
#: Forty requests under way, and b is busy all the time.
SHORT = pipeline_window(
    100, 4000.0, {"a": step_window(100, 20.0), "b": step_window(100, 100.0, 3880.0)}
)
#: Nothing waits, and nothing is busy.
CALM = pipeline_window(
    10, 120.0, {"a": step_window(10, 20.0), "b": step_window(10, 100.0)}, latency_ms=130.0
)


def counts(assignment):
    return tuple(batching.instances for batching in assignment.values())


@pytest.mark.parametrize(
    ("window", "reason", "message"),
    [
        pytest.param(
            pipeline_window(0, None, {"a": step_window(0, 0.0), "b": step_window(0, 0.0)}),
            Reason.NO_TRAFFIC,
            "no request was answered in the window",
            id="no request",
        ),
        pytest.param(
            pipeline_window(2, 120.0, {"a": step_window(2, 20.0), "b": step_window(2, 100.0)}),
            Reason.OBSERVING,
            "too few requests were answered in the window",
            id="two requests",
        ),
        pytest.param(
            pipeline_window(9, 120.0, {"a": step_window(9, 20.0), "b": step_window(0, 0.0)}),
            Reason.LEARNING,
            "no batch was seen yet of b",
            id="requests, but no batch of one step",
        ),
    ],
)
def test_too_little_is_known(window, reason, message):
    found = balance(rules("a", "b"), ONE, window, NEW)
    assert (found.assignment, found.reason, found.message) == (ONE, reason, message)
    assert {account.reason for account in found.steps} == {reason}
    assert found.limiting is None


@pytest.mark.parametrize(
    ("fields", "reason", "message"),
    [
        pytest.param(
            {"limits": factories.limits(instances=(1, 1))},
            Reason.INSTANCE_LIMIT,
            "b limits, and limits.instances lets it have no more",
            id="the limits",
        ),
        pytest.param(
            {"memory_bytes": 10, "resources": Resources(memory_bytes=25)},
            Reason.MEMORY_FULL,
            "b limits, and the memory has no room for more of it",
            id="the memory",
        ),
        pytest.param(
            {"resources": Resources(memory_bytes=25)},
            Reason.MEMORY_UNKNOWN,
            "b limits, and what an instance of it holds is unknown",
            id="memory that nobody knows",
        ),
    ],
)
def test_what_keeps_a_short_step_from_more(fields, reason, message):
    found = balance(rules("a", "b", **fields), ONE, SHORT, NEW)
    assert (found.assignment, found.reason, found.message) == (ONE, reason, message)
    assert found.limiting == "b"
    b = found.steps[1]
    assert (b.is_limiting, b.reason, b.busy) == (True, reason, 1.0)
    assert b.gain_per_s == pytest.approx(10.0)


def test_growth_is_computed_for_all_steps_at_once_and_remembered_as_a_trial():
    found = balance(rules("a", "b"), ONE, SHORT, NEW)
    assert (counts(found.assignment), found.reason) == ((2, 8), Reason.LIMITING_STEP)
    assert found.state.trial.after == found.assignment
    assert found.if_refused.trial is None
    assert found.capacity_per_s == pytest.approx(80.0)


def test_a_change_that_was_not_made_is_decided_again():
    first = balance(rules("a", "b"), ONE, SHORT, NEW)
    again = balance(rules("a", "b"), ONE, SHORT, first.if_refused)
    assert again.assignment == first.assignment
    assert balance(rules("a", "b"), ONE, SHORT, first.state).assignment == first.assignment


def test_full_processors_are_no_reason_for_more():
    short = pipeline_window(100, 4000.0, SHORT.steps, cpu_s=19.9)
    found = balance(rules("a", "b", resources=Resources(processors=2.0)), ONE, short, NEW)
    assert (found.assignment, found.reason) == (ONE, Reason.PROCESSORS_FULL)
    assert found.message.startswith("the processors are busy all the time")


@pytest.mark.parametrize(
    ("processors", "instances", "carried"),
    [
        pytest.param(2.0, (1, 2), 20.0, id="K over v times p is twice the rate of now"),
        pytest.param(4.0, (1, 4), 40.0, id="or four times"),
    ],
)
def test_processors_let_in_what_they_carry(processors, instances, carried):
    short = pipeline_window(100, 4000.0, SHORT.steps, cpu_s=10.0)
    found = balance(rules("a", "b", resources=Resources(processors=processors)), ONE, short, NEW)
    assert (counts(found.assignment), found.reason) == (instances, Reason.LIMITING_STEP)
    assert f"will carry {carried:.0f}" in found.message


def test_what_slows_all_down_and_brings_nothing_is_taken_back_and_not_tried_again():
    first = balance(rules("a", "b"), ONE, SHORT, NEW)
    slowed = pipeline_window(
        90, 4400.0, {"a": step_window(90, 40.0), "b": step_window(90, 800.0, 3500.0)}
    )
    second = balance(rules("a", "b"), first.assignment, slowed, first.state)
    assert (counts(second.assignment), second.reason) == ((1, 1), Reason.TAKEN_BACK)
    assert second.message == (
        "a from 2 to 1 instances, b from 8 to 1 instances: with what was added 9 requests/s "
        "are served, after 10 before and 80 predicted: it slows down a, b"
    )
    third = balance(rules("a", "b"), second.assignment, SHORT, second.state)
    assert (third.assignment, third.reason) == (ONE, Reason.TRIED_BEFORE)
    assert third.message == "more instances were tried under this load and did not help"


def test_a_slower_step_ends_the_memory_of_what_did_not_help():
    first = balance(rules("a", "b"), ONE, SHORT, NEW)
    slowed = pipeline_window(
        90, 4400.0, {"a": step_window(90, 40.0), "b": step_window(90, 800.0, 3500.0)}
    )
    second = balance(rules("a", "b"), first.assignment, slowed, first.state)
    third = balance(rules("a", "b"), ONE, SHORT, second.state)
    slower = pipeline_window(
        33, 12000.0, {"a": step_window(33, 20.0), "b": step_window(33, 300.0, 11600.0)}
    )
    fourth = balance(rules("a", "b"), ONE, slower, third.state)
    assert (fourth.reason, counts(fourth.assignment)[1]) == (Reason.LIMITING_STEP, 8)


def test_what_helped_less_than_predicted_but_is_all_needed_stays():
    first = balance(rules("a", "b", limits=factories.limits(instances=(1, 2))), ONE, SHORT, NEW)
    assert counts(first.assignment) == (1, 2)
    partly = pipeline_window(
        170, 2350.0, {"a": step_window(170, 20.0), "b": step_window(170, 117.0, 2200.0)}
    )
    second = balance(
        rules("a", "b", limits=factories.limits(instances=(1, 2))),
        first.assignment,
        partly,
        first.state,
    )
    assert second.assignment == first.assignment
    assert second.reason == Reason.TRIED_BEFORE


def test_a_step_that_was_becoming_slower_when_more_was_added_is_not_taken_for_contention():
    """Half of the window before it was as quick as ever: what it takes now is its own."""
    first = balance(rules("a", "b"), ONE, CALM, NEW)
    half = pipeline_window(
        60, 6600.0, {"a": step_window(60, 20.0), "b": step_window(60, 165.0, 6400.0)}
    )
    second = balance(rules("a", "b"), ONE, half, first.state)
    assert second.state.trial.unsettled == ("b",)
    slower = pipeline_window(
        90, 4400.0, {"a": step_window(90, 20.0), "b": step_window(90, 300.0, 4000.0)}
    )
    third = balance(rules("a", "b"), second.assignment, slower, second.state)
    assert third.reason != Reason.TAKEN_BACK
    assert third.state.ceiling is None


def test_a_stated_throughput_is_kept_ready_for():
    wanted = Objectives(throughput=ThroughputObjective(min_per_second=30))
    found = balance(rules("a", "b", objectives=wanted), applied(a=1, b=4), CALM, NEW)
    later = balance(rules("a", "b", objectives=wanted), applied(a=1, b=4), CALM, found.state)
    assert counts(later.assignment) == (1, 3)
    spare = balance(rules("a", "b"), applied(a=1, b=4), CALM, NEW)
    assert counts(balance(rules("a", "b"), applied(a=1, b=4), CALM, spare.state).assignment) == (
        1,
        1,
    )


def test_a_latency_that_is_missed_keeps_what_there_is():
    wanted = Objectives(latency=LatencyObjective(target_milliseconds=125))
    found = balance(rules("a", "b", objectives=wanted), applied(a=2, b=2), CALM, NEW)
    assert (counts(found.assignment), found.reason) == ((2, 2), Reason.DEMAND_SERVED)
    assert found.message == (
        "what is asked is served with headroom; the latency budget cannot be split: the longest "
        "path takes at least 240 ms, more than the budget of 120 ms"
    )


def test_a_budget_that_is_kept_gives_spare_instances_back():
    wanted = Objectives(latency=LatencyObjective(target_milliseconds=1000))
    first = balance(rules("a", "b", objectives=wanted), applied(a=2, b=3), CALM, NEW)
    assert (counts(first.assignment), first.reason) == ((2, 3), Reason.SPARE_INSTANCES)
    second = balance(rules("a", "b", objectives=wanted), applied(a=2, b=3), CALM, first.state)
    assert counts(second.assignment) == (1, 1)
    assert second.steps[1].budget_ms == pytest.approx(1000 * 200 / 240)


def test_bounds_alone_may_keep_the_budget():
    wanted = Objectives(latency=LatencyObjective(target_milliseconds=60))
    curve = {size: (20, 10.0 + 2 * size) for size in (1, 2, 4, 8, 16)}
    seen = step_window(620, 15.0, 20.0, service_times=curve, mean_batch_size=6.2)
    late = pipeline_window(620, 40.0, {"a": seen}, latency_ms=90.0)
    found = balance(
        rules(
            "a",
            objectives=wanted,
            live_cap=True,
            limits=factories.limits((1, 32), instances=(3, 3)),
        ),
        applied(bound=32, a=3),
        late,
        NEW,
    )
    assert found.reason == Reason.BUDGET_SPLIT
    assert found.assignment["a"].instances == 3
    assert found.assignment["a"].max_batch_size < 32
    assert "a from batches of 32 to" in found.message


def test_what_the_twin_finds_too_slow_is_planned_for_less_of_the_budget():
    """Of two equal curves L = 2·tau promises 400 ms; with one instance each more wait longer."""
    wanted = Objectives(latency=LatencyObjective(target_milliseconds=440))
    busy = pipeline_window(
        40, 500.0, {"a": step_window(40, 100.0, 150.0), "b": step_window(40, 100.0, 150.0)}
    )
    found = balance(rules("a", "b", objectives=wanted), ONE, busy, NEW)
    assert (found.assignment, found.reason) == (ONE, Reason.DEMAND_SERVED)
    assert all(account.budget_ms == pytest.approx(220.0) for account in found.steps)


def test_what_no_split_makes_quick_enough_is_given_what_the_processors_carry():
    wanted = Objectives(latency=LatencyObjective(target_milliseconds=4000))
    flooded = pipeline_window(
        100,
        5000.0,
        {"a": step_window(100, 20.0), "b": step_window(100, 100.0, 4000.0, pending=300)},
        cpu_s=10.0,
    )
    bounded = rules("a", "b", objectives=wanted, resources=Resources(processors=2.0))
    found = balance(bounded, ONE, flooded, NEW)
    assert (counts(found.assignment), found.reason) == ((1, 2), Reason.LIMITING_STEP)


def test_a_step_with_more_pods_than_the_pipeline_carries_more():
    wide = pipeline_window(
        100, 4000.0, {"a": step_window(100, 20.0), "b": step_window(100, 100.0, pods=4)}
    )
    accounts = balance(rules("a", "b"), ONE, wide, NEW).steps
    assert accounts[0].capacity_per_s == pytest.approx(50.0)
    assert accounts[1].capacity_per_s == pytest.approx(40.0)


def test_one_client_that_waits_for_each_answer_needs_no_second_instance():
    alone = pipeline_window(
        99, 101.0, {"a": step_window(99, 1.0), "b": step_window(99, 100.0, 0.1)}
    )
    found = balance(rules("a", "b"), ONE, alone, NEW)
    assert (found.assignment, found.reason) == (ONE, Reason.DEMAND_SERVED)


def test_two_answers_tell_enough_where_many_wait():
    slow = {"a": step_window(100, 20.0), "b": step_window(2, 5_000.0, 20_000.0, pending=90)}
    found = balance(rules("a", "b"), ONE, pipeline_window(2, 25_000.0, slow), NEW)
    assert found.reason not in {Reason.OBSERVING, Reason.NO_TRAFFIC}
    assert counts(found.assignment)[1] > 1
