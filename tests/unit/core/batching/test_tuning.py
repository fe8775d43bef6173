"""What becomes of the tuner's word: applied, recommended, made to wait, or explained."""

import pytest

from ferryman.api.batching import Batching, BatchingSpec, TrendSettings
from ferryman.api.conditions import Reason
from ferryman.api.inference_model_status import BatchingChange, BatchingStatus
from ferryman.core.batching import tuning
from ferryman.core.batching.context import BatchingContext
from ferryman.core.batching.tuning import let_tuner_step
from ferryman.core.snapshot import ServingState
from ferryman.core.tuners.needs import ENOUGH, Replicas, Unattainable
from ferryman.core.tuners.select import TuneDecision, TunerState
from tests import factories
from tests.factories import NOW, at, capped_pod, pod

EIGHT, SIX = Batching(max_batch_size=8), Batching(max_batch_size=6)
SLOW = {"latency_ms": 80.0}
#: One more slow window makes a falling trend of three values.
FALLING = TunerState(trajectory=(8, 6))


def step(
    window=None,
    *,
    mode="Auto",
    status=None,
    state=FALLING,
    steady=False,
    pods=None,
    overlay=None,
):
    spec = BatchingSpec(mode=mode, algorithm="Trend", trend=TrendSettings(samples=3))
    return let_tuner_step(
        BatchingContext(
            model=factories.model(batching=spec),
            serving=ServingState(pods=(pod(batching=EIGHT),) if pods is None else pods),
            overlay=overlay or {},
            batching=status or BatchingStatus(applied=EIGHT),
            applied=EIGHT,
            window=None if window is None else factories.window(**window),
            steady=steady,
            state=state,
            now=NOW,
        )
    )


@pytest.mark.parametrize(
    ("window", "fields"),
    [
        pytest.param(None, {}, id="without a window"),
        pytest.param(SLOW, {"mode": "Fixed"}, id="with mode Fixed"),
        pytest.param(SLOW, {"pods": ()}, id="without pods that answer"),
    ],
)
def test_the_tuner_is_not_asked(window, fields):
    assert step(window, **fields) is None


def test_a_step_is_carried_out_on_all_pods_that_answer():
    found = step(SLOW)
    assert found.actuation is not None
    assert (found.actuation.before, found.actuation.after) == (EIGHT, SIX)
    assert (found.actuation.actuator, found.actuation.reason) == ("Reload", Reason.TREND_DECREASE)
    assert "p99 80.0 ms, target 50 ms" in found.actuation.message
    assert found.state == TunerState(trajectory=(6,))
    assert found.applied == EIGHT


@pytest.mark.parametrize(
    ("reloads", "reason"),
    [
        pytest.param((at(-30),), Reason.RELOAD_INTERVAL, id="a reload half a minute ago"),
        pytest.param(
            tuple(at(-300 * i) for i in range(1, 5)),
            Reason.RELOAD_BUDGET_SPENT,
            id="four reloads within the hour",
        ),
    ],
)
def test_a_step_waits_for_the_guardrails_and_the_tuner_keeps_what_it_knew(reloads, reason):
    found = step(SLOW, status=BatchingStatus(applied=EIGHT, recent_reloads=reloads))
    assert (found.actuation, found.status.reason) == (None, reason)
    assert found.status.message.startswith("batch 6, delay 0 µs, 1 instance waits: ")
    assert found.state == FALLING


def test_a_step_in_place_waits_for_nothing(monkeypatch):
    two = EIGHT.with_(instances=2)
    decision = TuneDecision(two, Reason.TREND_INCREASE, "one instance more", TunerState())
    monkeypatch.setattr(tuning, "tune", lambda *_, **__: decision)
    found = step(SLOW, status=BatchingStatus(applied=EIGHT, recent_reloads=(at(-1),) * 9))
    assert found.actuation is not None
    assert (found.actuation.after, found.actuation.actuator) == (two, "InPlace")


def test_a_step_of_the_bound_through_the_live_cap_waits_for_nothing():
    spent = BatchingStatus(applied=EIGHT, recent_reloads=(at(-1),) * 9)
    found = step(SLOW, status=spent, pods=(capped_pod(8, start=32), capped_pod(8)))
    assert found.actuation is not None
    assert (found.actuation.after, found.actuation.actuator) == (SIX, "LiveCap")


@pytest.mark.parametrize(
    "pods",
    [
        pytest.param((capped_pod(8), pod(batching=EIGHT)), id="one of the pods has none"),
        pytest.param((capped_pod(8, largest=4),), id="it does not reach so far"),
        pytest.param((capped_pod(8, max_queue_delay_microseconds=9),), id="the delay differs"),
    ],
)
def test_where_the_live_cap_does_not_bring_all_pods_there_it_is_a_reload(pods):
    found = step(SLOW, pods=pods)
    assert found.actuation is not None
    assert found.actuation.actuator == "Reload"


def test_a_step_that_triton_refused_is_not_tried_again():
    refused = BatchingChange(
        time=at(-600),
        before=EIGHT,
        after=SIX,
        actuator="Reload",
        reason=Reason.TREND_DECREASE,
        message="Triton refused it",
        outcome="Refused",
        generation=1,
    )
    found = step(SLOW, status=BatchingStatus(applied=EIGHT, changes=(refused,)))
    assert (found.actuation, found.status.reason) == (None, Reason.CONFIG_REFUSED)
    assert found.status.message == "Triton refused it"
    assert found.state == TunerState(trajectory=(6,))


@pytest.mark.parametrize(
    ("before", "reason"),
    [
        pytest.param("", Reason.COLLECTING, id="collecting is said"),
        pytest.param("Met", Reason.COLLECTING, id="instead of objectives that were met"),
        pytest.param("AtLimit", "AtLimit", id="but a limit explains more"),
        pytest.param("TrendFlat", "TrendFlat", id="so does a flat trend"),
        pytest.param("ConfigRefused", "ConfigRefused", id="and a refusal"),
    ],
)
def test_while_values_are_collected(before, reason):
    status = BatchingStatus(applied=EIGHT, reason=before, message="as before")
    found = step(SLOW, status=status, state=TunerState(trajectory=(8,)))
    assert (found.actuation, found.status.reason) == (None, reason)
    expected = "as before" if reason == before else "an objective is missed: 3 windows make a trend"
    assert found.status.message.startswith(expected)
    assert found.state.trajectory == (8, 6)


@pytest.mark.parametrize(
    ("before", "steady", "message"),
    [
        pytest.param("Met", True, "as before", id="nothing new: the words of before stay"),
        pytest.param("Met", False, "p99 40.0 ms, target 50 ms", id="new figures: new words"),
        pytest.param("Collecting", True, "p99 40.0 ms, target 50 ms", id="new reason: new words"),
    ],
)
def test_words_change_only_with_what_they_say(before, steady, message):
    status = BatchingStatus(applied=EIGHT, reason=before, message="as before")
    found = step({}, status=status, steady=steady)
    assert (found.status.reason, found.status.message) == (Reason.MET, message)


def test_a_recommendation_changes_nothing_but_the_status():
    found = step(SLOW, mode="Recommend")
    assert (found.actuation, found.applied) == (None, EIGHT)
    assert (found.status.recommended, found.status.reason) == (SIX, Reason.RECOMMENDED)
    assert "max_batch_size 8 to 6" in found.status.message


def test_the_same_recommendation_keeps_its_words():
    before = BatchingStatus(
        applied=EIGHT,
        recommended=SIX,
        reason=Reason.RECOMMENDED,
        message="as before",
        desired_replicas=1,
    )
    assert step(SLOW, mode="Recommend", status=before).status == before


def test_a_recommendation_lasts_while_values_are_collected():
    before = BatchingStatus(
        applied=EIGHT,
        recommended=SIX,
        reason=Reason.RECOMMENDED,
        message="as before",
        desired_replicas=1,
    )
    collecting = step(SLOW, mode="Recommend", status=before, state=TunerState(trajectory=(8,)))
    assert collecting.status == before


def test_what_meets_the_objectives_is_recommended():
    before = BatchingStatus(applied=EIGHT, recommended=SIX, reason=Reason.RECOMMENDED)
    found = step({}, mode="Recommend", status=before).status
    assert (found.recommended, found.reason) == (EIGHT, Reason.MET)


# The words of a tuner that is not Trend


BEFORE, AFTER, WAITING = (TunerState(trajectory=(n,)) for n in (1, 2, 3))


@pytest.fixture
def said(monkeypatch):
    """Let the tuner say this."""

    def say(batching=EIGHT, reason=Reason.LEARNING, message="as of now", **fields):
        decision = TuneDecision(batching, reason, message, AFTER, **fields)
        monkeypatch.setattr(tuning, "tune", lambda *_, **__: decision)

    return say


@pytest.mark.parametrize(
    ("before", "reason"),
    [
        pytest.param("", Reason.LEARNING, id="learning is said"),
        pytest.param("Met", Reason.LEARNING, id="instead of objectives that were met"),
        pytest.param("RolledBack", "RolledBack", id="but a rollback explains more"),
        pytest.param("ConfigRefused", "ConfigRefused", id="so does a refusal"),
    ],
)
def test_while_service_times_are_learnt(said, before, reason):
    said(message="12 of 40 batches seen")
    found = step({}, status=BatchingStatus(applied=EIGHT, reason=before, message="as before"))
    assert (found.actuation, found.status.reason) == (None, reason)
    expected = "as before" if reason == before else "it is being learnt how long batches"
    assert found.status.message.startswith(expected)
    assert found.state == AFTER


@pytest.mark.parametrize(
    "reason",
    [Reason.NO_BETTER, Reason.SATURATED, Reason.NEEDS_CAPACITY, Reason.PREDICTED_TO_MEET],
)
def test_figures_that_drift_write_nothing_while_nothing_changes(said, reason):
    said(reason=reason, message="p99 41.7 ms predicted")
    before = BatchingStatus(
        applied=EIGHT, reason=reason, message="p99 41.2 ms predicted", desired_replicas=1
    )
    assert step({}, status=before, steady=True).status == before
    assert step({}, status=before, steady=False).status.message == "p99 41.7 ms predicted"


BOUND_TO_MISS = Unattainable("a batch of one takes too long")


@pytest.mark.parametrize(
    ("before", "reason", "says", "after"),
    [
        pytest.param(None, Reason.NEEDS_CAPACITY, Replicas(3), (3, None), id="asked for"),
        pytest.param(
            3, Reason.NEEDS_CAPACITY, BOUND_TO_MISS, (None, BOUND_TO_MISS.why), id="none would do"
        ),
        pytest.param(3, Reason.MET, ENOUGH, (None, None), id="no longer asked for"),
        pytest.param(3, Reason.NO_TRAFFIC, ENOUGH, (None, None), id="nothing is asked of it"),
        pytest.param(3, Reason.OBSERVING, ENOUGH, (3, None), id="too few requests say nothing"),
    ],
)
def test_needed_replicas_are_those_that_the_tuner_says(said, before, reason, says, after):
    said(reason=reason, needs=says)
    found = step({}, status=BatchingStatus(applied=EIGHT, needed_replicas=before)).status
    assert (found.needed_replicas, found.unattainable) == after


@pytest.mark.parametrize(
    ("reason", "says", "desired"),
    [
        pytest.param(Reason.NEEDS_CAPACITY, Replicas(3), 3, id="more: at once"),
        pytest.param(Reason.MET, ENOUGH, 1, id="enough: those there are"),
        pytest.param(Reason.OBSERVING, Replicas(3), None, id="too few requests say nothing"),
    ],
)
def test_the_replicas_for_an_autoscaler_follow_what_the_tuner_says(said, reason, says, desired):
    said(reason=reason, needs=says)
    assert step({}).status.desired_replicas == desired


@pytest.mark.parametrize("mode", ["Auto", "Recommend"])
def test_needed_replicas_are_said_beside_a_change(said, mode):
    said(SIX, Reason.SATURATED, needs=Replicas(2))
    assert step({}, mode=mode).status.needed_replicas == 2


@pytest.mark.parametrize("reason", [Reason.ROLLED_BACK, Reason.BATCH_TOO_LARGE])
def test_going_back_waits_for_nothing(said, reason):
    said(SIX, reason, "worse than predicted", if_refused=WAITING)
    reloads = (at(-1), *(at(-300 * i) for i in range(1, 5)))
    found = step({}, status=BatchingStatus(applied=EIGHT, recent_reloads=reloads))
    assert found.actuation is not None
    assert (found.actuation.after, found.actuation.reason) == (SIX, reason)
    assert found.state == AFTER


@pytest.mark.parametrize(
    "outcome",
    [
        pytest.param("Refused", id="by Triton"),
        pytest.param("RolledBack", id="because it was taken back lately"),
        pytest.param("Interrupted", id="because no pod answered a moment ago"),
    ],
)
def test_what_is_not_carried_out_leaves_the_tuner_the_state_for_that(said, outcome):
    said(SIX, Reason.CHEAPER, if_refused=WAITING)
    failed = BatchingChange(
        time=at(-10),
        before=EIGHT,
        after=SIX,
        actuator="Reload",
        reason=Reason.CHEAPER,
        message="m",
        outcome=outcome,
        generation=1,
    )
    found = step({}, status=BatchingStatus(applied=EIGHT, changes=(failed,)))
    assert (found.actuation, found.state) == (None, WAITING)


def test_a_recommendation_is_never_carried_out_and_the_tuner_knows(said):
    said(SIX, Reason.CHEAPER, if_refused=WAITING)
    found = step({}, mode="Recommend")
    assert (found.actuation, found.status.recommended, found.state) == (None, SIX, WAITING)


def test_what_the_overlay_states_is_not_changed_and_the_tuner_knows(said):
    overlay = {"dynamic_batching": {"preferred_batch_size": [4, 8]}}
    applied = EIGHT.with_(preferred_batch_size=(4, 8))
    said(EIGHT.with_(preferred_batch_size=(2,)), Reason.CHEAPER, if_refused=WAITING)
    found = let_tuner_step(situation_with(overlay, applied))
    assert found is not None
    assert (found.actuation, found.applied, found.state) == (None, applied, WAITING)

    said(SIX.with_(default_timeout_microseconds=9), Reason.CHEAPER, if_refused=WAITING)
    found = let_tuner_step(situation_with(overlay, applied))
    assert found is not None
    assert found.actuation is not None
    wanted = SIX.with_(preferred_batch_size=(4,), default_timeout_microseconds=9)
    assert (found.actuation.after, found.state) == (wanted, AFTER)


def situation_with(overlay, applied):
    return BatchingContext(
        model=factories.model(batching=BatchingSpec()),
        serving=ServingState(pods=(pod(batching=applied),)),
        overlay=overlay,
        batching=BatchingStatus(applied=applied),
        applied=applied,
        window=factories.window(),
        steady=False,
        state=BEFORE,
        now=NOW,
    )


def test_what_needs_capacity_goes_on_to_while_too_little_is_seen():
    before = BatchingStatus(applied=EIGHT, reason=Reason.NEEDS_CAPACITY, message="3 would do")
    found = step({"requests": 3}, status=before)
    assert (found.status.reason, found.status.message) == (Reason.NEEDS_CAPACITY, "3 would do")
