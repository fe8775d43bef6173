from dataclasses import replace
from math import inf

import pytest

from ferryman.api.conditions import Reason
from ferryman.core.observation.objectives import MIN_REQUESTS
from ferryman.core.observation.window import QUANTILE_MEMORY_S
from ferryman.core.tuners.guarded import judgement
from ferryman.core.tuners.guarded.prediction import Prediction
from ferryman.core.tuners.learned.service_time import ServiceTimes
from ferryman.core.tuners.state import Learned
from tests.factories import objectives, window
from tests.unit.core.tuners.guarded.pods import LATENCY, bound, knowing, shown, trial

TRIAL = trial(bound(4), bound(8))
#: It misses the target by Triton's percentile, though the twin says that it cannot.
EXCURSION = replace(shown(bound(8)), latency_ms=90.0, ended_at_s=500.0)


def judged(seen, wanted=LATENCY, applied=None, **known):
    """Judge a window of a model of which LINE is known."""
    learned, applied = Learned(**{"service": knowing(), **known}), applied or bound(8)
    return judgement.judged(learned, wanted, applied, seen)


def told_ms(verdict):
    """Return the percentile that a verdict tells."""
    return float(verdict.message.split()[1])


# Which percentile is believed


def test_tritons_percentile_is_believed_when_it_describes_the_window():
    assert judged(EXCURSION).reason == Reason.LATENCY_ABOVE_TARGET
    assert judged(shown(bound(8))).reason == Reason.MET


def test_also_while_a_change_is_on_trial():
    assert told_ms(judged(EXCURSION, trial=TRIAL)) == 90


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({"latency_estimated": True}, id="it is an estimate"),
        pytest.param({"ended_at_s": 500.0 + QUANTILE_MEMORY_S - 1}, id="it remembers an excursion"),
    ],
)
def test_otherwise_the_twin_estimates_it_better(fields):
    verdict = judged(replace(EXCURSION, **fields), missed_at_s=500.0)
    assert verdict.met
    assert told_ms(verdict) == pytest.approx(shown(bound(8)).latency_ms, rel=0.15)


def test_after_a_minute_tritons_percentile_is_believed_again():
    seen = replace(EXCURSION, ended_at_s=500.0 + QUANTILE_MEMORY_S)
    assert told_ms(judged(seen, missed_at_s=500.0)) == 90


def test_the_twins_estimate_is_corrected_by_how_far_off_its_mean_is():
    seen = shown(bound(8), latency_estimated=True)
    slower = replace(seen, mean_latency_ms=3 * seen.mean_latency_ms)
    # What does not wait or compute counts as overhead, which the twin predicts as well.
    told, corrected = (told_ms(judged(each)) for each in (seen, slower))
    assert corrected == pytest.approx(3 * told, rel=0.3)


@pytest.mark.parametrize(
    ("known", "fields"),
    [
        pytest.param({"service": ServiceTimes()}, {}, id="no batch was ever counted"),
        pytest.param({}, {"requests": MIN_REQUESTS - 1}, id="there were few requests"),
        pytest.param({}, {"arrived": ((1.0, 0),)}, id="nobody came"),
    ],
)
def test_where_the_twin_cannot_tell_the_estimate_from_the_mean_stands(known, fields):
    seen = replace(EXCURSION, latency_estimated=True, **fields)
    assert judged(seen, **known).message.startswith("p99 90.0 ms (estimated)")


def test_a_prediction_that_nothing_is_answered_says_nothing_of_what_was(monkeypatch):
    lost = Prediction(bound(8), inf, inf, 0.0, 0.0, 0.0, 0.0, meets=False, reaches=False)
    monkeypatch.setattr(judgement.learning, "expected", lambda *_: lost)
    seen = replace(EXCURSION, latency_estimated=True)
    assert judged(seen).message.startswith("p99 90.0 ms (estimated)")


def test_the_queue_delay_is_no_queue():
    """Waits of 20 ms are intended, so that it is the clients who ask for less."""
    seen = window(queue_ms=20.0, compute_ms=6.0, offered_inferences_per_s=100.0)
    delayed = bound(8, max_queue_delay_microseconds=20_000)
    wanted = objectives(None, 200)
    assert judged(seen, wanted, delayed).met
    assert judged(seen, wanted).met is False


# Rejected requests


@pytest.mark.parametrize(
    ("percentile", "rejected", "met"),
    [
        pytest.param(99, 10, True, id="one in a hundred"),
        pytest.param(99, 11, False, id="more than one in a hundred"),
        pytest.param(95, 50, True, id="one in twenty"),
        pytest.param(95, 51, False, id="more than one in twenty"),
    ],
)
def test_who_is_rejected_counts_as_late(percentile, rejected, met):
    seen = replace(shown(bound(8)), requests=1000 - rejected, rejected=rejected)
    verdict = judged(seen, objectives(50, percentile=percentile))
    assert verdict.met is met
    if not met:
        assert verdict.reason == Reason.REJECTING
        text = f"{rejected} of 1000 requests were rejected; p{percentile} "
        assert verdict.message.startswith(text)


def test_without_a_latency_objective_anybody_may_be_rejected():
    seen = replace(shown(bound(8)), rejected=50)
    assert judged(seen, objectives(None, 50)).reason == Reason.MET


def test_a_window_that_is_missed_anyway_says_what_it_missed_first():
    verdict = judged(replace(EXCURSION, rejected=500))
    assert (verdict.met, verdict.reason) == (False, Reason.LATENCY_ABOVE_TARGET)


def test_where_everybody_was_rejected_nothing_can_be_judged():
    verdict = judged(window(requests=0, rejected=100, latency_ms=None))
    assert (verdict.met, verdict.reason) == (None, Reason.NO_TRAFFIC)


def test_failures_that_may_be_rejections_count_as_late():
    applied = bound(8, default_timeout_microseconds=20_000)
    seen = replace(shown(applied), failures=200, rejected=None)
    verdict = judged(seen, applied=applied)
    assert (verdict.met, verdict.reason) == (False, Reason.REJECTING)
    assert f"200 of {seen.requests + 200} requests failed or were rejected" in verdict.message
