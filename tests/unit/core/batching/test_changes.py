"""The record of batching changes: begun, finished, found after a restart, refused."""

from datetime import timedelta

import pytest

from ferryman.api.batching import Batching
from ferryman.api.conditions import Reason
from ferryman.api.inference_model_status import BatchingChange, BatchingStatus, InferenceModelStatus
from ferryman.core.batching import changes
from tests.factories import NOW, at, pod

BEFORE, AFTER = Batching(max_batch_size=8), Batching(max_batch_size=10)


def actuation(**fields):
    values = {
        "before": BEFORE,
        "after": AFTER,
        "actuator": "Reload",
        "reason": Reason.TREND_INCREASE,
        "message": "max_batch_size 8 to 10",
        "pods": (pod(),),
    }
    return changes.Actuation(**{**values, **fields})


def change(outcome="InProgress", seconds=0.0, **fields):
    values = {
        "time": at(seconds),
        "before": BEFORE,
        "after": AFTER,
        "actuator": "Reload",
        "reason": Reason.TREND_INCREASE,
        "message": "m",
        "generation": 1,
    }
    return BatchingChange(outcome=outcome, **{**values, **fields})


def status(*done, **fields):
    batching = BatchingStatus(applied=BEFORE, changes=done, **fields)
    return InferenceModelStatus(observed_generation=3, batching=batching)


def test_a_begun_change_is_the_newest_and_nothing_is_applied_yet():
    batching = changes.record_started(status(change("Applied", -60)), actuation(), NOW).batching
    begun = batching.changes[0]
    assert (begun.outcome, begun.before, begun.after) == ("InProgress", BEFORE, AFTER)
    assert (begun.time, begun.generation) == (at(), 3)
    assert batching.applied == BEFORE
    assert (batching.reason, batching.message) == (Reason.TREND_INCREASE, "max_batch_size 8 to 10")
    assert [c.outcome for c in batching.changes] == ["InProgress", "Applied"]


def test_at_most_ten_changes_are_kept_and_the_oldest_goes():
    many = [change("Applied", -60 * i, message=f"m{i}") for i in range(10)]
    kept = changes.record_started(status(*many), actuation(), NOW).batching.changes
    assert len(kept) == 10
    assert kept[-1].message == "m8"


@pytest.mark.parametrize(
    ("actuator", "expected"),
    [
        pytest.param("Reload", (at(-600), at()), id="a reload counts from its beginning"),
        pytest.param("InPlace", (at(-600),), id="a change in place does not count"),
    ],
)
def test_reloads_of_the_last_hour(actuator, expected):
    old = status(recent_reloads=(at(-3600), at(-600)))
    found = changes.record_started(old, actuation(actuator=actuator), NOW)
    assert found.batching.recent_reloads == expected


def test_no_more_reloads_are_listed_than_the_api_allows():
    old = status(recent_reloads=tuple(at(-i) for i in range(128, 0, -1)))
    reloads = changes.record_started(old, actuation(), NOW).batching.recent_reloads
    assert (len(reloads), reloads[0], reloads[-1]) == (128, at(-127), at())


@pytest.mark.parametrize(
    ("outcome", "applied", "reason", "words"),
    [
        pytest.param(
            "Applied", AFTER, Reason.TREND_INCREASE, "max_batch_size 8 to 10", id="applied"
        ),
        pytest.param("Refused", BEFORE, Reason.CONFIG_REFUSED, "stays. It is tried", id="refused"),
        pytest.param("RolledBack", BEFORE, Reason.ROLLED_BACK, "was taken back to", id="rolled"),
        pytest.param(
            "Interrupted", BEFORE, Reason.TREND_INCREASE, "is tried again", id="interrupted"
        ),
    ],
)
def test_an_outcome_is_recorded_with_its_reason(outcome, applied, reason, words):
    begun = changes.record_started(status(recent_reloads=(at(-3600),)), actuation(), NOW)
    batching = changes.record_outcome(begun, actuation(), outcome, "no memory", NOW).batching
    assert batching.changes[0].outcome == outcome
    assert batching.changes[0].message == batching.message
    assert (batching.applied, batching.reason) == (applied, reason)
    assert words in batching.message
    assert ("no memory" in batching.message) is (outcome != "Applied")


def test_an_outcome_without_words_still_says_what_happened():
    begun = changes.record_started(status(), actuation(), NOW)
    message = changes.record_outcome(begun, actuation(), "Refused", "", NOW).batching.message
    assert message.startswith("Triton refused batch 10, delay 0 µs, 1 instance; batch 8")
    assert message.endswith("specification changes")


def test_long_words_are_cut_to_what_the_api_allows():
    begun = changes.record_started(status(), actuation(message="x" * 2000), NOW)
    assert len(begun.batching.message) == 1024
    assert begun.batching.message.endswith("x…")


def test_an_outcome_without_a_begun_change_changes_nothing():
    finished = status(change("Applied"))
    assert changes.record_outcome(finished, actuation(), "Refused", "", NOW) is finished


@pytest.mark.parametrize(
    ("pods", "outcome", "applied"),
    [
        pytest.param((pod(batching=AFTER),), "Applied", AFTER, id="all pods have it: applied"),
        pytest.param((pod(batching=BEFORE),), "Interrupted", BEFORE, id="none has it: interrupted"),
        pytest.param(
            (pod("a", batching=AFTER), pod("b", batching=BEFORE)),
            "Interrupted",
            BEFORE,
            id="some have it: interrupted, the others' is still applied",
        ),
        pytest.param((), "Interrupted", BEFORE, id="no pods are left: interrupted"),
        pytest.param(
            (pod().with_(batching=None),), "InProgress", BEFORE, id="no pod answers: cannot tell"
        ),
        pytest.param(
            (pod("a", batching=AFTER), pod("b").with_(batching=None)),
            "Applied",
            AFTER,
            id="those that answer have it: applied, the silent one comes up with it",
        ),
    ],
)
def test_a_change_found_in_progress(pods, outcome, applied):
    found = changes.resolve(status(change()).batching, pods)
    assert (found.changes[0].outcome, found.applied) == (outcome, applied)


@pytest.mark.parametrize("done", [(), (change("Applied"),)], ids=["no change", "a finished one"])
def test_nothing_to_resolve(done):
    batching = status(*done).batching
    assert changes.resolve(batching, (pod(),)) is batching


def test_instances_that_a_pod_cannot_tell_are_not_compared():
    two = Batching(max_batch_size=8, instances=2)
    assert changes.in_force(pod(batching=BEFORE, instances_known=False), two)
    assert not changes.in_force(pod(batching=BEFORE), two)
    assert not changes.in_force(pod().with_(batching=None), two)


@pytest.mark.parametrize(
    ("fields", "remembered"),
    [
        pytest.param({"outcome": "Refused"}, True, id="refused lately: remembered"),
        pytest.param({"outcome": "RolledBack"}, True, id="rolled back lately: remembered"),
        pytest.param({"outcome": "Applied"}, False, id="applied: nothing to remember"),
        pytest.param({"outcome": "Refused", "generation": 2}, False, id="another specification"),
        pytest.param({"outcome": "Refused", "after": BEFORE}, False, id="another batching"),
        pytest.param({"outcome": "Refused", "seconds": -3600}, False, id="an hour ago: forgotten"),
    ],
)
def test_a_refused_batching_is_remembered(fields, remembered):
    batching = status(change(**fields)).batching
    assert (changes.refusal(batching, AFTER, 1, NOW) is not None) is remembered


def test_a_refusal_is_forgotten_after_an_hour():
    batching = status(change("Refused")).batching
    later = NOW + timedelta(minutes=59)
    assert changes.refusal(batching, AFTER, 1, later) is not None
    assert changes.refusal(batching, AFTER, 1, NOW + changes.REFUSAL_MEMORY) is None


@pytest.mark.parametrize(
    ("done", "paused"),
    [
        pytest.param([change("Interrupted", -29)], True, id="interrupted moments ago"),
        pytest.param([change("Interrupted", -30)], False, id="half a minute ago"),
        pytest.param([change("Applied"), change("Interrupted")], False, id="before another one"),
        pytest.param([], False, id="no change"),
    ],
)
def test_an_interruption_makes_a_pause(done, paused):
    assert (changes.interruption(status(*done).batching, NOW) is not None) is paused


def test_the_live_cap_counts_as_no_reload():
    begun = changes.record_started(status(), actuation(actuator="LiveCap"), NOW).batching
    assert begun.changes[0].actuator == "LiveCap"
    assert begun.recent_reloads == ()


BACK = {"before": AFTER, "after": BEFORE, "reason": Reason.ROLLED_BACK}


@pytest.mark.parametrize(
    ("earlier", "outcomes"),
    [
        pytest.param(
            (change("Applied", -60),), ["Applied", "RolledBack"], id="the change is marked"
        ),
        pytest.param(
            (change("Applied", -60), change("Applied", -900)),
            ["Applied", "RolledBack", "Applied"],
            id="only the latest of its kind",
        ),
        pytest.param(
            (change("Applied", -30, after=BEFORE, before=AFTER), change("Refused", -60)),
            ["Applied", "Applied", "Refused"],
            id="not what was never applied",
        ),
    ],
)
def test_a_rollback_marks_what_it_takes_back(earlier, outcomes):
    begun = status(change(**BACK), *earlier).with_(observed_generation=1)
    found = changes.record_outcome(begun, actuation(**BACK), "Applied", "", NOW).batching
    assert [c.outcome for c in found.changes] == outcomes
    assert (found.applied, found.reason) == (BEFORE, Reason.ROLLED_BACK)
    resolved = changes.resolve(begun.batching, (pod(batching=BEFORE),))
    assert [c.outcome for c in resolved.changes] == outcomes


def test_a_rollback_that_failed_takes_nothing_back():
    begun = status(change(**BACK), change("Applied", -60))
    found = changes.record_outcome(begun, actuation(**BACK), "Refused", "no", NOW).batching
    assert [c.outcome for c in found.changes] == ["Refused", "Applied"]


@pytest.mark.parametrize(
    ("outcome", "reason", "words"),
    [
        pytest.param("Refused", Reason.CONFIG_REFUSED, "m", id="Triton's words"),
        pytest.param(
            "RolledBack",
            Reason.ROLLED_BACK,
            f"batch 10, delay 0 µs, 1 instance of {at(-60)} was worse than predicted",
            id="what was taken back",
        ),
    ],
)
def test_why_a_change_is_not_made_again(outcome, reason, words):
    told = changes.why_not_again(change(outcome, -60))
    assert told[0] == reason
    assert told[1].startswith(words)
