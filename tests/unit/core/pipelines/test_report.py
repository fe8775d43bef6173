"""What is said of a pipeline after its plan was carried out, or was not."""

import pytest

from ferryman.api.conditions import Condition, Reason, find
from ferryman.api.pipelines.inference_pipeline_status import (
    BalancingChange,
    InferencePipelineStatus,
)
from ferryman.core.pipelines.assignment import written
from ferryman.core.pipelines.reporting import report
from ferryman.core.status.readiness import NotReady
from tests import factories
from tests.unit.core.pipelines.scenes import balancing, batching


def said(reason):
    return InferencePipelineStatus(
        observed_generation=3,
        conditions=(
            Condition(
                type="Ready",
                status="False",
                reason=reason,
                message="x",
                observed_generation=3,
                last_transition_time=factories.at(-9),
            ),
        ),
    )


def test_once_everything_is_applied_replicas_are_counted():
    found = report.applied(said(Reason.APPLYING), factories.NOW)
    ready = find(found.conditions, "Ready")
    assert (ready.status, ready.reason) == ("False", "Deploying")
    assert report.applied(said(Reason.MODEL_LOADING), factories.NOW) == said(Reason.MODEL_LOADING)


def test_what_comes_to_light_is_why_it_is_not_ready():
    problem = NotReady(Reason.NAME_TAKEN, "rename it", stalled=True)
    found = report.with_problem(said(Reason.APPLYING), problem, factories.NOW)
    assert find(found.conditions, "Stalled").reason == "NameTaken"
    assert find(found.conditions, "Ready").message == "rename it"


@pytest.mark.parametrize(
    ("outcome", "reason", "kind", "words"),
    [
        pytest.param(
            "Applied",
            Reason.LIMITING_STEP,
            "Normal",
            "detect 3 workers instead of 1 applied: why",
            id="made",
        ),
        pytest.param(
            "Applied",
            Reason.TAKEN_BACK,
            "Warning",
            "detect 3 workers instead of 1 applied: why",
            id="taken back",
        ),
        pytest.param(
            "Refused",
            Reason.LIMITING_STEP,
            "Warning",
            "detect 3 workers instead of 1 not applied (refused): why",
            id="refused",
        ),
    ],
)
def test_an_event_tells_of_a_change(outcome, reason, kind, words):
    change = BalancingChange(
        time=factories.at(),
        before=written({"detect": batching(1)}),
        after=written({"detect": batching(3)}),
        reason=reason,
        message="why",
        outcome=outcome,
    )
    status = InferencePipelineStatus(balancing=balancing(changes=(change,), reason="Y"))
    event = report.of_outcome(status)
    assert (event.type, event.reason, event.message) == (kind, "Y", words)
