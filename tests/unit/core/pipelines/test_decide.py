"""The assignment of a reconcile: finish, follow the specification, converge, balance."""

import pytest

from ferryman.api.conditions import Reason
from ferryman.api.pipelines.inference_pipeline import BalancingSpec
from ferryman.api.pipelines.inference_pipeline_status import (
    BalancingChange,
    InferencePipelineStatus,
)
from ferryman.api.pipelines.step import StepBalance, StepLimits
from ferryman.core.balancing.account import StepAccount
from ferryman.core.pipelines.assignment import written
from ferryman.core.pipelines.decide import busy_instances, decide_assignment
from tests import factories
from tests.unit.core.pipelines.scenes import (
    PLACED,
    STEPS,
    assignment,
    balancing,
    batching,
    context,
    loaded,
    pipeline,
    window,
    word,
)

THREE = word(assignment(detect=3))
READS = {"prepare": "image", "detect": "prepare.output", "read": "detect.output"}


def fixed(**instances):
    """Return a pipeline whose steps stay as stated."""
    steps = [
        factories.pipeline_step(name, READS[name], initial=StepBalance(instances=count))
        for name, count in {**dict.fromkeys(STEPS, 1), **instances}.items()
    ]
    return pipeline(steps=steps, balancing=BalancingSpec(mode="Fixed"))


def with_journal(*changes, **fields):
    found = balancing(changes=changes)
    return pipeline(status=InferencePipelineStatus(placement=PLACED, balancing=found), **fields)


def change(outcome, *, seconds=-5, after=3, reason=Reason.LIMITING_STEP):
    return BalancingChange(
        time=factories.at(seconds),
        before=written({"detect": batching(1)}),
        after=written({"detect": batching(after)}),
        reason=reason,
        message="why",
        outcome=outcome,
        generation=1,
    )


def pods(**instances):
    return {step: loaded(step, *instances.get(step, (1,))).pods for step in STEPS}


def test_the_balancers_word_is_a_change_of_the_pods_that_differ_from_it():
    found = decide_assignment(context(balance=THREE))
    assert found.change is not None
    [(step, (before, after, concerned))] = found.change.steps.items()
    assert (step, before.instances, after.instances) == ("detect", 1, 3)
    assert [pod.name for pod in concerned] == ["pod-0"]
    assert (found.change.reason, found.status.reason) == (Reason.LIMITING_STEP, "LimitingStep")
    assert found.applied == assignment(), "until it is in force"
    assert (found.state.spare_windows, found.if_refused.spare_windows) == (1, 2)


def test_a_word_that_changes_nothing_is_told():
    found = decide_assignment(context())
    assert (found.change, found.status.reason, found.status.message) == (
        None,
        "DemandServed",
        "enough",
    )
    assert found.state.spare_windows == 1


def test_words_that_only_waver_write_nothing():
    before = balancing(reason="DemandServed", message="enough, about 10")
    subject = pipeline(status=InferencePipelineStatus(placement=PLACED, balancing=before))
    again = word(assignment(), Reason.DEMAND_SERVED, "enough, about 11")
    assert decide_assignment(context(subject, balance=again)).status.message == before.message


def test_observe_tells_what_auto_would_do():
    subject = pipeline(balancing=BalancingSpec(mode="Observe"))
    found = decide_assignment(context(subject, balance=THREE))
    assert found.change is None
    assert found.status.recommended == written(assignment(detect=3))
    assert found.state.spare_windows == 2, "it was not made"
    later = subject.with_(status=subject.status.with_(balancing=found.status))
    assert decide_assignment(context(later)).status.recommended == found.status.recommended
    auto = later.with_(spec=pipeline().spec)
    assert decide_assignment(context(auto)).status.recommended == ()


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({"window": None}, id="no window ended"),
        pytest.param({"settled": False}, id="replicas are being replaced"),
    ],
)
def test_without_a_window_of_what_is_applied_nobody_is_asked(fields):
    found = decide_assignment(context(balance=THREE, **fields))
    assert (found.change, found.decision, found.status.reason) == (None, None, "Observing")


def test_mode_fixed_asks_nobody_and_says_so():
    found = decide_assignment(context(fixed(), balance=THREE))
    assert (found.change, found.status.reason) == (None, "ModeFixed")
    later = fixed().with_(status=InferencePipelineStatus(balancing=found.status))
    assert decide_assignment(context(later)).status == found.status


def test_what_the_user_states_is_followed():
    found = decide_assignment(context(fixed(detect=2), balance=THREE))
    assert found.change.reason == Reason.SPEC_CHANGED
    assert set(found.change.steps) == {"detect"}
    assert "detect 2 workers instead of 1" in found.change.message


def test_what_the_limits_no_longer_allow_is_changed():
    limits = StepLimits(instances={"min": 1, "max": 2})
    subject = pipeline(assignment(detect=4), balancing=BalancingSpec(limits=limits))
    found = decide_assignment(context(subject, pods=pods(detect=(4,))))
    assert found.change.steps["detect"][1].instances == 2


def test_pods_to_come_come_up_with_what_the_user_states():
    found = decide_assignment(context(fixed(detect=2), pods={}))
    assert (found.change, found.applied) == (None, assignment(detect=2))


def test_pods_that_serve_and_do_not_answer_are_changed_once_they_do():
    found = decide_assignment(context(fixed(detect=2), pods=pods(detect=(0,))))
    assert (found.change, found.applied) == (None, assignment())


def test_pods_that_differ_are_brought_back():
    found = decide_assignment(context(pods=pods(detect=(1, 4, 4)), balance=THREE))
    assert found.change.reason == Reason.DRIFTED
    before, after, concerned = found.change.steps["detect"]
    assert (before.instances, after.instances, len(concerned)) == (4, 1, 2)
    assert "2 of 3 pods differ" in found.change.message


def test_a_pod_that_keeps_differing_is_left_alone_after_three_attempts():
    tried = [change("Applied", seconds=-60 * n, reason=Reason.DRIFTED) for n in (1, 2, 3)]
    found = decide_assignment(context(with_journal(*tried), pods=pods(detect=(4,))))
    assert (found.change, found.status.reason) == (None, "Drifted")
    assert "look at Triton's log" in found.status.message


def test_nothing_is_changed_while_a_change_is_under_way():
    subject = with_journal(change("InProgress"))
    found = decide_assignment(context(subject, pods=pods(detect=(0,)), balance=THREE))
    assert (found.change, found.status.changes[0].outcome) == (None, "InProgress")


def test_pods_that_did_not_answer_get_a_pause():
    found = decide_assignment(context(with_journal(change("Interrupted")), balance=THREE))
    assert found.change is None


def test_what_triton_refused_is_not_tried_again_soon():
    found = decide_assignment(context(with_journal(change("Refused")), balance=THREE))
    assert (found.change, found.status.reason) == (None, "ConfigRefused")
    assert found.state.spare_windows == 2, "the balancer does not wait for it to be judged"


FEWER = word(assignment(detect=2), Reason.SPARE_INSTANCES, "fewer would do")


@pytest.mark.parametrize(
    ("detect_ms", "shrinks"),
    [
        # 100 requests a second of so many milliseconds each, on two instances.
        pytest.param(13.0, True, id="two would be busy for 65 % of the time"),
        pytest.param(15.0, False, id="two would be busy for 75 % of the time"),
    ],
)
def test_instances_are_only_taken_where_the_rest_has_room(detect_ms, shrinks):
    subject = pipeline(assignment(detect=3))
    found = decide_assignment(
        context(
            subject,
            pods=pods(detect=(3,)),
            window=window(1000, seconds=10.0, detect=detect_ms),
            balance=FEWER,
        )
    )
    assert (found.change is not None) is shrinks
    if not shrinks:
        assert "one ends only where others are idle" in found.status.message
        assert found.state.spare_windows == 2


def test_a_step_of_which_nothing_was_seen_may_shrink():
    subject, seen = pipeline(assignment(detect=3)), window()
    unseen = type(seen)(seen.requests, {})
    found = decide_assignment(
        context(subject, pods=pods(detect=(3,)), window=unseen, balance=FEWER)
    )
    assert found.change is not None


def test_how_many_instances_ran():
    assert busy_instances(window(1000, seconds=10.0, detect=20.0), "detect") == pytest.approx(2.0)
    assert busy_instances(window(0, seconds=0.0), "detect") is None


@pytest.mark.parametrize(
    ("seen", "reason", "good"),
    [
        pytest.param(window(), Reason.DEMAND_SERVED, True, id="requests were served"),
        pytest.param(window(0), Reason.NO_TRAFFIC, False, id="there were none"),
        pytest.param(window(), Reason.TAKEN_BACK, False, id="it is about to be taken back"),
    ],
)
def test_what_served_a_window_is_the_last_good_assignment(seen, reason, good):
    found = decide_assignment(context(window=seen, balance=word(assignment(), reason)))
    assert found.status.last_good == (written(assignment()) if good else ())


def test_budgets_are_told_beside_what_is_applied():
    account = StepAccount("detect", 1, 64, Reason.DEMAND_SERVED, "x", budget_ms=80.0)
    answer = word(assignment(), Reason.DEMAND_SERVED, steps=(account,))
    found = decide_assignment(context(balance=answer))
    assert {each.step: each.budget_milliseconds for each in found.status.applied} == {
        "prepare": None,
        "detect": 80.0,
        "read": None,
    }
    subject = pipeline(status=InferencePipelineStatus(placement=PLACED, balancing=found.status))
    kept = decide_assignment(context(subject, window=None)).status.applied
    assert kept == found.status.applied
