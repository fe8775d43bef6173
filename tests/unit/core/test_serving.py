"""What serves a model, read from its Deployment, its pods and their Tritons."""

import pytest

from ferryman.api.batching import Batching
from ferryman.api.conditions import Reason
from ferryman.api.statistics import ServerModel
from ferryman.core.serving import serving_state
from ferryman.core.snapshot import PodView, ServingState

EIGHT = Batching(max_batch_size=8)
STUCK = {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}


def pod(name="a", *, ready="True", phase="Running", **metadata):
    return {
        "metadata": {"name": name, **metadata},
        "spec": {"nodeName": "node-1"},
        "status": {
            "phase": phase,
            "podIP": "10.0.0.1",
            "conditions": [
                {"type": "Initialized", "status": "True"},
                {"type": "Ready", "status": ready},
            ],
        },
    }


def deployment(observed=2, **status):
    return {
        "metadata": {"generation": 2},
        "spec": {"replicas": 2},
        "status": {
            "observedGeneration": observed,
            "readyReplicas": 1,
            "updatedReplicas": 2,
            **status,
        },
    }


def test_nothing_serves_without_a_deployment():
    assert serving_state(None, [], {}) == ServingState()


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        pytest.param(deployment(), (2, 1, 2, False), id="a rollout under way"),
        pytest.param(deployment(conditions=[STUCK]), (2, 1, 2, True), id="one that is stuck"),
        pytest.param(
            deployment(conditions=[{**STUCK, "reason": "ReplicaSetUpdated"}]),
            (2, 1, 2, False),
            id="one that makes progress",
        ),
        pytest.param(
            deployment(observed=1, conditions=[STUCK]),
            (2, 1, 0, False),
            id="a generation that nobody has looked at yet",
        ),
        pytest.param({"metadata": {}}, (1, 0, 0, False), id="a Deployment made just now"),
    ],
)
def test_the_rollout(found, expected):
    state = serving_state(found, [], {})
    assert state.exists
    assert (
        state.desired_replicas,
        state.ready_replicas,
        state.updated_replicas,
        state.progress_deadline_exceeded,
    ) == expected


def test_pods_are_seen_with_what_their_triton_says():
    pods = [pod("b", ready="False"), pod("a"), {"metadata": {"name": "c"}}]
    answers = {
        "a": ServerModel(ready=True, batching=EIGHT, instances_known=False),
        "b": ServerModel(ready=False, reason="UNAVAILABLE: bad model"),
    }
    state = serving_state(deployment(), pods, answers)
    assert state.pods == (
        PodView(
            name="a",
            ip="10.0.0.1",
            node="node-1",
            ready=True,
            batching=EIGHT,
            instances_known=False,
        ),
        PodView(name="b", ip="10.0.0.1", node="node-1"),
        PodView(name="c"),
    )
    assert (state.model_ready, state.model_message) == (False, "UNAVAILABLE: bad model")


@pytest.mark.parametrize(
    "gone",
    [
        pytest.param(pod("b", deletionTimestamp="2026-11-21T13:00:00Z"), id="being deleted"),
        pytest.param(pod("b", phase="Failed"), id="evicted"),
    ],
)
def test_pods_that_end_are_left_out_with_what_they_say(gone):
    answers = {"a": ServerModel(ready=True, batching=EIGHT), "b": ServerModel(ready=False)}
    state = serving_state(deployment(), [gone, pod("a")], answers)
    assert [view.name for view in state.pods] == ["a"]
    assert state.model_ready is True


def test_nobody_answers_is_not_the_same_as_not_ready():
    assert serving_state(deployment(), [pod()], {}).model_ready is None


def test_a_model_that_one_pod_cannot_batch_is_not_batchable():
    answers = {"a": ServerModel(ready=True, batchable=False)}
    assert serving_state(deployment(), [pod()], answers).batchable is False


def test_a_pods_problem_is_shown():
    broken = pod(ready="False")
    broken["status"]["containerStatuses"] = [
        {"name": "triton", "state": {"waiting": {"reason": "ErrImagePull"}}}
    ]
    state = serving_state(deployment(), [broken], {})
    assert state.problem_reason == Reason.IMAGE_NOT_AVAILABLE
    assert "ErrImagePull" in state.problem_message
