"""What is reported of a window: quantised, and unchanged while nothing but noise changes."""

import pytest

from ferryman.api.batching import Batching
from ferryman.api.conditions import Condition, Reason
from ferryman.api.inference_model_status import BatchingStatus, InferenceModelStatus, ObservedStatus
from ferryman.core.status.observed import observe
from tests import factories
from tests.factories import at

SEEN = ObservedStatus(
    latency_milliseconds=40.0,
    mean_latency_milliseconds=12.0,
    inferences_per_second=100.0,
    mean_batch_size=4.0,
    rejected_requests=0,
)


def model(observed=SEEN, met="True", **fields):
    conditions = ()
    if met is not None:
        condition = Condition(
            type="ObjectivesMet", status=met, reason="X", message="", last_transition_time=at()
        )
        conditions = (condition,)
    status = InferenceModelStatus(observed=observed, conditions=conditions, **fields)
    return factories.model(status=status)


def test_without_a_window_the_last_one_stays():
    found = observe(model(), None)
    assert (found.status, found.verdict, found.steady) == (SEEN, None, True)


def test_figures_are_rounded_to_three_digits():
    found = observe(
        model(observed=None),
        factories.window(latency_ms=41.2345, inferences_per_s=123.456, mean_batch_size=None),
    )
    assert found.status == SEEN.with_(
        latency_milliseconds=41.2, inferences_per_second=123.0, mean_batch_size=None
    )
    assert not found.steady


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({}, id="the very same"),
        pytest.param({"latency_ms": 43.9}, id="latency within a tenth"),
        pytest.param({"inferences_per_s": 91.0}, id="throughput within a tenth"),
        pytest.param(
            {"requests": 25, "inferences_per_s": 130.0}, id="within the noise of 25 requests"
        ),
        pytest.param({"requests": 5, "latency_ms": 70.0}, id="too few requests to judge"),
    ],
)
def test_noise_changes_nothing(fields):
    found = observe(model(), factories.window(**fields))
    assert (found.status, found.steady) == (SEEN, True)


@pytest.mark.parametrize(
    ("fields", "met"),
    [
        pytest.param({"latency_ms": 44.5}, "True", id="latency by more than a tenth"),
        pytest.param({"mean_latency_ms": 20.0}, "True", id="mean latency"),
        pytest.param({"inferences_per_s": 80.0}, "True", id="throughput"),
        pytest.param({"mean_batch_size": 8.0}, "True", id="the batches"),
        pytest.param({"mean_batch_size": None}, "True", id="figures that are missing now"),
        pytest.param({"failures": 1}, "True", id="failures"),
        pytest.param({"latency_estimated": True}, "True", id="an estimate instead of a measure"),
        pytest.param({}, "False", id="the verdict"),
        pytest.param({}, None, id="the first verdict"),
    ],
)
def test_news_are_reported(fields, met):
    found = observe(model(met=met), factories.window(**fields))
    assert not found.steady
    assert found.verdict is not None
    assert found.verdict.reason == Reason.MET


def test_missing_figures_that_were_missing_before_are_no_news():
    before = SEEN.with_(mean_batch_size=None)
    assert observe(model(before), factories.window(mean_batch_size=None)).steady


def test_an_idle_model_keeps_its_last_window_with_traffic():
    idle = factories.window(requests=0, inferences=0, inferences_per_s=0.0, latency_ms=None)
    found = observe(model(), idle)
    assert (found.status, found.steady) == (SEEN, True)
    assert found.verdict is not None
    assert found.verdict.reason == Reason.NO_TRAFFIC


def test_a_window_in_which_all_failed_is_reported():
    failed = factories.window(requests=0, failures=7, inferences_per_s=0.0, latency_ms=None)
    found = observe(model(), failed)
    assert found.status is not None
    assert found.status.failed_requests == 7


def test_a_queue_within_the_configured_delay_is_no_queue():
    waits = factories.window(queue_ms=15.0, compute_ms=10.0, latency_ms=40.0)
    batching = BatchingStatus(applied=Batching(max_batch_size=8, max_queue_delay_microseconds=9000))
    wanting = model(batching=batching)
    objectives = factories.objectives(throughput=500)
    wanting = wanting.with_(spec=wanting.spec.with_(objectives=objectives))
    found = observe(wanting, waits)
    assert found.verdict is not None
    assert found.verdict.met is True


@pytest.mark.parametrize(
    ("before", "now", "reported"),
    [
        pytest.param(0, 12, 12, id="the first rejections"),
        pytest.param(1000, 1090, 1000, id="about as many: noise"),
        pytest.param(1000, 1234, 1230, id="more, in three digits"),
        pytest.param(12, 0, 0, id="none any more"),
    ],
)
def test_rejected_requests(before, now, reported):
    found = observe(model(SEEN.with_(rejected_requests=before)), factories.window(rejected=now))
    assert found.status is not None
    assert found.status.rejected_requests == reported
    assert found.steady is (reported == before)


@pytest.mark.parametrize(
    ("before", "now", "reported"),
    [
        pytest.param(0, 1, 1, id="the first failure"),
        pytest.param(4, 10, 4, id="few, within the noise of a count"),
        pytest.param(4, 11, 11, id="few, beyond it"),
        pytest.param(2000, 2199, 2000, id="many, within a tenth"),
        pytest.param(2000, 2201, 2201, id="many, by more than a tenth"),
        pytest.param(1, 0, 0, id="none any more"),
    ],
)
def test_failed_requests(before, now, reported):
    found = observe(model(SEEN.with_(failed_requests=before)), factories.window(failures=now))
    assert found.status is not None
    assert found.status.failed_requests == reported
    assert found.steady is (reported == before)


@pytest.mark.parametrize("kind", ["failures", "rejected"])
def test_an_hour_of_a_steady_trickle_is_reported_once(kind):
    observed, reports = SEEN, 0
    for count in (9, 4, 14, 7, 12, 17) * 120:
        found = observe(model(observed), factories.window(**{kind: count}))
        reports += found.status != observed
        observed = found.status
    assert reports == 1


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param(None, None, id="nothing was ever observed"),
        pytest.param(SEEN, SEEN, id="nothing was rejected"),
        pytest.param(SEEN.with_(rejected_requests=5), SEEN, id="nothing is rejected any more"),
    ],
)
def test_a_window_without_traffic_rejects_nothing(before, after):
    idle = factories.window(requests=0, inferences=0, inferences_per_s=0.0, latency_ms=None)
    assert observe(model(before), idle).status == after


def test_rejections_that_triton_does_not_tell_apart_are_absent_and_never_0():
    unknown = factories.window(failures=7, rejected=None)
    found = observe(model(), unknown)
    assert (found.status.failed_requests, found.status.rejected_requests) == (7, None)
    assert "rejectedRequests" not in found.status.as_dict()
    assert observe(model(found.status), unknown).steady, "the same again is no news"
    idle = factories.window(requests=0, inferences=0, inferences_per_s=0.0, latency_ms=None)
    assert observe(model(found.status), idle).status == found.status


def test_a_window_in_which_all_were_rejected_is_reported():
    full = factories.window(requests=0, rejected=7, inferences_per_s=0.0, latency_ms=None)
    found = observe(model(), full)
    assert found.status is not None
    assert found.status.rejected_requests == 7
    assert found.verdict is not None
    assert found.verdict.message == "all 7 requests were rejected in 10 s"
