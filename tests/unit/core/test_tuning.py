"""What becomes of the tuner's word: applied, recommended, made to wait, or explained."""

import pytest

from ferryman.api.batching import Batching, BatchingSpec, TrendSettings
from ferryman.api.conditions import Reason
from ferryman.api.inference_model_status import BatchingChange, BatchingStatus
from ferryman.core import tuning
from ferryman.core.situation import Situation
from ferryman.core.snapshot import ServingState
from ferryman.core.tuner import TuneDecision, TunerState
from ferryman.core.tuning import let_tuner_step
from tests import factories
from tests.factories import NOW, at, pod

EIGHT, SIX = Batching(max_batch_size=8), Batching(max_batch_size=6)
SLOW = {"latency_ms": 80.0}
#: One more slow window makes a falling trend of three values.
FALLING = TunerState(trajectory=(8, 6))


def step(window=None, *, mode="Auto", status=None, state=FALLING, steady=False, pods=None):
    spec = BatchingSpec(mode=mode, trend=TrendSettings(samples=3))
    return let_tuner_step(
        Situation(
            model=factories.model(batching=spec),
            serving=ServingState(pods=(pod(batching=EIGHT),) if pods is None else pods),
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
    monkeypatch.setattr(tuning, "tune", lambda *_: decision)
    found = step(SLOW, status=BatchingStatus(applied=EIGHT, recent_reloads=(at(-1),) * 9))
    assert found.actuation is not None
    assert (found.actuation.after, found.actuation.actuator) == (two, "InPlace")


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
    assert "batch bound 8 to 6" in found.status.message


def test_the_same_recommendation_keeps_its_words():
    before = BatchingStatus(
        applied=EIGHT, recommended=SIX, reason=Reason.RECOMMENDED, message="as before"
    )
    assert step(SLOW, mode="Recommend", status=before).status == before


def test_a_recommendation_lasts_while_values_are_collected():
    before = BatchingStatus(
        applied=EIGHT, recommended=SIX, reason=Reason.RECOMMENDED, message="as before"
    )
    collecting = step(SLOW, mode="Recommend", status=before, state=TunerState(trajectory=(8,)))
    assert collecting.status == before


def test_what_meets_the_objectives_is_recommended():
    before = BatchingStatus(applied=EIGHT, recommended=SIX, reason=Reason.RECOMMENDED)
    found = step({}, mode="Recommend", status=before).status
    assert (found.recommended, found.reason) == (EIGHT, Reason.MET)
