"""Events: only for transitions, in the words of the status."""

import pytest

from ferryman.api.batching import Batching
from ferryman.api.conditions import Condition, Reason
from ferryman.api.inference_model_status import (
    BatchingChange,
    BatchingStatus,
    InferenceModelStatus,
    PlacementStatus,
    WarmStartStatus,
)
from ferryman.api.scaling import ScalingChange, ScalingStatus
from ferryman.core.batching.changes import Actuation
from ferryman.core.status.events import Event, of_outcome, of_transition
from tests.factories import at

EIGHT, TEN = Batching(max_batch_size=8), Batching(max_batch_size=10)


def condition(kind, status, reason):
    return Condition(
        type=kind, status=status, reason=reason, message="m", last_transition_time=at()
    )


READY = condition("Ready", "True", "Serving")
WAITING = condition("Ready", "False", "Deploying")
FAILED = condition("Ready", "False", "PodFailing")
STALLED = condition("Stalled", "True", "PodFailing")


def status(*conditions, node_type=None, processor="cpu", changes=()):
    placement = PlacementStatus(
        node_type=node_type, processor=processor, reason="LeastWorkload", message="least"
    )
    return InferenceModelStatus(
        conditions=conditions, placement=placement, batching=BatchingStatus(changes=changes)
    )


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        pytest.param((), (WAITING,), [], id="a new model that deploys: no event"),
        pytest.param((), (READY,), [("Normal", "Serving")], id="ready at first sight"),
        pytest.param((), (FAILED, STALLED), [("Warning", "PodFailing")], id="stalled at once"),
        pytest.param((WAITING,), (READY,), [("Normal", "Serving")], id="ready"),
        pytest.param((READY,), (WAITING,), [("Normal", "Deploying")], id="not ready"),
        pytest.param((READY,), (FAILED, STALLED), [("Warning", "PodFailing")], id="failing"),
        pytest.param((WAITING,), (FAILED, STALLED), [("Warning", "PodFailing")], id="stalled"),
        pytest.param((FAILED, STALLED), (FAILED, STALLED), [], id="still stalled: no event"),
        pytest.param((FAILED, STALLED), (WAITING,), [], id="moving again: no event"),
        pytest.param((READY,), (READY,), [], id="still ready: no event"),
        pytest.param((READY,), (), [], id="no condition: no event"),
    ],
)
def test_readiness(before, after, expected):
    found = of_transition(status(*before), status(*after))
    assert [(event.type, event.reason) for event in found] == expected


@pytest.mark.parametrize(
    ("before", "after", "events"),
    [
        pytest.param({}, {"node_type": "a"}, 1, id="chosen"),
        pytest.param({"node_type": "a"}, {"node_type": "b"}, 1, id="changed"),
        pytest.param(
            {"node_type": "a"}, {"node_type": "a", "processor": "gpu"}, 1, id="another class"
        ),
        pytest.param({"node_type": "a"}, {"node_type": "a"}, 0, id="kept"),
        pytest.param({"node_type": "a"}, {}, 0, id="lost: readiness tells"),
    ],
)
def test_placement(before, after, events):
    expected = (Event("Normal", "LeastWorkload", "least"),) * events
    assert of_transition(status(**before), status(**after)) == expected


def test_nothing_is_told_of_a_placement_that_nobody_decided():
    nothing = InferenceModelStatus()
    assert of_transition(nothing, nothing) == ()
    assert len(of_transition(nothing, status(node_type="a"))) == 1


def change(outcome):
    return BatchingChange(
        time=at(),
        before=EIGHT,
        after=TEN,
        actuator="Reload",
        reason="TrendIncrease",
        message="m",
        outcome=outcome,
    )


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        pytest.param("InProgress", "Applied", [("Normal", "TrendIncrease")], id="applied"),
        pytest.param("InProgress", "Interrupted", [("Warning", "TrendIncrease")], id="not"),
        pytest.param("InProgress", "InProgress", [], id="cannot be told yet"),
        pytest.param("Applied", "Applied", [], id="known before"),
    ],
)
def test_a_change_found_after_a_restart(before, after, expected):
    found = of_transition(status(changes=(change(before),)), status(changes=(change(after),)))
    assert [(event.type, event.reason) for event in found] == expected
    assert all(after.lower() in event.message for event in found)


@pytest.mark.parametrize(
    ("outcome", "kind", "reason", "words"),
    [
        pytest.param("Applied", "Normal", "TrendIncrease", "applied: bound 8 to 10", id="applied"),
        pytest.param("Refused", "Warning", "ConfigRefused", "no memory", id="refused"),
        pytest.param("RolledBack", "Warning", "RolledBack", "no memory", id="rolled back"),
        pytest.param(
            "Interrupted",
            "Warning",
            "TrendIncrease",
            "was interrupted and is tried again: no memory",
            id="cut",
        ),
    ],
)
def test_an_outcome(outcome, kind, reason, words):
    actuation = Actuation(EIGHT, TEN, "Reload", Reason.TREND_INCREASE, "bound 8 to 10", ())
    event = of_outcome(actuation, outcome, "no memory")
    assert (event.type, event.reason) == (kind, reason)
    assert words in event.message


LACKING = condition("NeedsCapacity", "True", "NeedsCapacity")


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        pytest.param((), (LACKING,), [("Warning", "NeedsCapacity")], id="more is needed"),
        pytest.param((LACKING,), (LACKING,), [], id="still: no event"),
        pytest.param((LACKING,), (), [("Normal", "CapacitySuffices")], id="no longer"),
    ],
)
def test_capacity(before, after, expected):
    found = of_transition(status(*before), status(*after))
    assert [(event.type, event.reason) for event in found] == expected


def test_a_rollback_is_a_warning():
    back = Actuation(TEN, EIGHT, "Reload", Reason.ROLLED_BACK, "worse than predicted", ())
    assert of_outcome(back, "Applied", "") == Event(
        "Warning",
        Reason.ROLLED_BACK,
        "batch 8, delay 0 µs, 1 instance applied: worse than predicted",
    )


MORE = ScalingChange(time=at(), before=2, after=3, reason="MoreNeeded", message="3 would do")
SCALED = InferenceModelStatus(
    scaling=ScalingStatus(replicas=3, reason="MoreNeeded", message="so", changes=(MORE,))
)
FULL = status(condition("ScalingLimited", "True", "NoRoom"))
OTHER = status(condition("ScalingLimited", "True", "AtMaxReplicas"))
SHARED = status(condition("ScalingContested", "True", "OtherAutoscaler"))


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        pytest.param(
            InferenceModelStatus(),
            SCALED,
            (Event("Normal", "MoreNeeded", "2 to 3 replicas: 3 would do"),),
            id="another number",
        ),
        pytest.param(SCALED, SCALED, (), id="the same number"),
        pytest.param(SCALED, InferenceModelStatus(), (), id="no longer scaled"),
        pytest.param(status(), FULL, (Event("Warning", "NoRoom", "m"),), id="no room"),
        pytest.param(FULL, FULL, (), id="still none"),
        pytest.param(
            FULL, OTHER, (Event("Warning", "AtMaxReplicas", "m"),), id="something else hinders"
        ),
        pytest.param(
            status(), SHARED, (Event("Warning", "OtherAutoscaler", "m"),), id="another owner"
        ),
        pytest.param(SHARED, status(), (), id="nothing hinders"),
    ],
)
def test_scaling(before, after, expected):
    assert of_transition(before, after) == expected


def warm(outcome, reason, at_s=0):
    found = WarmStartStatus(
        subject="s", outcome=outcome, time=at(at_s), reason=reason, message="words"
    )
    return InferenceModelStatus(batching=BatchingStatus(warm_start=found))


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        pytest.param(
            InferenceModelStatus(),
            warm("InProgress", Reason.MEASURING),
            Event("Normal", "Measuring", "words"),
            id="begun",
        ),
        pytest.param(
            warm("InProgress", Reason.MEASURING),
            warm("Measured", Reason.MEASURED, 9),
            Event("Normal", "Measured", "words"),
            id="measured",
        ),
        pytest.param(
            warm("InProgress", Reason.MEASURING),
            warm("NotMeasured", Reason.CLIENTS_ASK, 9),
            Event("Normal", "ClientsAsk", "words"),
            id="clients came first: nothing is wrong",
        ),
        pytest.param(
            InferenceModelStatus(),
            warm("NotMeasured", Reason.NOTHING_TO_MEASURE),
            Event("Warning", "NothingToMeasure", "words"),
            id="asked for in vain",
        ),
        pytest.param(
            warm("Measured", Reason.MEASURED), InferenceModelStatus(), None, id="not asked any more"
        ),
        pytest.param(
            warm("Measured", Reason.MEASURED), warm("Measured", Reason.MEASURED), None, id="known"
        ),
    ],
)
def test_what_came_of_measuring_before_traffic_is_told_once(before, after, expected):
    assert of_transition(before, after) == (() if expected is None else (expected,))
