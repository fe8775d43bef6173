"""What each step has, or is to have, as values and in the status."""

import pytest

from ferryman.api.batching import InstanceLimits, MaxBatchSizeLimits
from ferryman.api.pipelines.inference_pipeline_status import StepAssignment
from ferryman.api.pipelines.step import StepBalance, StepLimits
from ferryman.core.pipelines import assignment as assignments
from tests import factories
from tests.unit.core.pipelines.scenes import assignment, batching, pipeline

LIMITS = StepLimits(
    instances=InstanceLimits(min=2, max=4), max_batch_size=MaxBatchSizeLimits(min=2, max=8)
)


def one(**fields):
    step = factories.pipeline_step("detect", "image", **fields)
    return factories.pipeline(steps=[step]), step


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        pytest.param({}, (1, 64), id="nothing is stated: one, and the largest batch"),
        pytest.param({"limits": LIMITS}, (2, 8), id="limits: the fewest, and the largest batch"),
        pytest.param({"initial": StepBalance(instances=3)}, (3, 64), id="as many as are stated"),
        pytest.param({"initial": StepBalance(max_batch_size=5)}, (1, 5), id="the bound stated"),
    ],
)
def test_where_a_step_starts(fields, expected):
    found = assignments.start(*one(**fields))
    assert (found.instances, found.max_batch_size) == expected


@pytest.mark.parametrize(
    ("instances", "bound", "expected"),
    [
        pytest.param(1, 1, (2, 2), id="below the limits"),
        pytest.param(9, 9, (4, 8), id="above them"),
        pytest.param(3, 4, (3, 4), id="within them"),
    ],
)
def test_limits_hold(instances, bound, expected):
    found = assignments.clamped(*one(limits=LIMITS), batching(instances, bound))
    assert (found.instances, found.max_batch_size) == expected


def test_what_the_status_says_is_read_back_and_steps_that_it_does_not_know_start():
    subject = factories.pipeline()
    told = (
        StepAssignment(step="detect", instances=3, max_batch_size=8),
        StepAssignment(step="gone", instances=2),
        StepAssignment(step="read", instances=2),
    )
    assert assignments.read(told, subject) == {
        "prepare": batching(1),
        "detect": batching(3, 8),
        "read": batching(2),
    }
    assert assignments.read(assignments.written(assignment(detect=5)), subject) == assignment(
        detect=5
    )


def test_steps_that_come_back_have_the_workers_they_had():
    subject = pipeline(assignment(read=2))
    found = assignments.with_instances(subject, {"detect": 3, "gone": 5})
    instances = {each.step: each.instances for each in found.status.balancing.applied}
    assert instances == {"prepare": 1, "detect": 3, "read": 2}


def test_budgets_are_written_beside_what_is_assigned():
    [entry] = assignments.written({"detect": batching(2)}, {"detect": 80.0})
    assert (entry.instances, entry.max_batch_size, entry.budget_milliseconds) == (2, 64, 80.0)


@pytest.mark.parametrize(("bounded", "least"), [(True, 2), (False, 8)])
def test_a_bound_moves_only_where_a_live_cap_moves_it(bounded, least):
    found = assignments.limits_of(*one(limits=LIMITS), bounded=bounded)
    assert (found.max_batch_size.min, found.max_batch_size.max) == (least, 8)
    assert found.max_queue_delay_microseconds.max == 0


UNKNOWN = factories.pod().with_(batching=None)


@pytest.mark.parametrize(
    ("pod", "holds"),
    [
        pytest.param(UNKNOWN, False, id="a pod that says nothing"),
        pytest.param(factories.pod(batching=batching(2, 8)), True, id="as many instances"),
        pytest.param(factories.pod(batching=batching(1, 8)), False, id="fewer instances"),
        pytest.param(
            factories.pod(batching=batching(2, 64)), True, id="without a cap no bound counts"
        ),
        pytest.param(
            factories.pod(batching=batching(1), instances_known=False), True, id="unequal groups"
        ),
        pytest.param(factories.capped_pod(8, instances=2), True, id="the cap agrees"),
        pytest.param(factories.capped_pod(4, instances=2), False, id="the cap differs"),
        pytest.param(
            factories.capped_pod(4, largest=4, instances=2), True, id="no cap goes beyond Triton's"
        ),
    ],
)
def test_what_a_pod_has_in_force(pod, holds):
    assert assignments.in_force(pod, batching(2, 8)) is holds


def test_changes_in_words():
    before = {"a": batching(1, 8), "b": batching(2, 8), "c": batching(1, 8), "e": batching(1, 8)}
    after = {
        "a": batching(3, 8),
        "b": batching(1, 4),
        "c": batching(1, 8),
        "d": batching(2),
        "e": batching(1, 2),
    }
    assert assignments.words(before, after) == (
        "a 3 workers instead of 1, b 1 worker instead of 2, b batches of 4 instead of 8, "
        "d 2 workers, e batches of 2 instead of 8"
    )
    assert assignments.differences(before, after) == ("a", "b", "d", "e")
    assert assignments.workers(after) == "a=3 b=1 c=1 d=2 e=1"
