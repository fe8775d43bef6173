"""Pods that were evicted for what they fetched: told while none of their like is ready."""

import pytest

from ferryman.api.conditions import Reason
from ferryman.core.pods.diagnosis import NOTHING_WRONG
from ferryman.core.pods.eviction import outgrown
from ferryman.core.pods.state import serving_state

OUTGROWN = 'Usage of EmptyDir volume "model" exceeds the limit "1Gi". '


def pod(name, template="new", *, ready=False, message=""):
    status = "True" if ready else "False"
    return {
        "metadata": {"name": name, "labels": {"pod-template-hash": template} if template else {}},
        "status": {
            "phase": "Failed" if message else "Running",
            "message": message,
            "conditions": [{"type": "Ready", "status": status}],
        },
    }


def test_the_condition_says_what_to_do():
    reason, message = outgrown([pod("a", message=OUTGROWN)], [pod("b")])
    assert reason == Reason.MODEL_SOURCE_TOO_LARGE
    assert message.startswith("pod a was evicted: its files exceed 1Gi: raise fetch.sizeLimit")


@pytest.mark.parametrize(
    ("ended", "living"),
    [
        pytest.param(pod("a", message=OUTGROWN), pod("b", ready=True), id="one of its like serves"),
        pytest.param(pod("a", "old", message=OUTGROWN), pod("b"), id="of another template"),
        pytest.param(pod("a", "", message=OUTGROWN), pod("b", ""), id="of no template"),
        pytest.param(
            pod("a", message=OUTGROWN.replace('"model"', '"tmp"')), pod("b"), id="another volume"
        ),
        pytest.param(pod("a", message="The node was low on resource"), pod("b"), id="of the node"),
    ],
)
def test_what_is_past_or_not_of_the_files_is_not_told(ended, living):
    assert outgrown([ended], [living]) == NOTHING_WRONG


def test_it_is_part_of_what_is_known_of_pods():
    state = serving_state(None, [pod("a", message=OUTGROWN), pod("b")], {})
    assert state.problem_reason == Reason.MODEL_SOURCE_TOO_LARGE
    assert [view.name for view in state.pods] == ["b"]
