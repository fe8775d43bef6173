from dataclasses import replace

import pytest

from ferryman.api.conditions import Reason
from ferryman.core.tuners.guarded.context import SATURATED
from ferryman.core.tuners.needs import Replicas
from ferryman.core.tuners.state import Evaluation, Learned, Trial
from tests.factories import objectives, window
from tests.unit.core.tuners.guarded.pods import bound, knowing, limits, shown, spec, trial
from tests.unit.core.tuners.guarded.pods import case as the_case

#: The capacity of LINE at bound 8.
CAPACITY_PER_S = 8 / 0.013
EVALUATION = Evaluation(bound(8), 100.0, 100.0, 13.0, Reason.NO_BETTER, "", None)
FAILED = trial(bound(4), bound(16))


def offered(per_s, **fields):
    """Return a window with so much demand and neither full batches nor a queue."""
    return window(
        offered_inferences_per_s=per_s,
        mean_batch_size=2.0,
        arrived=((1.0, round(per_s)),),
        **fields,
    )


def queued(**fields):
    """Return a window in which batches are full and requests wait for longer than one takes."""
    values = {"mean_batch_size": 8.0, "queue_ms": 30.0, "compute_ms": 13.0, **fields}
    return window(**{"arrived": ((1.0, 100),), **values})


@pytest.mark.parametrize(
    ("seen", "saturated"),
    [
        pytest.param(offered(SATURATED * CAPACITY_PER_S * 1.01), True, id="demand near capacity"),
        pytest.param(offered(SATURATED * CAPACITY_PER_S * 0.99), False, id="demand below that"),
        pytest.param(
            offered(SATURATED * CAPACITY_PER_S * 1.01, pods=2), False, id="shared by two pods"
        ),
        pytest.param(queued(), True, id="full batches and a queue"),
        pytest.param(queued(mean_batch_size=5.0), False, id="batches are not full"),
        pytest.param(queued(queue_ms=12.0), False, id="no longer than one batch takes"),
        pytest.param(queued(mean_batch_size=None), False, id="nothing was run"),
        pytest.param(queued(queue_ms=None), False, id="nobody waited"),
    ],
)
def test_a_model_is_saturated_when_its_bound_holds_requests_back(seen, saturated):
    assert the_case(seen=seen).saturated is saturated


def test_the_queue_delay_explains_waiting():
    delayed = bound(8, max_queue_delay_microseconds=20_000)
    assert not the_case(delayed, queued()).saturated
    assert the_case(delayed, queued(compute_ms=None)).saturated


def test_on_the_twin_saturation_shows_in_what_is_seen():
    assert the_case(bound(4), shown(bound(4), 500)).saturated
    assert not the_case(bound(16), shown(bound(16), 500)).saturated


def test_the_question_says_all_that_decides():
    seen = replace(shown(bound(8), pods=2), ended_at_s=1000.0)
    given = the_case(
        bound(8),
        seen,
        wanted=objectives(70, 400),
        asked=spec("Reject", bound=(2, 24)),
        service=knowing((1, 4)),
        safe_bound=20,
        failed=((FAILED, 1000.0), (FAILED, 1000.1)),
    )
    question = given.question()
    assert question.reach.limits == limits(bound=(2, 24))
    assert question.reach.present == bound(8)
    assert question.reach.seen == {1, 4}
    assert question.reach.safe_bound == 20
    assert question.reject
    assert question.reach.failed == (FAILED,)
    assert (question.goal.target_ms, question.goal.least_per_s) == (70, 200)
    assert question.load.rate_per_s == pytest.approx(100, rel=0.1)
    assert question.curve_ms(1, 16)[15] == given.learned.service.curve_ms(1, 16)[15]


def test_to_hold_is_to_stay_with_what_is_known():
    given = the_case()
    decision = given.hold(Reason.MET, "fine", needs=Replicas(3))
    assert (decision.batching, decision.reason, decision.message) == (bound(8), Reason.MET, "fine")
    assert (decision.state, decision.needs) == (given.state, Replicas(3))
    assert decision.if_refused is None


def test_a_change_is_put_on_trial_against_the_window_before_it():
    seen = window(mean_latency_ms=17.0, inferences_per_s=321.0, arrived=((1.0, 100),))
    given = the_case(seen=seen, evaluation=EVALUATION)
    decision = given.change(bound(16), Reason.PREDICTED_TO_MEET, "better", needs=Replicas(2))
    learned = decision.state.learned
    assert learned.trial == Trial(
        bound(8), bound(16), 17.0, 321.0, given.learned.service, seen.ended_at_s
    )
    assert learned.evaluation is None
    assert decision.needs == Replicas(2)


def test_a_change_that_must_wait_leaves_what_the_window_taught():
    given = the_case(evaluation=EVALUATION)
    decision = given.change(bound(16), Reason.PREDICTED_TO_MEET, "better")
    assert decision.if_refused == given.state


def test_without_latencies_a_change_is_held_against_nothing():
    seen = window(mean_latency_ms=None, arrived=((1.0, 100),))
    assert the_case(seen=seen).change(bound(9), Reason.MET, "").state.learned.trial.mean_ms == 0


def test_knowing_more_replaces_only_that():
    given = the_case(safe_bound=9)
    other = given.knowing(trial=FAILED)
    assert other.learned == replace(given.learned, trial=FAILED)
    assert isinstance(other.learned, Learned)
    assert (other.window, other.applied) == (given.window, given.applied)


@pytest.mark.parametrize(
    ("fields", "late"),
    [
        pytest.param({"pending": 0}, False, id="nothing waits"),
        pytest.param({"pending": 22}, False, id="who comes now is in time after what waits"),
        pytest.param({"pending": 23}, True, id="who comes now is late after what waits"),
        pytest.param({"pending": 500, "mean_latency_ms": 5.0}, False, id="it has only just come"),
        pytest.param({"rejected": 10**6}, True, id="most requests are rejected"),
    ],
)
def test_whether_hardly_a_request_is_in_time(fields, late):
    applied = bound(8)
    seen = shown(applied, 600, **{"mean_latency_ms": 400.0, **fields})
    assert the_case(applied, seen).late is late
    assert the_case(applied, seen).change(bound(16), Reason.SATURATED, "").urgent is late


@pytest.mark.parametrize(("pending", "late"), [(100, False), (100_000, True)])
def test_without_a_latency_objective_a_backlog_of_more_than_a_window_is_late(pending, late):
    seen = shown(bound(8), 300, pending=pending)
    assert the_case(bound(8), seen, wanted=objectives(None, 100)).late is late


def test_the_question_holds_what_waits_only_where_hardly_anything_is_in_time():
    seen = shown(bound(8), 600, mean_latency_ms=400.0, pending=500)
    late = the_case(bound(8), seen)
    in_time_s = (50 - 13) / 1000
    assert late.question().backlog == pytest.approx(500 - CAPACITY_PER_S * in_time_s)
    assert late.question().reach.hoped >= 8
    in_time = the_case(bound(8), replace(seen, pending=5))
    assert in_time.question().backlog == in_time.question().reach.hoped == 0


def test_a_saving_that_failed_is_remembered():
    applied = bound(8, max_queue_delay_microseconds=5000)
    known = the_case(applied, shown(applied)).failing_saving()
    (failed,) = known.reach.failed
    assert (failed.before, failed.after) == (bound(8), applied)


# What a search is asked


def test_savings_are_told_by_the_demand_of_now_and_borne_by_all_that_is_remembered():
    seen = window(arrived=((1.0, 600),) * 20 + ((1.0, 100),) * 40)
    question = the_case(seen=seen).economical()
    assert question.load.rate_per_s == pytest.approx(100)
    assert question.past.rate_per_s == pytest.approx((600 * 20 + 100 * 40) / 60)


def test_after_silence_savings_are_told_by_all_that_is_remembered():
    seen = window(arrived=((1.0, 600),) * 20 + ((1.0, 0),) * 40)
    question = the_case(seen=seen).economical()
    assert question.load.rate_per_s == pytest.approx(200)


def test_what_came_last_goes_on_where_requests_wait_already():
    """Otherwise it may be a burst, and the demand of a quarter of a minute counts."""
    arrived = ((1.0, 100),) * 17 + ((1.0, 900),) * 3
    calm = the_case(seen=queued(arrived=arrived, pending=0))
    flooded = the_case(seen=queued(arrived=arrived, pending=900, mean_latency_ms=900.0))
    assert flooded.late
    assert flooded.question().lasting_per_s == flooded.learned.demand.latest_per_s > 850
    assert calm.question().lasting_per_s == pytest.approx((12 * 100 + 3 * 900) / 15)
