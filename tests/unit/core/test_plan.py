"""The one decision of a reconcile, from snapshot to status, objects, change and events."""

from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ferryman.api.batching import (
    Batching,
    BatchingLimits,
    BatchingSpec,
    MaxBatchSizeLimits,
    TrendSettings,
)
from ferryman.api.conditions import Condition, ConditionType, Reason, find
from ferryman.api.inference_model_status import BatchingChange, BatchingStatus, InferenceModelStatus
from ferryman.api.scaling import ScalingSpec, ScalingStatus
from ferryman.core.placement.reservations import Reservation, ResourceAmount
from ferryman.core.plan import Environment, plan, record_outcome, record_started, target
from ferryman.core.snapshot import ServingState
from ferryman.core.status.conditions import applied, with_problem
from ferryman.core.status.readiness import NotReady
from ferryman.core.tuners.select import TunerState
from tests import factories
from tests.factories import NOW, at, node, pod

EIGHT, TEN = Batching(max_batch_size=8), Batching(max_batch_size=10)
QUICK = TrendSettings(samples=3)
#: One more slow window makes a falling trend of three values.
FALLING = TunerState(trajectory=(8, 6))


def planned(snapshot, *, window=None, state=None, now=NOW, encode=repr):
    return plan(
        snapshot,
        window=window,
        state=state or TunerState(),
        now=now,
        encode=encode,
        control_key="secret",
        environment=Environment(operator_namespace="ferryman-system"),
    )


def serving(*pods, **fields):
    pods = pods or (pod(batching=EIGHT),)
    values = {
        "exists": True,
        "desired_replicas": 1,
        "ready_replicas": len(pods),
        "updated_replicas": len(pods),
        "model_ready": True,
        **fields,
    }
    return ServingState(pods=pods, **values)


def written(snapshot, status):
    """Return the snapshot after the status was written."""
    return snapshot.with_(model=snapshot.model.with_(status=status))


def executed(snapshot, done, now=NOW, outcome="Applied"):
    """Return the snapshot after a plan was carried out."""
    if done.actuation is None:
        return written(snapshot, applied(done.status, now) if done.objects else done.status)
    begun = applied(record_started(done.status, done.actuation, now), now)
    status = record_outcome(begun, done.actuation, outcome, "", now)
    changed = {view.name for view in done.actuation.pods} if outcome == "Applied" else set()
    pods = tuple(
        view.with_(batching=done.actuation.after) if view.name in changed else view
        for view in snapshot.serving.pods
    )
    return written(snapshot, status).with_(serving=snapshot.serving.with_(pods=pods))


def placed(snapshot):
    """Return the snapshot of a model that is placed, and of which nothing else is reported yet."""
    status = snapshot.model.status
    placement = planned(snapshot).status.placement
    return written(snapshot, status.with_(placement=placement))


def settled(snapshot):
    """Return the snapshot after what is specified was applied, and seen to be as it is."""
    snapshot = placed(snapshot)
    after = executed(snapshot, planned(snapshot))
    return written(after, planned(after).status)


def condition(done, kind):
    return find(done.status.conditions, kind)


def shown(done, kind):
    found = condition(done, kind)
    return None if found is None else (found.status, found.reason)


def test_a_new_place_is_written_down_and_announced_before_anything_is_applied():
    done = planned(factories.snapshot())
    assert done.status.placement.node_type == "cpu-small"
    assert done.is_new_place
    assert (done.objects, done.actuation, done.requeue_after_s) == ((), None, 0.0)
    assert [(e.type, e.reason) for e in done.events] == [("Normal", "LeastWorkload")]


def test_a_change_of_batching_waits_for_a_new_place_to_be_written_down():
    model = factories.model(batching=BatchingSpec(mode="Fixed", initial=TEN))
    new = factories.snapshot(model=model, serving=serving())
    done = planned(new)
    assert (done.is_new_place, done.objects, done.actuation) == (True, (), None)
    then = planned(placed(new))
    assert (then.is_new_place, then.actuation.after) == (False, TEN)


def test_a_model_that_is_placed_is_rendered():
    done = planned(placed(factories.snapshot()))
    assert [o["kind"] for o in done.objects][-1] == "Deployment"
    assert done.status.batching.applied == EIGHT
    assert shown(done, ConditionType.RECONCILING) == ("True", "Deploying")
    assert (done.is_new_place, done.actuation, done.events) == (False, None, ())
    assert done.requeue_after_s == 5.0


def replicas_of(done):
    """Return what the Deployment of a plan is to have."""
    (found,) = (each for each in done.objects if each["kind"] == "Deployment")
    return found["spec"]["replicas"]


def scaled(*, chosen=2, needed=None, **fields):
    """Return a placed model that Ferryman scales, of which windows have settled on a number."""
    scaling = ScalingStatus(replicas=chosen, reason="AsNeeded", message="so")
    spec = ScalingSpec(max_replicas=4)
    batching = BatchingSpec(algorithm="Guarded")
    model = factories.model(scaling=spec, batching=batching, **fields)
    before = placed(factories.snapshot(model=model))
    status = before.model.status
    told = status.batching.with_(desired_replicas=needed)
    return written(before, status.with_(scaling=scaling, batching=told))


def test_what_own_scaling_decides_is_rendered_reserved_reported_and_told():
    done = planned(scaled(needed=3).with_(placement_is_valid=False))
    assert replicas_of(done) == 3
    assert (done.status.desired_replicas, done.status.scaling.reason) == (3, "MoreNeeded")
    assert sum(done.reservation.nodes.values()) == 3
    assert "MoreNeeded" in {event.reason for event in done.events}


def test_own_scaling_that_is_limited_says_so_and_where_to_allow_more():
    done = planned(scaled(chosen=4, needed=6))
    assert condition(done, ConditionType.SCALING_LIMITED).reason == Reason.AT_MAX_REPLICAS
    assert replicas_of(done) == 4


def test_a_number_that_somebody_else_sets_is_told_and_not_followed():
    before = scaled(chosen=2, needed=2, replicas=4)
    seen = before.model.status.scaling.with_(stated_replicas=1)
    done = planned(written(before, before.model.status.with_(scaling=seen)))
    contested = condition(done, ConditionType.SCALING_CONTESTED)
    assert (contested.reason, replicas_of(done)) == (Reason.OTHER_AUTOSCALER, 2)
    assert "spec.replicas was set to 4" in contested.message


def test_own_scaling_that_a_person_stopped_asks_for_none_and_limits_nothing():
    done = planned(scaled(chosen=4, needed=6, replicas=0))
    assert (replicas_of(done), done.status.scaling.replicas) == (0, 4)
    assert condition(done, ConditionType.SCALING_LIMITED) is None


def test_a_model_that_cannot_be_served_keeps_its_number():
    done = planned(scaled(chosen=3, needed=4).with_(runtime=None))
    assert (done.objects, done.status.scaling.replicas) == ((), 3)


def test_without_own_scaling_nothing_of_it_is_left():
    before = scaled(chosen=3, needed=3)
    stated = before.model.spec.with_(scaling=None)
    done = planned(before.with_(model=before.model.with_(spec=stated)))
    assert (done.status.scaling, replicas_of(done)) == (None, 1)


def test_what_a_placement_reserves_comes_with_it():
    new = factories.snapshot(model=factories.model(replicas=2))
    assert planned(new).reservation == Reservation({"node-1": 2}, ResourceAmount(500, 512 * 2**20))
    assert planned(placed(new)).reservation == planned(new).reservation


@pytest.mark.parametrize(
    "snapshot",
    [
        pytest.param(factories.snapshot(nodes=()), id="it has no place"),
        pytest.param(
            placed(factories.snapshot()).with_(placement_is_valid=True), id="no node was compared"
        ),
    ],
)
def test_nothing_new_is_reserved_where(snapshot):
    assert planned(snapshot).reservation is None


def test_a_model_that_is_not_deployed_reserves_nothing():
    doubtful = factories.snapshot(
        model=factories.model(model=factories.source("s3://bucket/model"))
    )
    done = planned(doubtful)
    assert (done.is_new_place, done.reservation.nodes) == (True, {})


def test_the_status_says_where_to_send_requests_and_what_is_promised():
    status = planned(factories.snapshot(serving=serving())).status
    assert status.url == "http://resnet50-triton.default.svc:8000/v2/models/resnet50"
    assert status.selector == "serving.ferryman.dev/model=resnet50"
    assert (status.replicas, status.ready_replicas) == (1, 1)
    assert (status.target, status.observed_generation) == ("p99 ≤ 50 ms", 1)


@pytest.mark.parametrize(
    ("objectives", "phrase"),
    [
        pytest.param(factories.objectives(50), "p99 ≤ 50 ms", id="latency"),
        pytest.param(factories.objectives(None, 200), "≥ 200/s", id="throughput"),
        pytest.param(factories.objectives(50, 200, 95), "p95 ≤ 50 ms, ≥ 200/s", id="both"),
    ],
)
def test_target(objectives, phrase):
    assert target(objectives) == phrase


def test_a_model_that_serves_is_ready_and_left_alone():
    done = planned(settled(factories.snapshot(serving=serving())))
    assert shown(done, ConditionType.READY) == ("True", "Serving")
    assert (done.actuation, done.events, done.requeue_after_s) == (None, (), None)


@pytest.mark.parametrize(
    ("silent_s", "after_s"),
    [(0, 5.0), (3, 5.0), (60, 60.0), (86_400, 300.0)],
    ids=["at once", "just now", "for a minute", "for a day"],
)
def test_ready_pods_that_do_not_answer_are_asked_again(silent_s, after_s):
    silent = settled(factories.snapshot(serving=serving(pod(), model_ready=None)))
    done = planned(silent, now=NOW + timedelta(seconds=silent_s))
    assert shown(done, ConditionType.MODEL_LOADED) == ("Unknown", "TritonUnreachable")
    assert done.requeue_after_s == after_s


def test_a_window_is_reported_and_judged():
    done = planned(factories.snapshot(serving=serving()), window=factories.window())
    assert done.status.observed.latency_milliseconds == 40.0
    assert shown(done, ConditionType.OBJECTIVES_MET) == ("True", "Met")
    assert done.status.batching.last_good == EIGHT
    assert done.reason == done.status.batching.reason == Reason.MET


SLOW = factories.window(latency_ms=80.0)


def slow_model(**fields):
    return factories.snapshot(
        model=factories.model(batching=BatchingSpec(algorithm="Trend", trend=QUICK), **fields),
        serving=serving(),
    )


def test_a_step_of_the_tuner_comes_with_the_configuration_to_load():
    done = planned(placed(slow_model()), window=SLOW, state=FALLING)
    assert done.actuation is not None
    assert (done.actuation.after, done.actuation.reason) == (
        Batching(max_batch_size=6),
        Reason.TREND_DECREASE,
    )
    assert "'max_batch_size': 6" in done.actuation.config_pbtxt
    config_map = next(o for o in done.objects if o["kind"] == "ConfigMap")
    assert "'max_batch_size': 8" in config_map["data"]["config.pbtxt"]
    assert done.requeue_after_s == 0.0


def test_a_step_that_was_applied_is_rendered_from_then_on():
    snapshot = settled(slow_model())
    after = executed(snapshot, planned(snapshot, window=SLOW, state=FALLING))
    done = planned(after)
    config_map = next(o for o in done.objects if o["kind"] == "ConfigMap")
    assert "'max_batch_size': 6" in config_map["data"]["config.pbtxt"]
    assert done.status == after.model.status
    assert done.status.batching.changes[0].generation == 1


def test_a_step_that_was_refused_leaves_everything_as_it_was():
    snapshot = placed(slow_model())
    first = planned(snapshot, window=SLOW, state=FALLING)
    after = executed(snapshot, first, outcome="Refused")
    done = planned(after)
    assert done.status.batching.applied == EIGHT
    assert done.status.batching.reason == Reason.CONFIG_REFUSED
    assert done.actuation is None
    # Once the interval between reloads is over.
    later = NOW + timedelta(seconds=61)
    again = planned(after, window=SLOW, state=FALLING, now=later)
    assert (again.actuation, again.status.batching.reason) == (None, Reason.CONFIG_REFUSED)


def test_a_change_of_the_specification_is_ready_only_after_it_was_applied():
    snapshot = settled(factories.snapshot(serving=serving()))
    source = factories.source("oci://registry.example/resnet50:2")
    model = factories.model(generation=2, model=source, status=snapshot.model.status)
    changed = snapshot.with_(model=model)
    done = planned(changed)
    assert shown(done, ConditionType.READY) == ("False", "Applying")
    assert shown(done, ConditionType.RECONCILING) == ("True", "Applying")
    assert (done.status.observed_generation, done.requeue_after_s) == (2, 5.0)
    assert [(e.type, e.reason) for e in done.events] == [("Normal", "Applying")]
    again = planned(written(changed, done.status))
    assert (again.status, again.events) == (done.status, ()), "it was not applied meanwhile"
    ready = planned(executed(changed, done))
    assert shown(ready, ConditionType.READY) == ("True", "Serving")


def test_nothing_that_serves_is_touched_while_the_api_server_refuses_objects():
    snapshot = settled(slow_model())
    problem = NotReady(Reason.APPLY_REFUSED, "no quota", stalled=True)
    refused = written(snapshot, with_problem(snapshot.model.status, problem, NOW))
    done = planned(refused, window=SLOW, state=FALLING)
    assert (done.actuation, done.state, done.requeue_after_s) == (None, FALLING, 30.0)
    assert [o["kind"] for o in done.objects][-1] == "Deployment", "they are tried again"
    assert shown(done, ConditionType.STALLED) == ("True", "ApplyRefused")
    assert planned(executed(refused, done), window=SLOW, state=FALLING).actuation is not None


def test_an_interrupted_change_is_begun_again_after_a_pause():
    fixed = BatchingSpec(mode="Fixed", initial=TEN)
    status = settled(factories.snapshot(serving=serving())).model.status
    model = factories.model(batching=fixed, status=status)
    snapshot = placed(factories.snapshot(model=model, serving=serving()))
    after = executed(snapshot, planned(snapshot), outcome="Interrupted")
    done = planned(after, now=NOW + timedelta(seconds=29))
    assert (done.actuation, done.requeue_after_s) == (None, 30.0)
    assert done.status == after.model.status
    again = planned(after, now=NOW + timedelta(seconds=30))
    assert again.actuation is not None
    assert again.actuation.after == TEN


def test_a_change_found_in_progress_is_looked_at_again_soon():
    begun = BatchingChange(
        time=at(-5),
        before=EIGHT,
        after=TEN,
        actuator="Reload",
        reason="TrendIncrease",
        message="m",
        outcome="InProgress",
    )
    status = InferenceModelStatus(
        batching=BatchingStatus(applied=EIGHT, changes=(begun,)),
        conditions=(
            Condition(
                type="Ready", status="True", reason="Serving", message="", last_transition_time=at()
            ),
        ),
    )
    silent = pod().with_(batching=None)
    snapshot = placed(
        factories.snapshot(model=factories.model(status=status), serving=serving(silent))
    )
    assert planned(snapshot).requeue_after_s == 5.0
    answered = planned(snapshot.with_(serving=serving(pod(batching=TEN))))
    assert answered.status.batching.applied == TEN
    assert ("Normal", "TrendIncrease") in [(e.type, e.reason) for e in answered.events]


PLACED = planned(factories.snapshot(serving=serving())).status


@pytest.mark.parametrize(
    ("snapshot", "reason"),
    [
        pytest.param({"has_runtime": False}, Reason.RUNTIME_NOT_FOUND, id="no runtime"),
        pytest.param({"nodes": ()}, Reason.NO_NODE_PROFILE, id="no node"),
        pytest.param(
            {"model": {"model": factories.source(config={"name": "x"})}},
            Reason.INVALID_CONFIG,
            id="an overlay that contradicts",
        ),
        pytest.param(
            {"model": {"model": factories.source("s3://bucket/model")}},
            Reason.INVALID_SPEC,
            id="a source that cannot be mounted",
        ),
        pytest.param(
            {"model": {"model": factories.source(model_format="python")}},
            Reason.FORMAT_NOT_SUPPORTED,
            id="a format without backend",
        ),
    ],
)
def test_what_cannot_be_decided_leaves_what_serves(snapshot, reason):
    fields = {**snapshot, "model": factories.model(status=PLACED, **snapshot.get("model", {}))}
    done = planned(factories.snapshot(serving=serving(), **fields))
    assert (done.objects, done.actuation) == ((), None)
    assert shown(done, ConditionType.READY) == ("False", reason)
    assert done.status.batching == PLACED.batching
    assert "what served before keeps serving" in condition(done, ConditionType.READY).message
    assert done.requeue_after_s == (5.0 if reason == Reason.NO_NODE_PROFILE else 30.0)


def test_a_configuration_that_does_not_fit_tritons_schema_is_the_specifications_fault():
    def refuse(config):
        raise ValueError("maxbatch is no field")

    done = planned(factories.snapshot(), encode=refuse)
    stalled = condition(done, ConditionType.STALLED)
    assert (stalled.reason, stalled.message) == (
        "InvalidConfig",
        "spec.model.config: maxbatch is no field",
    )


def test_without_runtime_the_placement_is_remembered():
    model = factories.model(status=PLACED)
    done = planned(factories.snapshot(model=model, has_runtime=False))
    assert done.status.placement == PLACED.placement


def test_a_placement_keeps_its_words_and_its_node_while_it_stands():
    model = factories.model(status=PLACED)
    busy = node(utilisation=0.9), node("node-2", utilisation=0.0)
    done = planned(
        factories.snapshot(model=model, nodes=busy, serving=serving()),
        now=NOW + timedelta(seconds=60),
    )
    assert done.status.placement == PLACED.placement


def test_a_placement_is_decided_anew_when_its_node_type_is_gone():
    done = planned(
        factories.snapshot(
            model=factories.model(status=PLACED), nodes=(node("n", "cpu-big"),), serving=serving()
        )
    )
    assert done.status.placement.node_type == "cpu-big"
    assert [(e.type, e.reason) for e in done.events] == [("Normal", "LeastWorkload")]


def test_a_model_that_is_being_deleted_is_left_alone():
    snapshot = factories.snapshot(serving=serving())
    metadata = snapshot.model.metadata.with_(deletion_timestamp=at())
    done = planned(snapshot.with_(model=snapshot.model.with_(metadata=metadata)))
    assert (done.objects, done.actuation, done.events) == ((), None, ())
    assert (done.status, done.reservation) == (snapshot.model.status, None)
    placed_before = written(snapshot, PLACED)
    metadata = placed_before.model.metadata.with_(deletion_timestamp=at())
    going = planned(placed_before.with_(model=placed_before.model.with_(metadata=metadata)))
    assert going.reservation.nodes == {}, "no more of its pods will come"


WINDOWS = {
    "idle": factories.window(requests=0, inferences=0, inferences_per_s=0.0, latency_ms=None),
    "well served": factories.window(),
}


@pytest.mark.parametrize("window", WINDOWS.values(), ids=WINDOWS.keys())
def test_a_steady_model_writes_nothing(window):
    snapshot, state = settled(factories.snapshot(serving=serving())), TunerState()
    first = planned(snapshot, window=window, state=state)
    snapshot = written(snapshot, first.status)
    for beat in range(1, 4):
        now = NOW + timedelta(seconds=20 * beat)
        done = planned(snapshot, window=window, state=first.state, now=now)
        assert done.status == first.status
        assert (done.actuation, done.events) == (None, ())


batchings = st.builds(
    Batching,
    max_batch_size=st.integers(1, 40),
    max_queue_delay_microseconds=st.sampled_from([0, 500]),
    instances=st.integers(1, 3),
)
pods = st.lists(st.none() | batchings, max_size=3).map(
    lambda found: tuple(pod(f"p{i}").with_(batching=batching) for i, batching in enumerate(found))
)
specs = st.builds(
    BatchingSpec,
    mode=st.sampled_from(["Auto", "Recommend", "Fixed"]),
    initial=batchings,
    limits=st.builds(
        BatchingLimits,
        max_batch_size=st.builds(MaxBatchSizeLimits, min=st.integers(1, 8), max=st.integers(8, 64)),
    ),
    trend=st.just(QUICK),
)
overlays = st.sampled_from(
    [{}, {"max_batch_size": 0}, {"name": "x"}, {"dynamic_batching": {"preferred_batch_size": [4]}}]
)
windows = st.none() | st.builds(
    factories.window,
    requests=st.sampled_from([0, 5, 1000]),
    failures=st.sampled_from([0, 1]),
    latency_ms=st.sampled_from([20.0, 50.0, 80.0]),
)
changes = st.lists(
    st.builds(
        BatchingChange,
        time=st.just(at(-30)),
        before=batchings,
        after=batchings,
        actuator=st.just("Reload"),
        reason=st.just("TrendIncrease"),
        message=st.just("m"),
        outcome=st.sampled_from(["InProgress", "Applied", "Refused", "Interrupted"]),
        generation=st.integers(0, 1),
    ),
    max_size=2,
).map(tuple)
statuses = st.builds(
    BatchingStatus,
    applied=st.none() | batchings,
    last_good=st.none() | batchings,
    reason=st.sampled_from(["", "Met", "ModeFixed", "Recommended", "NotBatchable"]),
    changes=changes,
)


@st.composite
def snapshots(draw):
    model = factories.model(
        model=factories.source(config=draw(overlays)),
        batching=draw(specs),
        status=InferenceModelStatus(batching=draw(statuses)),
        replicas=draw(st.integers(0, 2)),
    )
    found = draw(pods)
    answering = any(view.batching is not None for view in found)
    return factories.snapshot(
        model=model,
        has_runtime=draw(st.booleans()) or draw(st.booleans()),
        nodes=draw(st.sampled_from([(), (node(),), (node(has_profile=False),)])),
        serving=ServingState(
            exists=draw(st.booleans()),
            desired_replicas=len(found),
            ready_replicas=len(found),
            updated_replicas=len(found),
            model_ready=draw(st.booleans()) if answering else None,
            batchable=draw(st.sampled_from([True, True, False])),
            pods=found,
        ),
    )


def falling(snapshot):
    """Return what a tuner remembers that needs one window more to decide."""
    batching = snapshot.model.status.batching
    bound = (batching.applied or EIGHT).max_batch_size
    return TunerState(trajectory=(bound, max(1, bound - 2)))


@settings(max_examples=150, deadline=None)
@given(snapshot=snapshots(), window=windows, is_placed=st.booleans())
def test_what_was_carried_out_is_not_decided_again(snapshot, window, is_placed):
    """A few changes may follow one another (pods that differ in different ways); then all rests.

    A plan without a change is at rest once it is applied: the same look at the same cluster gives
    the same status, no change and no event, and the objects are the same to the byte.
    """
    snapshot = placed(snapshot) if is_placed else snapshot
    done = planned(snapshot, window=window, state=falling(snapshot))
    for beat in range(1, 9):
        after = executed(snapshot, done, NOW + timedelta(seconds=beat))
        again = planned(after, state=done.state, now=NOW + timedelta(seconds=beat))
        if not done.is_new_place and done.actuation is None and done.status == after.model.status:
            assert again.status == after.model.status
            assert again.objects == done.objects
            assert (again.actuation, again.events) == (None, ())
            return
        snapshot, done = after, again
    pytest.fail(f"still changing: {done.actuation}")


@settings(max_examples=100, deadline=None)
@given(snapshot=snapshots(), window=windows)
def test_a_status_survives_being_written_and_read(snapshot, window):
    status = planned(snapshot, window=window).status
    assert InferenceModelStatus.model_validate(status.as_dict()) == status


@settings(max_examples=100, deadline=None)
@given(snapshot=snapshots(), window=windows)
def test_what_is_applied_is_within_the_limits_or_as_stated(snapshot, window):
    done = planned(snapshot, window=window, state=falling(snapshot))
    spec = snapshot.model.spec.batching
    limits = spec.limits.max_batch_size
    after = done.actuation.after if done.actuation else None
    if after is not None and done.actuation.reason != Reason.DRIFTED and spec.mode != "Fixed":
        assert limits.min <= after.max_batch_size <= limits.max


# Batches that take longer than a window


def capacity(done):
    return condition(done, ConditionType.NEEDS_CAPACITY) is not None


def overloaded(at_s, served, before, **fields):
    """Return 5 s of 100 requests/s, of which one batch of 64 may have ended after 6.4 s."""
    told = {"mean_latency_ms": 30e3, "latency_ms": 40e3, "queue_ms": 23.6e3, "compute_ms": 6400.0}
    values = {
        "ended_at_s": at_s,
        "seconds": 5.0,
        "requests": served,
        "inferences": served,
        "requests_per_s": served / 5,
        "inferences_per_s": served / 5,
        "mean_batch_size": 64.0 if served else None,
        "service_times": {64: (1, 6400.0)} if served else {},
        "pending_before": before,
        "pending": before + 500 - served,
        "arrived": ((1.0, 100),) * 5,
        **{key: value if served else None for key, value in told.items()},
        **fields,
    }
    return factories.window(**values)


def test_what_is_needed_stands_while_a_batch_takes_longer_than_a_window():
    """Windows with and without the end of a batch alternate; clients always ask for the same."""
    spec = BatchingSpec(limits=factories.limits((1, 64), (0, 0), (1, 1)))
    model = factories.model(objectives=factories.objectives(1000), batching=spec)
    shot = factories.snapshot(
        model=model, serving=serving(pod(batching=Batching(max_batch_size=64)))
    )
    state, before, told, reasons, needed = TunerState(), 0, [], set(), []
    for number in range(9):
        seen = overloaded(100.0 + 5 * number, 0 if number % 2 else 64, before)
        if number == 0:  # so that the curve has a shape
            both = {32: (1, 3200.0), 64: (1, 6400.0)}
            means = {"mean_latency_ms": 8e3, "queue_ms": 3e3, "compute_ms": 4800.0}
            seen = overloaded(100.0, 96, 0, service_times=both, mean_batch_size=48.0, **means)
        done = planned(shot, window=seen, state=state, now=NOW + timedelta(seconds=5 * number))
        told += [event.reason for event in done.events]
        reasons.add((condition(done, ConditionType.OBJECTIVES_MET).reason, capacity(done)))
        reasons.add(done.status.batching.reason)
        needed.append(done.status.batching.needed_replicas)
        state, before, shot = done.state, seen.pending, written(shot, done.status)
    assert told == ["LeastWorkload", "NeedsCapacity"]
    assert reasons == {("LatencyAboveTarget", True), "NeedsCapacity"}
    assert needed[0] >= 10, "10 a second are served, and 100 asked for"
    assert len(set(needed)) == 1, "nothing changed but what waits"


def test_a_model_that_is_asked_for_nothing_any_more_needs_nothing_more():
    spec = BatchingSpec(limits=factories.limits((1, 64), (0, 0), (1, 1)))
    status = InferenceModelStatus(
        batching=BatchingStatus(applied=EIGHT, last_good=EIGHT, needed_replicas=7)
    )
    model = factories.model(batching=spec, status=status)
    idle = overloaded(100.0, 0, 0, pending=0, arrived=((5.0, 0),))
    done = planned(factories.snapshot(model=model, serving=serving()), window=idle)
    assert (done.status.batching.needed_replicas, capacity(done)) == (None, False)


# Another number of replicas


def served():
    """Return a model of one replica that serves, as it is found again and again."""
    shot = factories.snapshot(serving=serving())
    for _ in range(3):
        shot = executed(shot, planned(shot))
    return shot


def asked(shot, generation, **spec):
    """Return what is found after somebody wrote to the specification."""
    model = shot.model
    metadata = model.metadata.model_copy(update={"generation": generation})
    return shot.with_(model=model.with_(metadata=metadata, spec=model.spec.with_(**spec)))


def test_ready_stays_true_while_an_autoscaler_adds_replicas_and_takes_them_away():
    shot = served()
    assert shown(planned(shot), ConditionType.READY) == ("True", "Serving")

    shot = asked(shot, 2, replicas=3)
    for ready, total in ((1, 1), (1, 3), (2, 3)):
        pods = [pod(f"{i}", batching=EIGHT, ready=i < ready) for i in range(total)]
        counts = {"desired_replicas": 3, "ready_replicas": ready, "updated_replicas": total}
        done = planned(shot.with_(serving=serving(*pods, **counts)))
        assert shown(done, ConditionType.READY) == ("True", "Serving")
        assert f"{ready} of 3 replicas serve" in condition(done, ConditionType.READY).message
        assert shown(done, ConditionType.RECONCILING) == ("True", "Deploying")
        assert done.events == ()
        shot = executed(shot, done)

    three = serving(*(pod(f"{i}", batching=EIGHT) for i in range(3)), desired_replicas=3)
    done = planned(shot.with_(serving=three))
    assert (done.status.settled_replicas, condition(done, ConditionType.RECONCILING)) == (3, None)
    fewer = asked(executed(shot, done).with_(serving=three), 3, replicas=1)
    assert shown(planned(fewer), ConditionType.READY) == ("True", "Serving")


def test_ready_is_false_where_more_than_the_number_was_changed():
    shot = asked(served(), 2, replicas=3, objectives=factories.objectives(70))
    done = planned(shot)
    assert shown(done, ConditionType.READY) == ("False", "Applying")
    assert done.status.settled_replicas == 0


SIXTY_FOUR = Batching(max_batch_size=64)
WARM = BatchingSpec(warm_start="Benchmark")


def measuring(**fields):
    """Return the snapshot of a model that serves, and asks to be measured."""
    snapshot = factories.snapshot(model=factories.model(batching=WARM))
    snapshot = written(snapshot, planned(snapshot).status)
    snapshot = written(snapshot, applied(planned(snapshot).status, NOW))
    return snapshot.with_(serving=serving(pod(batching=SIXTY_FOUR), **fields))


def test_a_model_that_serves_is_measured_first_and_looked_at_again_at_once():
    decided = planned(measuring())
    assert decided.measurement.largest == 64
    assert decided.status.batching.warm_start.outcome == "InProgress"
    assert find(decided.status.conditions, ConditionType.READY).reason == Reason.MEASURING
    assert decided.requeue_after_s == 0


def test_a_model_that_does_not_serve_yet_is_not():
    decided = planned(measuring(ready_replicas=0))
    assert decided.measurement is None
    assert decided.status.batching.warm_start is None


def test_nor_one_whose_batching_is_about_to_change():
    snapshot = measuring()
    state = snapshot.serving.with_(pods=(pod(batching=EIGHT),))
    decided = planned(snapshot.with_(serving=state))
    assert decided.actuation is not None
    assert decided.measurement is None


def test_while_others_are_measured_it_is_ready_and_looked_at_again():
    snapshot = measuring()
    decided = plan(
        snapshot,
        window=None,
        state=TunerState(),
        now=NOW,
        encode=repr,
        control_key="secret",
        environment=Environment(operator_namespace="ferryman-system"),
        may_measure=False,
    )
    assert decided.measurement is None
    assert find(decided.status.conditions, ConditionType.READY).status == "True"
    assert decided.requeue_after_s == 30
