"""When a model is measured before its clients come, and what is made of it."""

import pytest

from ferryman.api.batching import Batching, BatchingSpec
from ferryman.api.conditions import Reason
from ferryman.api.inference_model_status import (
    BatchingStatus,
    InferenceModelStatus,
    PlacementStatus,
    WarmStartStatus,
)
from ferryman.api.model_fetch import FetchSpec
from ferryman.core.batching.warm_start import (
    MAX_SENT_BYTES,
    CurveMeasurement,
    Finding,
    WarmStart,
    decide,
    finished,
    sizes,
)
from ferryman.core.snapshot import ServingState
from ferryman.core.tuners.profile import Profile, tuner_state
from ferryman.core.tuners.state import TunerState
from tests import factories
from tests.factories import NOW, at, pod

EIGHT = Batching(max_batch_size=8, instances=2)
HERE = PlacementStatus(node_type="cpu-small", processor="cpu", reason="X", message="x")
ASKED = BatchingSpec(warm_start="Benchmark")
SERVES = ServingState(exists=True, pods=(pod(batching=EIGHT),), model_ready=True)
GPUS_ALONE = factories.runtime(processors=(factories.runtime_processor("gpu"),))
MEASUREMENT = CurveMeasurement(pod(batching=EIGHT), largest=8, instances=2)


def decided(
    known=None,
    *,
    batching=ASKED,
    state=SERVES,
    runtime=None,
    placement=HERE,
    applied=EIGHT,
    serves=True,
    has_turn=True,
    **spec,
):
    status = InferenceModelStatus(batching=BatchingStatus(warm_start=known))
    return decide(
        factories.model(batching=batching, status=status, **spec),
        state,
        runtime or factories.runtime(),
        placement,
        applied,
        serves=serves,
        has_turn=has_turn,
        now=NOW,
    )


def known(outcome="Measured", **changed):
    """Return what the status says of the subject that ``decided`` decides about."""
    begun = decided(**changed).status
    return begun.with_(outcome=outcome, time=at(-60), reason=str(Reason.MEASURED))


def test_without_being_asked_for_nothing_is_measured_and_what_was_is_not_told_any_more():
    assert decided(known(), batching=BatchingSpec()) == WarmStart(None)


def test_one_pod_that_serves_is_measured_up_to_its_bound_by_all_its_instances():
    found = decided()
    assert found.measurement == MEASUREMENT
    assert (found.status.outcome, found.status.reason) == ("InProgress", "Measuring")
    assert found.status.time == at(0)


def test_not_before_all_pods_serve_what_is_specified():
    assert decided(serves=False) == WarmStart(None)


def test_where_others_are_being_measured_it_waits_for_its_turn():
    assert decided(has_turn=False) == WarmStart(None, waits=True)


@pytest.mark.parametrize(
    "pods",
    [
        pytest.param((), id="no pod"),
        pytest.param((pod(batching=EIGHT, ready=False),), id="none ready"),
        pytest.param((pod(batching=Batching(max_batch_size=4)),), id="none with what is applied"),
    ],
)
def test_without_a_pod_to_measure_nothing_is_said_yet(pods):
    assert decided(state=SERVES.with_(pods=pods)) == WarmStart(None)


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param({"runtime": GPUS_ALONE}, id="its runtime serves the class"),
        pytest.param({"placement": PlacementStatus(reason="X", message="x")}, id="it has a place"),
        pytest.param({"applied": None}, id="a batching is applied"),
    ],
)
def test_what_is_known_stands_until(changed):
    before = known()
    assert decided(before, **changed) == WarmStart(before)


@pytest.mark.parametrize("outcome", ["Measured", "NotMeasured"])
def test_a_subject_is_measured_once(outcome):
    before = known(outcome)
    assert decided(before) == WarmStart(before)
    assert decided(before, serves=False) == WarmStart(before)


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param({"model": factories.source("oci://other")}, id="another address"),
        pytest.param({"model": factories.source(model_format="pytorch")}, id="another format"),
        pytest.param(
            {"model": factories.source(fetch=FetchSpec(sha256="0" * 64))},
            id="another digest",
        ),
        pytest.param({"placement": HERE.with_(node_type="cpu-large")}, id="another node type"),
        pytest.param(
            {"runtime": factories.runtime(processors=(factories.runtime_processor(image="b"),))},
            id="another image",
        ),
    ],
)
def test_another_subject_is_measured_anew(changed):
    assert decided(known(), **changed).measurement is not None


def test_a_measurement_that_lost_its_operator_is_not_begun_again():
    ended = decided(known("InProgress")).status
    assert (ended.outcome, ended.reason) == ("NotMeasured", "MeasurementInterrupted")
    assert ended.time == at(0)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        pytest.param(
            {"model": factories.source(config={"max_batch_size": 0})},
            "no batch dimension",
            id="its owner says that it cannot be batched",
        ),
        pytest.param(
            {"state": SERVES.with_(batchable=False)}, "cannot be batched", id="Triton says so"
        ),
        pytest.param(
            {"applied": Batching(max_batch_size=1)}, "batches of one", id="there is one size"
        ),
        pytest.param(
            {"applied": EIGHT.with_(instances=5)}, "more than 4 instances", id="too many run"
        ),
        pytest.param(
            {"placement": HERE.with_(further_node_types=("cpu-large",))},
            "several node types",
            id="there is no one node type",
        ),
    ],
)
@pytest.mark.parametrize("has_turn", [True, False])
def test_where_there_is_nothing_to_measure_that_is_said(changed, words, has_turn):
    found = decided(**changed, has_turn=has_turn)
    assert found.measurement is None
    assert not found.waits
    assert (found.status.outcome, found.status.reason) == ("NotMeasured", "NothingToMeasure")
    assert words in found.status.message


@pytest.mark.parametrize(
    ("largest", "instances", "row_bytes", "expected"),
    [
        pytest.param(6, 1, 1, (1, 2, 4, 6), id="doubling, and the bound"),
        pytest.param(8, 1, 0, (1, 2, 4, 8), id="inputs of no bytes"),
        pytest.param(64, 1, MAX_SENT_BYTES // 5, (1, 2, 4, 5), id="no more than may be sent"),
        pytest.param(64, 2, MAX_SENT_BYTES // 5, (1, 2), id="to all instances at once"),
        pytest.param(64, 1, MAX_SENT_BYTES + 1, (), id="not even one"),
    ],
)
def test_sizes(largest, instances, row_bytes, expected):
    assert sizes(CurveMeasurement(pod(), largest, instances), row_bytes) == expected


TIMES = {1: (16, 3.0), 2: (16, 4.0), 4: (16, 6.0), 8: (16, 10.0)}


def after(finding):
    begun = InferenceModelStatus(
        placement=HERE, batching=BatchingStatus(warm_start=decided().status)
    )
    return finished(begun, TunerState(), MEASUREMENT, finding, NOW)


def test_what_was_measured_is_learned_as_if_clients_had_asked_and_kept_for_the_node_type():
    status, state = after(Finding(TIMES))
    assert state.learned.service.curve_ms(2, 8)[-1] == pytest.approx(10.0, rel=0.02)
    assert state.learned.demand == TunerState().learned.demand
    (kept,) = status.service_times
    assert (kept.node_type, kept.points[-1].batch_size) == ("cpu-small", 8)
    warm = status.batching.warm_start
    assert (warm.outcome, warm.reason) == ("Measured", "Measured")
    assert warm.message == "the service times of 4 batch sizes from 1 to 8 were measured"


def test_tuning_begins_as_with_a_profile_of_the_same_times():
    points = [{"batchSize": size, "milliseconds": ms} for size, (_, ms) in TIMES.items()]
    profile = Profile.model_validate({"curves": [{"instances": 2, "points": points}]})
    stated, measured = tuner_state(profile), after(Finding(TIMES))[1]
    for instances in (1, 2, 4):
        curve_ms = stated.learned.service.curve_ms(instances, 16)
        assert measured.learned.service.curve_ms(instances, 16) == pytest.approx(curve_ms)


def test_what_was_measured_before_it_ended_counts():
    some = {size: TIMES[size] for size in (1, 2)}
    status, state = after(Finding(some, Reason.TIME_UP, "batches of 4: 30 s were over"))
    assert state.learned.service.sizes == {1, 2}
    warm = status.batching.warm_start
    assert warm.outcome == "Measured"
    assert warm.message.endswith("larger ones were not: batches of 4: 30 s were over")


@pytest.mark.parametrize(
    ("finding", "reason", "words"),
    [
        pytest.param(
            Finding({1: (4, 3.0)}, Reason.CLIENTS_ASK, "clients sent requests"),
            "ClientsAsk",
            "clients sent requests; the model is tuned by its clients",
            id="one size is no curve",
        ),
        pytest.param(Finding(), "NothingToMeasure", "a response cache", id="nothing was run"),
    ],
)
def test_without_a_curve_the_model_is_tuned_as_without_it(finding, reason, words):
    status, state = after(finding)
    assert state == TunerState()
    assert status.service_times == ()
    warm = status.batching.warm_start
    assert (warm.outcome, warm.reason) == ("NotMeasured", reason)
    assert words in warm.message


def test_of_a_measurement_that_was_not_begun_nothing_is_told():
    status = InferenceModelStatus()
    assert finished(status, TunerState(), MEASUREMENT, Finding(TIMES), NOW) == (
        status,
        TunerState(),
    )


def test_the_subject_is_a_digest_that_the_status_can_hold():
    assert isinstance(decided().status, WarmStartStatus)
    assert len(decided().status.subject) == 16
