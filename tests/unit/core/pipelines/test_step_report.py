"""What is said of each step: figures of the last window with traffic, which noise does not move."""

import pytest

from ferryman.api.conditions import Reason
from ferryman.api.pipelines.inference_pipeline_status import NextWorkerStatus
from ferryman.core.balancing.account import StepAccount
from ferryman.core.pipelines.reporting import step_report
from ferryman.core.pipelines.serving import balancer
from tests import factories
from tests.unit.core.pipelines.scenes import (
    assignment,
    balancing,
    pipeline,
    planned,
    serving_snapshot,
    window,
    word,
)


def shown(seen, subject=None):
    """Return what is shown of the slow step after a window."""
    return planned(serving_snapshot(subject), window=seen).status.steps[1]


def again(status_steps):
    subject = pipeline()
    return subject.with_(status=subject.status.with_(steps=status_steps))


def test_a_window_without_traffic_leaves_what_the_last_one_showed():
    first = planned(serving_snapshot(), window=window(detect=9.0)).status.steps
    assert shown(window(0), again(first)) == first[1]
    assert shown(None, again(first)) == first[1]


@pytest.mark.parametrize(
    ("detect_ms", "moves"),
    [
        pytest.param(9.5, False, id="noise"),
        pytest.param(18.0, True, id="a change"),
    ],
)
def test_noise_writes_nothing(detect_ms, moves):
    first = planned(serving_snapshot(), window=window(detect=9.0)).status.steps
    found = shown(window(detect=detect_ms), again(first))
    assert (found != first[1]) is moves


def test_a_figure_that_becomes_known_is_shown():
    first = planned(serving_snapshot(), window=window(detect=9.0)).status.steps
    blank = first[1].with_(busy=None)
    assert shown(window(detect=9.0), again((first[0], blank, first[2]))).busy is not None


def test_budgets_are_shown_as_a_share_of_the_target(monkeypatch):
    account = StepAccount("detect", 1, 64, Reason.DEMAND_SERVED, "x", budget_ms=30.0)
    answer = word(assignment(), Reason.DEMAND_SERVED, steps=(account,))
    monkeypatch.setattr(balancer, "balance", lambda _rules, *rest: answer(*rest))
    with_target = pipeline(objectives=factories.objectives(60))
    detect = shown(window(), with_target)
    assert (detect.budget_milliseconds, detect.budget_share) == (30.0, 0.5)
    assert shown(window()).budget_share is None


def test_requests_that_never_reached_the_end_count_as_no_rows():
    seen = window()
    alone = type(seen)(factories.window(requests=0, inferences=0), seen.steps)
    assert shown(alone).rows_per_request is None


def test_instances_that_say_nothing_are_unknown():
    found = planned(serving_snapshot(steps={})).status.steps[1]
    assert (found.ready, found.instances.observed, found.max_batch_size) == (False, None, None)
    assert found.instances.desired == 1


def account(gain, message="one more would add 30", reason=Reason.LIMITING_STEP):
    return StepAccount("detect", 1, 64, reason, message, gain_per_s=gain)


BEFORE = NextWorkerStatus(
    step="detect",
    added_per_second=30.0,
    reason="LimitingStep",
    message="one more would add 30",
)


@pytest.mark.parametrize(
    ("found", "stays"),
    [
        pytest.param(account(31.0, "one more would add 31"), True, id="noise"),
        pytest.param(account(60.0, "one more would add 60"), False, id="another gain"),
        pytest.param(account(30.0, "one more would add 60"), False, id="other figures in words"),
        pytest.param(account(None, "it is unknown"), False, id="it is not known any more"),
        pytest.param(account(30.0, reason=Reason.INSTANCE_LIMIT), False, id="another reason"),
    ],
)
def test_what_one_more_worker_would_bring(found, stays):
    answer = word(assignment(), steps=(found,), limiting="detect")(None, None, None)
    status = step_report.next_worker(balancing(next_worker=BEFORE), answer)
    assert (status == BEFORE) is stays
    assert status.step == "detect"


def test_without_a_word_the_last_one_stands_and_without_a_limiting_step_there_is_none():
    known = balancing(next_worker=BEFORE)
    assert step_report.next_worker(known, None) == BEFORE
    answer = word(assignment(), steps=(account(1.0),))(None, None, None)
    assert step_report.next_worker(known, answer) is None
    first = step_report.next_worker(
        balancing(), word(assignment(), steps=(account(1.0),), limiting="detect")(None, None, None)
    )
    assert first.added_per_second == 1.0
