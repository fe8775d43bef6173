"""What the status of a pipeline tells of the replicas that it needs."""

import pytest

from ferryman.api.conditions import ConditionType, Reason, find
from ferryman.api.inference_model_status import FewerReplicas
from ferryman.api.pipelines.inference_pipeline_status import InferencePipelineStatus
from ferryman.core.pipelines.decide import decide_assignment
from ferryman.core.tuners.needs import ENOUGH, Enough, Replicas, Unattainable
from tests.factories import at
from tests.unit.core.pipelines.scenes import (
    PLACED,
    assignment,
    balancing,
    context,
    pipeline,
    planned,
    serving_snapshot,
    window,
    word,
)
from tests.unit.core.pipelines.test_decide import fixed


def told(needs, subject=None, **fields):
    says = word(assignment(), Reason.DEMAND_SERVED, "enough", needs=needs)
    return decide_assignment(context(subject, balance=says, **fields)).status


def of_before(replicas=1, **said):
    """Return a pipeline of so many replicas of which windows said this."""
    status = InferencePipelineStatus(placement=PLACED, balancing=balancing(**said))
    return pipeline(status=status, replicas=replicas)


@pytest.mark.parametrize(
    ("needs", "subject", "desired", "needed"),
    [
        pytest.param(ENOUGH, of_before(2), 2, None, id="it begins at the present number"),
        pytest.param(Replicas(5), of_before(2), 5, 5, id="more: at once"),
        pytest.param(Enough(1), of_before(2, desired_replicas=2), 2, None, id="fewer: not at once"),
        pytest.param(
            Enough(1),
            of_before(
                2,
                desired_replicas=2,
                fewer_replicas=FewerReplicas(replicas=1, since=at(-300)),
            ),
            1,
            None,
            id="but once windows have agreed for five minutes",
        ),
        pytest.param(
            None, of_before(2, desired_replicas=4, needed_replicas=4), 4, 4, id="nothing was said"
        ),
    ],
)
def test_what_a_window_says_is_told(needs, subject, desired, needed):
    found = told(needs, subject)
    assert (found.desired_replicas, found.needed_replicas) == (desired, needed)


def test_why_no_number_would_do_is_told():
    found = told(Unattainable("none would do"), of_before(3))
    assert (found.unattainable, found.desired_replicas) == ("none would do", 3)


def test_where_another_server_has_a_step_nothing_is_said():
    before = of_before(2, desired_replicas=4, needed_replicas=4)
    found = told(Replicas(9), before, has_steps_elsewhere=True)
    assert (found.desired_replicas, found.needed_replicas) == (None, None)


def test_with_mode_fixed_nothing_is_said():
    subject = fixed()
    subject = subject.with_(status=of_before(desired_replicas=4).status)
    assert told(Replicas(9), subject).desired_replicas is None


def test_a_pipeline_that_needs_more_says_so_in_its_conditions():
    found = planned(serving_snapshot(), window=window(1000, detect=9.0)).status
    assert found.balancing.desired_replicas == 1
    assert find(found.conditions, ConditionType.NEEDS_CAPACITY) is None
    lacking = planned(
        serving_snapshot(of_before(desired_replicas=3, needed_replicas=3)), window=None
    ).status
    condition = find(lacking.conditions, ConditionType.NEEDS_CAPACITY)
    assert condition is not None
    assert "3 would" in condition.message
