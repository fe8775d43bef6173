import pytest

from ferryman.api.conditions import Reason
from ferryman.core.observation.objectives import judge, queue_stands
from tests.factories import objectives, window


@pytest.mark.parametrize(
    ("latency_ms", "met", "latency", "reason"),
    [
        pytest.param(40.0, True, -1, Reason.MET, id="below the target: met"),
        pytest.param(50.0, True, 0, Reason.MET, id="exactly at the target: met"),
        pytest.param(50.1, False, 1, Reason.LATENCY_ABOVE_TARGET, id="above the target: missed"),
    ],
)
def test_latency(latency_ms, met, latency, reason):
    verdict = judge(objectives(50), window(latency_ms=latency_ms))
    assert (verdict.met, verdict.latency, verdict.throughput_met) == (met, latency, None)
    assert verdict.reason == reason
    assert verdict.message == f"p99 {latency_ms:.1f} ms, target 50 ms"


def test_an_estimated_percentile_is_called_estimated():
    verdict = judge(objectives(50, percentile=95), window(latency_estimated=True))
    assert verdict.message == "p95 40.0 ms (estimated), target 50 ms"


@pytest.mark.parametrize(
    ("served", "offered", "queue_ms", "met", "reason"),
    [
        pytest.param(200.0, 200.0, 2.0, True, Reason.MET, id="as many as demanded: met"),
        pytest.param(
            150.0, 250.0, 2.0, False, Reason.THROUGHPUT_BELOW_TARGET, id="more is offered: missed"
        ),
        pytest.param(
            150.0, 200.0, 2.0, False, Reason.THROUGHPUT_BELOW_TARGET, id="just enough is offered"
        ),
        pytest.param(
            150.0,
            150.0,
            90.0,
            False,
            Reason.THROUGHPUT_BELOW_TARGET,
            id="clients wait for answers before they ask again: a standing queue gives it away",
        ),
        pytest.param(
            150.0, 150.0, 2.0, True, Reason.MET, id="clients ask for less and nothing queues: met"
        ),
    ],
)
def test_throughput(served, offered, queue_ms, met, reason):
    seen = window(inferences_per_s=served, offered_inferences_per_s=offered, queue_ms=queue_ms)
    verdict = judge(objectives(None, 200), seen)
    assert (verdict.met, verdict.throughput_met, verdict.latency) == (met, met, None)
    assert verdict.reason == reason


def test_demand_below_the_objective_is_said():
    verdict = judge(
        objectives(None, 200), window(inferences_per_s=99.0, offered_inferences_per_s=100.0)
    )
    assert verdict.message == (
        "99.0 inferences/s, at least 200 wanted, but clients ask for only 100.0 and nothing queues"
    )


def test_both_are_named_and_latency_is_the_reason_when_both_are_missed():
    seen = window(latency_ms=80.0, inferences_per_s=100.0, offered_inferences_per_s=300.0)
    verdict = judge(objectives(50, 200), seen)
    assert verdict.reason == Reason.LATENCY_ABOVE_TARGET
    assert verdict.message == "p99 80.0 ms, target 50 ms; 100.0 inferences/s, at least 200 wanted"
    assert (verdict.met, verdict.latency, verdict.throughput_met) == (False, 1, False)


def test_throughput_is_the_reason_when_only_it_is_missed():
    seen = window(inferences_per_s=100.0, offered_inferences_per_s=300.0)
    verdict = judge(objectives(50, 200), seen)
    assert (verdict.met, verdict.latency) == (False, -1)
    assert verdict.reason == Reason.THROUGHPUT_BELOW_TARGET


@pytest.mark.parametrize(
    ("failures", "message"),
    [
        pytest.param(0, "no requests in 10 s", id="nobody asked"),
        pytest.param(7, "all 7 requests failed in 10 s", id="every request failed"),
        pytest.param(
            -7, "all 7 requests failed or were rejected in 10 s", id="nobody told them apart"
        ),
    ],
)
def test_a_window_without_success_says_nothing(failures, message):
    told = {"failures": abs(failures), "rejected": None if failures < 0 else 0}
    verdict = judge(objectives(50, 200), window(requests=0, latency_ms=None, **told))
    assert (verdict.met, verdict.latency, verdict.throughput_met) == (None, None, None)
    assert (verdict.reason, verdict.message) == (Reason.NO_TRAFFIC, message)


WAITED = tuple((1.0, 100) for _ in range(10))


@pytest.mark.parametrize(
    ("wanted", "fields", "met", "reason"),
    [
        pytest.param(
            objectives(50),
            {"pending_before": 40, "arrived": WAITED},
            False,
            Reason.LATENCY_ABOVE_TARGET,
            id="those that waited from the beginning have missed the target",
        ),
        pytest.param(
            objectives(10_000),
            {"pending_before": 40, "arrived": WAITED},
            None,
            Reason.OBSERVING,
            id="not if the target is as long as the window",
        ),
        pytest.param(
            objectives(50),
            {"pending_before": 0, "arrived": WAITED},
            None,
            Reason.OBSERVING,
            id="not if they came in the meantime",
        ),
        pytest.param(
            objectives(50),
            {"pending_before": 40, "arrived": WAITED[1:]},
            None,
            Reason.OBSERVING,
            id="not if the counters began anew: some may have been answered",
        ),
        pytest.param(
            objectives(None, 5),
            {"pending_before": 40, "arrived": WAITED},
            False,
            Reason.THROUGHPUT_BELOW_TARGET,
            id="without a latency objective throughput is missed",
        ),
    ],
)
def test_requests_that_wait_are_no_lack_of_traffic(wanted, fields, met, reason):
    seen = window(requests=0, inferences=0, latency_ms=None, pending=90, **fields)
    verdict = judge(wanted, seen)
    assert (verdict.met, verdict.reason) == (met, reason)
    assert "was answered in 10 s" in verdict.message
    assert "wait" in verdict.message


@pytest.mark.parametrize(
    ("queue_ms", "delay_ms", "stands"),
    [
        pytest.param(9.0, 0.0, False, id="shorter than one batch: the one before is computed"),
        pytest.param(11.0, 0.0, True, id="longer than one batch"),
        pytest.param(11.0, 5.0, False, id="the configured delay explains the rest"),
        pytest.param(None, 0.0, False, id="nothing known of a queue"),
    ],
)
def test_queue_stands(queue_ms, delay_ms, stands):
    assert queue_stands(window(queue_ms=queue_ms, compute_ms=10.0), delay_ms) is stands


def test_the_configured_delay_reaches_the_verdict():
    seen = window(inferences_per_s=150.0, offered_inferences_per_s=150.0, queue_ms=19.0)
    assert judge(objectives(None, 200), seen).met is False
    assert judge(objectives(None, 200), seen, queue_delay_ms=10.0).met is True


@pytest.mark.parametrize(
    ("wanted", "latency", "throughput_met", "reason"),
    [
        pytest.param(
            objectives(1000), 1, None, Reason.LATENCY_ABOVE_TARGET, id="latency is missed"
        ),
        pytest.param(
            objectives(1000, 5), 1, False, Reason.LATENCY_ABOVE_TARGET, id="both are missed"
        ),
        pytest.param(
            objectives(None, 5), None, False, Reason.THROUGHPUT_BELOW_TARGET, id="throughput is"
        ),
    ],
)
def test_where_nothing_is_answered_although_requests_wait(wanted, latency, throughput_met, reason):
    """A batch that takes longer than the window."""
    verdict = judge(wanted, window(seconds=5.0, requests=0, pending_before=30, pending=90))
    assert (verdict.met, verdict.latency, verdict.throughput_met) == (
        False,
        latency,
        throughput_met,
    )
    assert verdict.reason == reason
    assert verdict.message == "nothing was answered in 5 s while 90 requests wait"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param(0, 90, id="they came just now"),
        pytest.param(30, 0, id="none waits"),
        pytest.param(None, None, id="nobody knows"),
    ],
)
def test_nothing_is_missed_where(before, after):
    seen = window(seconds=5.0, requests=0, pending_before=before, pending=after)
    assert judge(objectives(1000), seen).met is None
    long = objectives(6000)
    assert judge(long, window(seconds=5.0, requests=0, pending_before=3, pending=9)).met is None


def test_what_the_response_cache_answers_counts_towards_throughput():
    seen = window(requests=1000, inferences=200, cached=900, inferences_per_s=20.0)
    verdict = judge(objectives(None, 200), seen)
    assert verdict.met, "900 requests of two inferences in 10 s, and those that were executed"
    assert verdict.message == "200.0 inferences/s, at least 200 wanted"


def test_a_window_that_the_cache_answered_alone_says_so():
    none = {"inferences": 0, "inferences_per_s": 0.0, "offered_inferences_per_s": 0.0}
    seen = window(requests=7, cached=7, latency_ms=None, **none)
    verdict = judge(objectives(50), seen)
    assert (verdict.met, verdict.latency) == (True, None)
    assert verdict.message == "all 7 requests were answered by the response cache"
    assert judge(objectives(None, 1), seen).throughput_met is True
