"""Limits of waits reach pods seldom, as each is a reload, and never come in the way of changes."""

import pytest

from ferryman.api.conditions import Reason
from ferryman.api.pipelines.inference_pipeline import BalancingSpec
from ferryman.api.pipelines.inference_pipeline_status import BalancingChange, StepStatus
from ferryman.core.pipelines import journal
from ferryman.core.pipelines.assignment import written
from ferryman.core.pipelines.decide import decide_assignment
from tests import factories
from tests.unit.core.pipelines.scenes import (
    STEPS,
    assignment,
    balancing,
    batching,
    context,
    loaded,
    pipeline,
    planned,
    serving_snapshot,
)

BASE_US = 200_000
WAITS = {"prepare": 60_000, "detect": 180_000, "read": 60_000}


def pods(**limits_us):
    """Return what one pod has of each step: the target's own limit unless told otherwise."""
    found = {}
    for step in STEPS:
        limit = {"default_timeout_microseconds": limits_us.get(step, BASE_US)}
        found[step] = tuple(
            pod.with_(batching=pod.batching.with_(**limit)) for pod in loaded(step, 1).pods
        )
    return found


def limited(**fields):
    values = {"pods": pods(), "waits_us": WAITS, "window": None, **fields}
    subject = values.pop("subject", None)
    return decide_assignment(context(subject, **values))


def entry(reason, seconds):
    return BalancingChange(
        time=factories.at(seconds),
        before=written({"detect": batching(1)}),
        after=written({"detect": batching(1)}),
        reason=reason,
        message="why",
        outcome="Applied",
        generation=1,
    )


def test_steps_whose_limit_is_far_off_get_theirs_and_keep_their_instances():
    found = limited()
    assert found.change.reason is Reason.REJECTS_IN_TIME
    assert found.change.message == (
        "steps reject in time: prepare what waited for 60 ms, read what waited for 60 ms"
    )
    for before, after, concerned in found.change.steps.values():
        assert before.instances == after.instances == 1
        assert before.default_timeout_microseconds == BASE_US
        assert after.default_timeout_microseconds == 60_000
        assert [pod.name for pod in concerned] == ["pod-0"]


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({"waits_us": {}}, id="nothing is known"),
        pytest.param({"pods": pods(prepare=70_000, read=50_000)}, id="near enough"),
        pytest.param({"pods": pods(prepare=0, read=0)}, id="the owner wants no limit"),
        pytest.param({"settled": False}, id="pods come and go"),
        pytest.param(
            {"subject": pipeline(balancing=BalancingSpec(mode="Observe"))}, id="only observed"
        ),
    ],
)
def test_otherwise_no_step_is_reloaded(fields):
    assert limited(**fields).change is None


@pytest.mark.parametrize(
    ("reason", "seconds", "changes"),
    [
        pytest.param(Reason.REJECTS_IN_TIME, -60, False, id="moments ago"),
        pytest.param(Reason.REJECTS_IN_TIME, -900, True, id="a while ago"),
        pytest.param(Reason.LIMITING_STEP, -60, True, id="something else moments ago"),
    ],
)
def test_limits_rest_for_a_while(reason, seconds, changes):
    status = pipeline().status.with_(balancing=balancing(changes=(entry(reason, seconds),)))
    found = limited(subject=pipeline(status=status))
    assert (found.change is not None) is changes


def with_budgets():
    """Return a pipeline that was balanced for a target of 200 ms."""
    budgets = {"prepare": 20.0, "detect": 60.0, "read": 20.0}
    applied = written(assignment(), budgets)
    shown = tuple(
        StepStatus(name=name, service_time_milliseconds=each / 2) for name, each in budgets.items()
    )
    subject = pipeline(objectives=factories.objectives(200))
    status = subject.status.with_(balancing=balancing().with_(applied=applied), steps=shown)
    return subject.with_(status=status)


def test_pods_start_with_what_is_known_and_do_not_roll_for_it():
    plans = [
        planned(serving_snapshot(subject))
        for subject in (pipeline(objectives=factories.objectives(200)), with_budgets())
    ]
    [before, after] = (
        next(each for each in plan.objects if each["kind"] == "ConfigMap")["data"] for plan in plans
    )
    assert "'default_timeout_microseconds': 200000" in before["read.pbtxt"]
    assert "'default_timeout_microseconds': 28000" in after["read.pbtxt"]
    hashes = {
        plan.objects[-1]["spec"]["template"]["metadata"]["annotations"][
            "serving.ferryman.dev/config-hash"
        ]
        for plan in plans
    }
    assert len(hashes) == 1


def test_a_change_of_instances_leaves_the_limit_that_a_pod_was_loaded_with():
    subject = with_budgets()
    steps = serving_snapshot(subject).steps
    limit = {"default_timeout_microseconds": 150_000}
    had = steps["detect"].pods[0]
    was = had.with_(batching=had.batching.with_(instances=2, **limit))
    steps = {**steps, "detect": steps["detect"].with_(pods=(was,))}
    found = planned(serving_snapshot(subject, steps=steps))
    [move] = found.change.moves
    assert move.step == "detect"
    assert "'default_timeout_microseconds': 150000" in move.configs["pod-0"]


def test_a_change_keeps_the_budget_until_the_next_window_tells_another():
    begun = entry(Reason.LIMITING_STEP, -5).with_(outcome="InProgress")
    applied = written(assignment(), {"detect": 60.0})
    status = with_budgets().status
    status = status.with_(balancing=balancing(changes=(begun,)).with_(applied=applied))
    after = journal.record_outcome(status, "Applied", "").balancing.applied
    assert {each.step: each.budget_milliseconds for each in after}["detect"] == 60.0
