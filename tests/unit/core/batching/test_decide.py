"""The batching of a reconcile: specification, drift, and changes that were begun."""

import pytest

from ferryman.api.batching import (
    Batching,
    BatchingSpec,
)
from ferryman.api.conditions import Reason
from ferryman.api.inference_model_status import (
    BatchingChange,
    BatchingStatus,
    FewerReplicas,
    InferenceModelStatus,
)
from ferryman.core.batching import decide as batching
from ferryman.core.snapshot import ServingState
from ferryman.core.tuners.select import TunerState
from tests import factories
from tests.factories import NOW, at, capped_pod, limits, pod

EIGHT, TEN = Batching(max_batch_size=8), Batching(max_batch_size=10)
SILENT = pod().with_(batching=None)
STARTING = SILENT.with_(ready=False)


def serving(*pods, **fields):
    values = {"exists": True, "ready_replicas": len(pods), "model_ready": bool(pods), **fields}
    return ServingState(pods=pods, **values)


def change(**fields):
    values = {
        "time": at(-60),
        "before": EIGHT,
        "after": TEN,
        "actuator": "Reload",
        "reason": Reason.TREND_INCREASE,
        "message": "m",
        "outcome": "Applied",
        "generation": 1,
    }
    return BatchingChange(**{**values, **fields})


def decide(status=None, spec=None, state=None, overlay=None, window=None, **fields):
    model = factories.model(
        batching=spec or BatchingSpec(algorithm="Trend"),
        status=InferenceModelStatus(batching=status or BatchingStatus()),
        **fields,
    )
    return batching.decide(
        model,
        state or serving(),
        overlay or {},
        window=window,
        steady=False,
        state=TunerState(),
        now=NOW,
    )


def test_a_new_model_comes_up_with_the_start_and_nothing_is_changed_on_pods():
    found = decide()
    assert (found.applied, found.status.applied, found.actuation) == (EIGHT, EIGHT, None)
    assert found.status.reason == Reason.OBSERVING


@pytest.mark.parametrize(
    ("spec", "status", "after"),
    [
        pytest.param(
            BatchingSpec(mode="Fixed", initial=TEN),
            BatchingStatus(applied=EIGHT, last_good=EIGHT),
            TEN,
            id="mode Fixed: initial is applied",
        ),
        pytest.param(
            BatchingSpec(limits=limits((1, 4))),
            BatchingStatus(applied=EIGHT, last_good=EIGHT),
            Batching(max_batch_size=4),
            id="narrower limits: the applied batching moves within them",
        ),
        pytest.param(
            BatchingSpec(initial=TEN),
            BatchingStatus(applied=EIGHT),
            TEN,
            id="another initial, nothing tuned or proved yet: tuning starts there",
        ),
        pytest.param(
            BatchingSpec(initial=TEN),
            BatchingStatus(applied=EIGHT, changes=(change(reason=Reason.SPEC_CHANGED),)),
            TEN,
            id="another initial a second time: a change by the specification is no tuning",
        ),
    ],
)
def test_the_specification_is_followed(spec, status, after):
    running = pod(batching=EIGHT)
    found = decide(status, spec, serving(running)).actuation
    assert found is not None
    assert (found.before, found.after, found.actuator) == (EIGHT, after, "Reload")
    assert (found.reason, found.pods) == (Reason.SPEC_CHANGED, (running,))
    assert found.message.startswith("the specification asks for batch")


@pytest.mark.parametrize(
    "status",
    [
        pytest.param(BatchingStatus(applied=EIGHT, last_good=EIGHT), id="it is proved good"),
        pytest.param(BatchingStatus(applied=EIGHT, changes=(change(after=EIGHT),)), id="tuned"),
    ],
)
def test_initial_is_not_returned_to_once(status):
    found = decide(status, BatchingSpec(initial=TEN), serving(pod(batching=EIGHT)))
    assert (found.applied, found.actuation) == (EIGHT, None)


def test_a_change_of_the_specification_without_pods_is_applied_at_once():
    status = BatchingStatus(applied=EIGHT)
    found = decide(status, BatchingSpec(mode="Fixed", initial=TEN), serving())
    assert (found.applied, found.status.applied, found.actuation) == (TEN, TEN, None)


@pytest.mark.parametrize(
    ("pods", "applied"),
    [
        pytest.param((STARTING,), TEN, id="those that start, or crash, come up with it"),
        pytest.param((SILENT,), EIGHT, id="those that serve keep what they have"),
        pytest.param((SILENT, STARTING), EIGHT, id="one that serves keeps what it has"),
    ],
)
def test_a_change_of_the_specification_while_no_pod_answers(pods, applied):
    spec, silent = BatchingSpec(mode="Fixed", initial=TEN), serving(*pods, model_ready=None)
    found = decide(BatchingStatus(applied=EIGHT), spec, silent)
    assert (found.applied, found.status.applied, found.actuation) == (applied, applied, None)


def test_a_change_of_the_specification_that_waited_is_made_once_a_pod_answers():
    spec = BatchingSpec(mode="Fixed", initial=TEN)
    waiting = decide(BatchingStatus(applied=EIGHT), spec, serving(SILENT, model_ready=None))
    found = decide(waiting.status, spec, serving(pod(batching=EIGHT))).actuation
    assert found is not None
    assert (found.before, found.after, found.reason) == (EIGHT, TEN, Reason.SPEC_CHANGED)


def test_a_change_of_the_specification_is_not_bound_by_the_reload_budget():
    status = BatchingStatus(applied=EIGHT, recent_reloads=(at(-1),) * 100)
    found = decide(status, BatchingSpec(mode="Fixed", initial=TEN), serving(pod(batching=EIGHT)))
    assert found.actuation is not None


@pytest.mark.parametrize(
    ("generation", "tried"),
    [
        pytest.param(1, False, id="not under the specification under which it was refused"),
        pytest.param(2, True, id="but under another"),
    ],
)
def test_a_refused_batching_is_tried_again(generation, tried):
    refused = change(outcome="Refused", message="Triton refused it")
    found = decide(
        BatchingStatus(applied=EIGHT, changes=(refused,)),
        BatchingSpec(mode="Fixed", initial=TEN),
        serving(pod(batching=EIGHT)),
        generation=generation,
    )
    assert (found.actuation is not None) is tried
    explained = (found.status.reason, found.status.message)
    assert (explained == (Reason.CONFIG_REFUSED, "Triton refused it")) is not tried
    assert found.applied == EIGHT


def test_pods_that_differ_are_brought_back_and_the_others_left_alone():
    good, bad, worse = pod("a", batching=EIGHT), pod("b", batching=TEN), pod("c", batching=TEN)
    silent = pod("d").with_(batching=None)
    other = pod("e", batching=Batching(max_batch_size=9))
    pods = (good, bad, worse, silent, other)
    found = decide(BatchingStatus(applied=EIGHT), state=serving(*pods)).actuation
    assert found is not None
    assert (found.before, found.after, found.pods) == (TEN, EIGHT, (bad, worse))
    assert found.reason == Reason.DRIFTED
    assert found.message.startswith("2 of 5 pods have batch 10")


def test_instances_that_differ_are_brought_back_in_place():
    two = pod(batching=EIGHT.with_(instances=2))
    found = decide(BatchingStatus(applied=EIGHT), state=serving(two)).actuation
    assert found is not None
    assert (found.actuator, found.reason) == ("InPlace", Reason.DRIFTED)


def test_a_pod_that_never_takes_what_is_loaded_is_not_reloaded_for_ever():
    drifted = change(before=TEN, after=EIGHT, reason=Reason.DRIFTED)
    stale = drifted.with_(time=at(-3600))
    state = serving(pod(batching=TEN))
    thrice = decide(BatchingStatus(applied=EIGHT, changes=(drifted,) * 3), state=state)
    assert (thrice.actuation, thrice.status.reason) == (None, Reason.DRIFTED)
    assert "3 times within an hour" in thrice.status.message
    twice = decide(BatchingStatus(applied=EIGHT, changes=(drifted, drifted, stale)), state=state)
    assert twice.actuation is not None


def test_while_a_change_is_under_way_nothing_else_happens():
    status = BatchingStatus(applied=EIGHT, changes=(change(outcome="InProgress"),), reason="X")
    silent = pod().with_(batching=None)
    found = decide(status, BatchingSpec(mode="Fixed", initial=EIGHT), serving(silent))
    assert found.actuation is None
    assert found.status.changes[0].outcome == "InProgress"


def test_an_interrupted_change_is_taken_back_on_the_pods_that_have_it():
    status = BatchingStatus(applied=EIGHT, changes=(change(outcome="InProgress"),))
    pods = (pod("a", batching=TEN), pod("b", batching=EIGHT))
    found = decide(status, state=serving(*pods))
    assert found.status.changes[0].outcome == "Interrupted"
    assert found.actuation is not None
    assert (found.actuation.after, found.actuation.pods) == (EIGHT, pods[:1])


@pytest.mark.parametrize(
    ("mode", "recommended"), [("Recommend", TEN), ("Auto", None), ("Fixed", None)]
)
def test_a_recommendation_goes_with_the_mode_that_made_it(mode, recommended):
    status = BatchingStatus(applied=EIGHT, recommended=TEN)
    found = decide(status, BatchingSpec(mode=mode, initial=EIGHT), serving(pod(batching=EIGHT)))
    assert found.status.recommended == recommended


def test_an_overlay_that_must_not_be_tuned_is_followed_to_the_letter():
    overlay = {"max_batch_size": 0, "instance_group": [{"count": 3}]}
    status = BatchingStatus(applied=EIGHT, recommended=TEN)
    found = decide(status, state=serving(pod(batching=EIGHT)), overlay=overlay)
    assert found.applied == found.status.applied == Batching(max_batch_size=1, instances=3)
    assert (found.status.reason, found.status.recommended) == (Reason.NOT_BATCHABLE, None)
    assert found.actuation is None


def test_a_model_that_triton_cannot_batch_is_left_alone():
    state = serving(pod(batching=TEN), batchable=False)
    found = decide(BatchingStatus(applied=EIGHT), state=state, window=factories.window())
    assert (found.applied, found.actuation) == (EIGHT, None)
    assert found.status.reason == Reason.NOT_BATCHABLE
    assert "state max_batch_size: 0" in found.status.message


@pytest.mark.parametrize(
    ("before", "mode", "ready", "after"),
    [
        pytest.param("", "Auto", True, Reason.OBSERVING, id="nothing said yet: observing"),
        pytest.param("ModeFixed", "Auto", True, Reason.OBSERVING, id="not Fixed any more"),
        pytest.param("Recommended", "Auto", True, Reason.OBSERVING, id="not Recommend any more"),
        pytest.param("Recommended", "Recommend", True, "Recommended", id="still Recommend"),
        pytest.param("NotBatchable", "Auto", True, Reason.OBSERVING, id="batchable after all"),
        pytest.param("NotBatchable", "Auto", None, "NotBatchable", id="nobody says otherwise"),
        pytest.param("Met", "Auto", True, "Met", id="the last window's word stays"),
        pytest.param("Met", "Fixed", True, Reason.MODE_FIXED, id="Fixed since then"),
        pytest.param("SpecChanged", "Fixed", True, "SpecChanged", id="how Fixed came about"),
    ],
)
def test_explanations_last_while_they_are_true(before, mode, ready, after):
    status = BatchingStatus(applied=EIGHT, reason=before, message="as before", last_good=EIGHT)
    spec = BatchingSpec(mode=mode, initial=EIGHT)
    found = decide(status, spec, serving(pod(batching=EIGHT), model_ready=ready)).status
    assert found.reason == after
    assert (found.message == "as before") is (before == after)


@pytest.mark.parametrize(
    ("window", "ready", "last_good"),
    [
        pytest.param({}, True, TEN, id="served without failure: good"),
        pytest.param({"failures": 1}, True, EIGHT, id="a failure: not proved good"),
        pytest.param({"requests": 0}, True, EIGHT, id="no traffic: not proved good"),
        pytest.param({}, False, EIGHT, id="a model that is not ready: not proved good"),
        pytest.param(None, True, EIGHT, id="no window: not proved good"),
    ],
)
def test_the_last_good_batching(window, ready, last_good):
    found = decide(
        BatchingStatus(applied=TEN, last_good=EIGHT),
        state=serving(pod(batching=TEN), model_ready=ready),
        window=None if window is None else factories.window(**window),
    )
    assert found.status.last_good == last_good


PREFERRED = {"dynamic_batching": {"preferred_batch_size": [4, 32]}}


def test_what_the_overlay_states_is_applied_and_reported():
    found = decide(overlay=PREFERRED)
    assert found.applied == found.status.applied == EIGHT.with_(preferred_batch_size=(4,))


def test_pods_of_an_earlier_overlay_are_about_to_be_replaced_and_have_not_drifted():
    found = decide(
        BatchingStatus(applied=EIGHT, last_good=EIGHT), state=serving(pod()), overlay=PREFERRED
    )
    assert found.actuation is None
    assert found.applied == EIGHT.with_(preferred_batch_size=(4,))
    again = decide(found.status, state=serving(pod()), overlay=PREFERRED)
    assert (again.actuation, again.status) == (None, found.status)


def test_pods_that_differ_in_what_the_overlay_leaves_open_are_brought_back():
    late = EIGHT.with_(default_timeout_microseconds=9)
    found = decide(
        BatchingStatus(applied=late, last_good=late), state=serving(pod()), overlay=PREFERRED
    )
    assert found.actuation is not None
    assert found.actuation.reason == Reason.DRIFTED
    assert found.actuation.after == late.with_(preferred_batch_size=(4,))


def test_initial_with_preferred_sizes_and_a_queue_policy_is_followed():
    initial = EIGHT.with_(preferred_batch_size=(2, 4), default_timeout_microseconds=9)
    spec = BatchingSpec(mode="Fixed", initial=initial)
    found = decide(BatchingStatus(applied=EIGHT), spec, serving(pod()))
    assert found.actuation is not None
    assert (found.actuation.after, found.actuation.reason) == (initial, Reason.SPEC_CHANGED)


@pytest.mark.parametrize(
    ("fields", "overlay", "needed", "after"),
    [
        pytest.param({}, {}, 3, 3, id="as the tuner said last"),
        pytest.param({"replicas": 3}, {}, 3, None, id="there are to be so many"),
        pytest.param(
            {"spec": BatchingSpec(mode="Fixed", initial=EIGHT)}, {}, 3, None, id="nothing is tuned"
        ),
        pytest.param({}, {"sequence_batching": {}}, 3, None, id="nothing can be tuned"),
    ],
)
def test_needed_replicas_last_while_they_are_needed(fields, overlay, needed, after):
    status = BatchingStatus(applied=EIGHT, needed_replicas=needed)
    assert decide(status, overlay=overlay, **fields).status.needed_replicas == after


@pytest.mark.parametrize(
    ("fields", "overlay", "stays"),
    [
        pytest.param({"replicas": 9}, {}, True, id="as windows said last, however many there are"),
        pytest.param(
            {"spec": BatchingSpec(mode="Fixed", initial=EIGHT)}, {}, False, id="nothing is tuned"
        ),
        pytest.param({}, {"max_batch_size": 0}, True, id="and where requests go one by one"),
        pytest.param({}, {"sequence_batching": {}}, False, id="nothing can be tuned"),
    ],
)
def test_what_windows_said_of_replicas_lasts_while_batching_is_tuned(fields, overlay, stays):
    said = {
        "unattainable": "a batch of one takes too long",
        "desired_replicas": 4,
        "fewer_replicas": FewerReplicas(replicas=3, since=at(-60)),
    }
    found = decide(BatchingStatus(applied=EIGHT, **said), overlay=overlay, **fields).status
    assert {name: getattr(found, name) for name in said} == (said if stays else dict.fromkeys(said))


# The live cap

APPLIED = BatchingStatus(applied=EIGHT, last_good=EIGHT)


def test_a_change_of_the_limits_reaches_pods_through_their_live_cap():
    spec = BatchingSpec(algorithm="Trend", limits=limits((1, 4)))
    found = decide(APPLIED, spec, serving(capped_pod(8)))
    assert found.actuation is not None
    four = Batching(max_batch_size=4)
    assert (found.actuation.after, found.actuation.actuator) == (four, "LiveCap")


def test_an_annotation_that_somebody_edits_is_brought_back_by_annotating():
    edited, right = capped_pod(2, start=8, name="edited"), capped_pod(8, name="right")
    found = decide(APPLIED, state=serving(edited, right))
    assert found.actuation is not None
    assert (found.actuation.actuator, found.actuation.reason) == ("LiveCap", Reason.DRIFTED)
    assert [p.name for p in found.actuation.pods] == ["edited"]


def test_preferred_sizes_that_an_edited_annotation_hides_come_back_with_the_cap():
    applied = Batching(max_batch_size=16, preferred_batch_size=(8, 12))
    edited = capped_pod(8, start=16, preferred_batch_size=(8, 12))
    assert edited.batching == EIGHT
    found = decide(BatchingStatus(applied=applied, last_good=applied), state=serving(edited))
    assert found.actuation is not None
    assert (found.actuation.after, found.actuation.actuator) == (applied, "LiveCap")


def test_preferred_sizes_that_a_raised_cap_would_bring_back_need_a_reload():
    before = Batching(max_batch_size=12, preferred_batch_size=(8,))
    pods = capped_pod(12, start=16, preferred_batch_size=(8, 16))
    after = before.with_(max_batch_size=32)
    spec = BatchingSpec(mode="Fixed", initial=after)
    found = decide(BatchingStatus(applied=before), spec, serving(pods))
    assert found.actuation is not None
    assert found.actuation.actuator == "Reload"


def test_preferred_sizes_of_the_overlay_do_not_stand_in_the_live_caps_way():
    overlay = {"dynamic_batching": {"preferred_batch_size": [4, 16]}}
    applied = Batching(max_batch_size=8, preferred_batch_size=(4,))
    spec = BatchingSpec(mode="Fixed", initial=Batching(max_batch_size=32))
    pods = capped_pod(8, preferred_batch_size=(4, 16))
    found = decide(BatchingStatus(applied=applied), spec, serving(pods), overlay)
    assert found.actuation is not None
    after = Batching(max_batch_size=32, preferred_batch_size=(4, 16))
    assert (found.actuation.after, found.actuation.actuator) == (after, "LiveCap")


def test_instance_groups_that_differ_do_not_stand_in_the_live_caps_way():
    pods = capped_pod(8, instances=3).with_(instances_known=False)
    spec = BatchingSpec(algorithm="Trend", limits=limits((1, 4)))
    found = decide(APPLIED, spec, serving(pods))
    assert found.actuation is not None
    assert found.actuation.actuator == "LiveCap"
