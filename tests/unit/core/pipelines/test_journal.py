"""The record of a pipeline's changes, and what an operator that restarts makes of it."""

from dataclasses import replace

import pytest

from ferryman.api.conditions import Reason
from ferryman.api.pipelines.inference_pipeline_status import (
    BalancingChange,
    InferencePipelineStatus,
)
from ferryman.core.pipelines import journal
from ferryman.core.pipelines.assignment import batching_of, written
from ferryman.core.pipelines.journal import PipelineChange, StepMove
from tests import factories
from tests.unit.core.pipelines.scenes import assignment, balancing, batching, loaded

NOW = factories.NOW
MOVE = StepMove(
    "detect", batching(1), batching(3), (factories.pod(),), "annotation", {"a": "x"}, {"a": "y"}
)
CHANGE = PipelineChange((MOVE,), Reason.LIMITING_STEP, "detect limits", "ensemble")
STATUS = InferencePipelineStatus(observed_generation=7, balancing=balancing())


def entry(outcome="InProgress", *, before=1, after=3, seconds=0, reason=Reason.LIMITING_STEP):
    return BalancingChange(
        time=factories.at(seconds),
        before=written({"detect": batching(before)}),
        after=written({"detect": batching(after)}),
        reason=reason,
        message="why",
        outcome=outcome,
        generation=1,
    )


def applied(found):
    return {each.step: batching_of(each, 64) for each in found.applied}


def test_a_change_is_written_down_before_it_is_made():
    found = journal.record_started(STATUS, CHANGE, NOW).balancing
    [begun] = found.changes
    assert (begun.outcome, begun.reason, begun.generation) == ("InProgress", "LimitingStep", 7)
    assert applied(found) == assignment(), "it is not in force yet"
    assert journal.in_progress(found) == begun


@pytest.mark.parametrize(
    ("before", "after", "grows", "shrinks"),
    [(1, 3, True, False), (3, 1, False, True), (2, 2, False, False)],
)
def test_a_move_grows_or_shrinks_by_its_instances(before, after, grows, shrinks):
    move = replace(MOVE, before=batching(before), after=batching(after))
    assert (move.grows, move.shrinks) == (grows, shrinks)


def test_no_more_changes_are_kept_than_the_api_allows():
    full = STATUS.with_(balancing=balancing(changes=(entry("Applied"),) * 10))
    assert len(journal.record_started(full, CHANGE, NOW).balancing.changes) == 10


@pytest.mark.parametrize(
    ("outcome", "detect", "reason", "words"),
    [
        pytest.param("Applied", 3, "LimitingStep", "detect limits", id="made"),
        pytest.param("Refused", 1, "ConfigRefused", "what was before stays: busy", id="refused"),
        pytest.param(
            "Interrupted", 1, "LimitingStep", "interrupted and is tried again: busy", id="not made"
        ),
    ],
)
def test_the_outcome_is_written_down_after_it(outcome, detect, reason, words):
    begun = journal.record_started(STATUS, CHANGE, NOW)
    found = journal.record_outcome(begun, outcome, "busy").balancing
    assert applied(found) == assignment(detect=detect)
    assert (found.changes[0].outcome, found.reason) == (outcome, reason)
    assert words in found.message


def test_an_outcome_of_no_change_is_none():
    assert journal.record_outcome(STATUS, "Applied", "") == STATUS


def test_what_is_applied_to_a_step_that_was_not_known_is_added():
    begun = journal.record_started(InferencePipelineStatus(), CHANGE, NOW)
    assert applied(journal.record_outcome(begun, "Applied", "").balancing) == {
        "detect": batching(3)
    }


def test_what_was_taken_back_is_marked():
    back = entry("InProgress", before=3, after=1, reason=Reason.TAKEN_BACK)
    other = entry("Applied", before=1, after=2)
    status = STATUS.with_(balancing=balancing(changes=(back, other, entry("Applied"))))
    found = journal.record_outcome(status, "Applied", "").balancing
    assert [each.outcome for each in found.changes] == ["Applied", "Applied", "RolledBack"]
    lonely = STATUS.with_(balancing=balancing(changes=(back, other)))
    found = journal.record_outcome(lonely, "Applied", "").balancing
    assert [each.outcome for each in found.changes] == ["Applied", "Applied"]


@pytest.mark.parametrize(
    ("instances", "outcome"),
    [
        pytest.param((3,), "Applied", id="all pods have it"),
        pytest.param((3, 1), "Interrupted", id="not all have it"),
        pytest.param((3, 0), "Applied", id="those that say something have it"),
        pytest.param((0,), "InProgress", id="none says anything"),
        pytest.param((), "Interrupted", id="there are no pods"),
    ],
)
def test_a_change_of_an_operator_that_vanished_gets_the_outcome_that_pods_show(instances, outcome):
    begun = balancing(changes=(entry(),))
    found = journal.resolve(begun, {"detect": loaded("detect", *instances).pods})
    assert found.changes[0].outcome == outcome
    assert applied(found)["detect"].instances == (3 if outcome == "Applied" else 1)


def test_without_a_change_there_is_nothing_to_resolve():
    assert journal.resolve(balancing(), {}) == balancing()


@pytest.mark.parametrize(
    ("change", "refused"),
    [
        pytest.param(entry("Refused", seconds=-60), True, id="it was refused a minute ago"),
        pytest.param(entry("Refused", seconds=-4000), False, id="that was long ago"),
        pytest.param(entry("Applied"), False, id="it was made"),
        pytest.param(entry("Refused", after=2), False, id="something else was refused"),
        pytest.param(entry("Refused").with_(generation=2), False, id="another specification was"),
    ],
)
def test_what_failed_lately_is_not_tried_again(change, refused):
    found = journal.refusal(balancing(changes=(change,)), assignment(detect=3), 1, NOW)
    assert (found == change) is refused


def test_a_step_that_is_gone_was_not_refused():
    assert journal.refusal(balancing(changes=(entry("Refused"),)), {}, 1, NOW) is None


@pytest.mark.parametrize(
    ("changes", "paused"),
    [
        pytest.param((), False, id="nothing was changed"),
        pytest.param((entry("Applied"),), False, id="what was changed was"),
        pytest.param((entry("Interrupted", seconds=-5),), True, id="it was interrupted just now"),
        pytest.param((entry("Interrupted", seconds=-90),), False, id="that was a while ago"),
    ],
)
def test_pods_that_did_not_answer_get_a_pause(changes, paused):
    assert bool(journal.interruption(balancing(changes=changes), NOW)) is paused


def test_attempts_to_converge_are_counted_for_an_hour():
    drifted = [entry("Applied", seconds=-s, reason=Reason.DRIFTED) for s in (5, 60, 5000)]
    changes = (*drifted, entry("Applied"))
    assert journal.convergences(balancing(changes=changes), NOW) == 2


def test_a_move_shrinks_where_it_has_fewer_instances_afterwards():
    assert not MOVE.shrinks
    back = StepMove("detect", batching(3), batching(1), (), "", {}, {})
    assert back.shrinks
