from dataclasses import replace
from itertools import pairwise

import pytest

from ferryman.api.conditions import Reason
from ferryman.core.tuners.guarded import economy, improvement, overload
from ferryman.core.tuners.guarded.improvement import (
    ECONOMY_INTERVAL_S,
    MAX_REPLICAS,
    MIN_HISTORY_S,
    MOST_PATIENCE,
    SAME_RATE,
    SAME_SERVICE,
    WORTH_GAINING,
    economise,
    improve,
)
from ferryman.core.tuners.guarded.prediction import Prediction
from ferryman.core.tuners.guarded.search import SearchResult
from ferryman.core.tuners.needs import ENOUGH, Replicas, Unattainable
from ferryman.core.tuners.state import Evaluation
from tests.factories import objectives, window
from tests.unit.core.tuners.guarded.pods import CONVEX, bound, knowing, shown, spec, trial
from tests.unit.core.tuners.guarded.pods import case as the_case
from tests.unit.core.tuners.guarded.pods import question as asked

#: Far more than the 865 requests/s that LINE serves with a bound of 32.
OVERLOAD = 2000
SLACK = bound(32)


def missed(applied=None, rate_per_s=600.0, **fields):
    """Return the case of a model that has served one window and missed 50 ms."""
    applied = applied or bound(4)
    return the_case(applied, shown(applied, rate_per_s), **fields)


def in_time(given):
    """Return the case without the requests that wait: then it is not looked at in every window."""
    return replace(given, window=replace(given.window, pending=0))


def met(applied=SLACK, seen=None, *, history_s=MIN_HISTORY_S, **fields):
    """Return the case of a model with slack, whose demand is known for long enough."""
    return the_case(applied, seen or shown(applied, 100), history_s=history_s, **fields)


def later(case, decision, seconds=10.0):
    """Return the case of the same window once more, with what was decided remembered."""
    seen = replace(case.window, ended_at_s=case.window.ended_at_s + seconds)
    return replace(case, window=seen, state=decision.state)


def evaluation(case, **fields):
    """Return a search as it would have been made in the case."""
    values = {
        "batching": case.applied,
        "rate_per_s": case.rate_per_s,
        "mean_per_s": case.learned.demand.rate_per_s,
        "service_ms": case.service_ms,
        "reason": Reason.NO_BETTER,
        "message": "as before",
        "needs": ENOUGH,
        "patience": 4,
        **fields,
    }
    return Evaluation(**values)


@pytest.fixture
def searches(monkeypatch):
    """Count the searches."""
    made, answer = [], economy.answer

    def counted(question, *, economical):
        made.append(economical)
        return answer(question, economical=economical)

    monkeypatch.setattr(economy, "answer", counted)
    return made


# An objective is missed


def test_an_under_batched_model_gets_a_larger_bound():
    decision = improve(missed())
    assert decision.reason == Reason.PREDICTED_TO_MEET
    assert decision.batching.max_batch_size > 8
    assert decision.needs == ENOUGH
    assert decision.state.learned.trial.after == decision.batching
    assert "predicted: p99" in decision.message


def test_without_a_latency_objective_the_message_tells_the_capacity():
    seen = window(
        inferences_per_s=440.0, offered_inferences_per_s=600.0, queue_ms=90.0, arrived=((1, 600),)
    )
    decision = improve(the_case(bound(4), seen, wanted=objectives(None, 600)))
    assert decision.reason == Reason.PREDICTED_TO_MEET
    assert decision.message.endswith("865 inferences/s per pod")


def test_beyond_any_configuration_it_takes_the_best_and_says_how_many_replicas_would_do():
    decision = improve(missed(rate_per_s=OVERLOAD))
    assert decision.reason == Reason.NEEDS_CAPACITY
    assert decision.batching.max_batch_size == 32
    assert decision.needs == Replicas(3)
    assert "3 replicas would do" in decision.message


def test_already_there_it_stays_and_says_so():
    given = missed(SLACK, OVERLOAD, service=knowing((1, 8, 16, 24, 32)))
    decision = improve(given)
    assert (decision.reason, decision.batching) == (Reason.NEEDS_CAPACITY, SLACK)
    assert decision.needs == Replicas(3)
    noted = decision.state.learned.evaluation
    assert (noted.reason, noted.needs) == (Reason.NEEDS_CAPACITY, Replicas(3))


def test_a_target_shorter_than_a_batch_of_one_is_met_by_no_number_of_replicas():
    seen = shown(bound(4), 100)
    decision = improve(the_case(bound(4), seen, wanted=objectives(5)))
    assert isinstance(decision.needs, Unattainable)
    assert "no number of replicas helps: a batch of one takes 6.0 ms" in decision.message


def test_a_demand_for_more_replicas_than_are_asked_for_is_not_called_hopeless():
    seen = shown(bound(8), 100)
    crowd = 865.0 * 2 * MAX_REPLICAS
    crowded = replace(seen, arrived=((1.0, crowd),), offered_inferences_per_s=crowd)
    decision = improve(the_case(bound(8), crowded))
    assert "no number of replicas helps" not in decision.message
    assert decision.needs == Unattainable("100 replicas would not meet them either")


def test_a_throughput_that_one_pod_cannot_reach_asks_for_more_of_them():
    seen = replace(shown(SLACK, 2500), latency_ms=20.0)
    decision = improve(the_case(SLACK, seen, wanted=objectives(None, 2000)))
    assert decision.needs == Replicas(3)


def test_a_window_that_is_bad_by_chance_changes_nothing():
    """The twin says that the present configuration meets the objective."""
    seen = replace(shown(SLACK, 100), latency_ms=90.0)
    decision = improve(the_case(SLACK, seen))
    assert (decision.reason, decision.batching) == (Reason.NO_BETTER, SLACK)


def test_the_same_answer_is_good_for_twice_as_many_windows_each_time(searches):
    given, waits = in_time(missed(SLACK, OVERLOAD, service=knowing((1, 8, 32)))), []
    for _ in range(120):
        before = len(searches)
        decision = improve(given)
        assert decision.reason == Reason.NEEDS_CAPACITY
        assert decision.needs == Replicas(3)
        waits.append(len(searches) - before)
        given = later(given, decision)
    searched = [number for number, made in enumerate(waits) if made]
    gaps = [after - before for before, after in pairwise(searched)]
    assert gaps == [2, 3, 5, 9, 17, MOST_PATIENCE + 1, MOST_PATIENCE + 1]


@pytest.mark.parametrize(
    ("fields", "again"),
    [
        pytest.param({}, False, id="nothing changed"),
        pytest.param({"rate_per_s": 600 / (1 + 2 * SAME_RATE)}, True, id="more demand"),
        pytest.param({"rate_per_s": 600 * (1 + 2 * SAME_RATE)}, True, id="less demand"),
        pytest.param({"service_ms": 9 * (1 + 2 * SAME_SERVICE)}, True, id="faster batches"),
        pytest.param({"batching": bound(5)}, True, id="another configuration"),
        pytest.param({"windows": 4}, True, id="patience is over"),
        pytest.param({"windows": 3}, False, id="patience is not over yet"),
        pytest.param({"reason": Reason.MET}, True, id="it was about device time"),
    ],
)
def test_a_search_is_repeated_when_what_it_was_about_changed(searches, fields, again):
    given = in_time(missed())
    latest = evaluation(given, **fields)
    decision = improve(given.knowing(evaluation=latest))
    assert bool(searches) is again
    assert (decision.message == "as before") is not again
    if not again:
        assert decision.state.learned.evaluation == replace(latest, windows=latest.windows + 1)


def predicted(size, attainment=0.5, capacity_per_s=400.0, *, meets=False):
    return Prediction(bound(size), 60.0, 30.0, attainment, 0.9, capacity_per_s, 1.0, meets, meets)


@pytest.mark.parametrize(
    ("best", "saturated", "worth"),
    [
        pytest.param(predicted(8, 0.5 + 1.01 * WORTH_GAINING), False, True, id="more in time"),
        pytest.param(predicted(8, 0.5 + 0.5 * WORTH_GAINING), False, False, id="hardly more"),
        pytest.param(predicted(8, 0.5, meets=True), False, True, id="it meets the objectives"),
        pytest.param(predicted(8, 0.5, 440.0), True, True, id="saturated, more capacity"),
        pytest.param(predicted(8, 0.5, 440.0), False, False, id="capacity that is not needed"),
        pytest.param(predicted(8, 0.499, 440.0), True, False, id="capacity for attainment"),
        pytest.param(predicted(8, 0.5, 404.0), True, False, id="hardly more capacity"),
        pytest.param(predicted(4, 0.9), True, False, id="the very same"),
    ],
)
def test_what_a_change_must_gain(best, saturated, worth):
    found = SearchResult(predicted(4), best)
    assert improvement._worth_changing(asked(), found, saturated=saturated) is worth


def test_the_unknown_is_entered_only_where_the_objectives_are_predicted_to_be_missed():
    """A single burst of which 98 % of the requests are late is no reason."""
    beyond = predicted(16, 0.9, meets=True)
    reaching = SearchResult(replace(predicted(4), reaches=True), beyond)
    assert not improvement._worth_changing(asked(), reaching, saturated=True)
    assert improvement._worth_changing(asked(), SearchResult(predicted(4), beyond), saturated=True)
    seen = asked(seen=frozenset({16}))
    assert improvement._worth_changing(seen, reaching, saturated=True)


def test_the_unknown_is_not_entered_for_a_backlog_that_is_soon_over():
    found = SearchResult(predicted(4), predicted(16, 0.9, 4000.0, meets=True))
    assert not improvement._worth_changing(asked(backlog=1.0), found, saturated=True)
    assert improvement._worth_changing(asked(backlog=1e6), found, saturated=True)


# All objectives are met


def test_device_time_is_saved_after_two_searches(searches):
    given = met()
    first = economise(given)
    assert (first.reason, first.batching) == (Reason.MET, SLACK)
    assert first.state.learned.evaluation.reason == Reason.CHEAPER
    second = economise(later(given, first))
    assert second.reason == Reason.CHEAPER
    assert second.batching.max_queue_delay_microseconds > 0
    assert "less device time: p99" in second.message
    learned = second.state.learned
    assert learned.economised_s == (given.window.ended_at_s + 10,)
    assert learned.trial.after == second.batching
    assert searches == [True, True]


def test_when_the_second_search_finds_nothing_worthwhile_nothing_is_changed():
    given = met(wanted=objectives(12))
    noted = given.knowing(evaluation=evaluation(given, reason=Reason.CHEAPER))
    decision = economise(noted)
    assert (decision.reason, decision.batching) == (Reason.MET, SLACK)
    assert decision.state.learned.evaluation.reason == Reason.MET


def test_a_change_that_hardly_saves_is_not_made():
    tuned = economise(later(met(), economise(met()))).batching
    given = met(tuned)
    decision = economise(given)
    assert (decision.reason, decision.batching) == (Reason.MET, tuned)
    assert decision.state.learned.evaluation.reason == Reason.MET
    found = economy.answer(given.question(), economical=True)
    assert found.saves < economy.WORTH_SAVING


def test_while_nothing_changed_the_search_is_not_repeated(searches):
    given = met()
    latest = evaluation(given, reason=Reason.MET)
    decision = economise(given.knowing(evaluation=latest))
    assert not searches
    assert (decision.reason, decision.message) == (Reason.MET, given.verdict.message)
    assert decision.state.learned.evaluation.windows == 1


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({"history_s": MIN_HISTORY_S - 15}, id="demand is not known for long"),
        pytest.param({"trial": trial(bound(4), SLACK)}, id="a change is being verified"),
        pytest.param({"economised_s": (10.0 - ECONOMY_INTERVAL_S + 1,)}, id="it was done lately"),
    ],
)
def test_device_time_is_not_saved_while(searches, fields):
    given = met(**fields)
    assert economise(given) == given.hold(Reason.MET, given.verdict.message)
    assert not searches


def test_device_time_is_saved_again_after_a_while(searches):
    economise(met(economised_s=(10.0 - ECONOMY_INTERVAL_S,)))
    assert searches == [True]


@pytest.mark.parametrize(
    ("allowed", "searched"),
    [
        pytest.param(4, False, id="two an hour where few reloads are allowed"),
        pytest.param(6, True, id="half of the reloads where more are"),
    ],
)
def test_savings_leave_half_of_the_reloads_for_what_is_missed(searches, allowed, searched):
    guardrails = spec().guardrails.with_(max_reloads_per_hour=allowed)
    earlier = (10.0 - 3 * ECONOMY_INTERVAL_S, 10.0 - 2 * ECONOMY_INTERVAL_S)
    economise(met(asked=spec().with_(guardrails=guardrails), economised_s=earlier))
    assert bool(searches) is searched


def test_an_objective_that_only_just_holds_is_not_put_at_risk_for_device_time():
    """The window met it; the twin says that nothing does so with a margin."""
    seen = replace(shown(SLACK, 850), latency_ms=49.0)
    given = met(seen=seen)
    decision = economise(given)
    assert (decision.reason, decision.batching) == (Reason.MET, SLACK)


@pytest.mark.parametrize("history_s", [0, MIN_HISTORY_S])
def test_a_shortage_outlives_a_few_good_windows_but_no_more_than_its_search(history_s, searches):
    """Demand around the capacity is met in one window and missed in the next."""
    given = met(history_s=history_s)
    short = evaluation(given, reason=Reason.NEEDS_CAPACITY, needs=Replicas(3), patience=2)
    given, asked_for = given.knowing(evaluation=short), []
    for _ in range(3):
        decision = economise(given)
        assert (decision.reason, decision.message) == (Reason.MET, given.verdict.message)
        asked_for.append(decision.needs)
        given = later(given, decision)
    assert asked_for == [Replicas(3), Replicas(3), ENOUGH]
    assert bool(searches) is bool(history_s)


def test_a_shortage_that_was_about_another_demand_is_not_reported():
    given = met()
    other = evaluation(given, needs=Replicas(3), rate_per_s=given.rate_per_s * (1 + 2 * SAME_RATE))
    assert economise(given.knowing(evaluation=other)).needs == ENOUGH


# The queue policy


def test_a_queue_policy_that_is_asked_for_is_installed():
    decision = economise(met(asked=spec("Reject")))
    assert (decision.reason, decision.message) == (Reason.QUEUE_POLICY, "onOverload is Reject")
    assert decision.batching.default_timeout_microseconds > 0
    assert decision.batching.max_queue_size > 0


def test_a_queue_policy_waits_until_a_change_is_verified():
    given = met(asked=spec("Reject"), trial=trial(bound(4), SLACK))
    assert economise(given) == given.hold(Reason.MET, given.verdict.message)


def test_a_queue_policy_that_is_not_asked_for_is_removed():
    policed = bound(8, default_timeout_microseconds=20_000, max_queue_size=50)
    decision = economise(met(policed))
    assert (decision.reason, decision.batching) == (Reason.QUEUE_POLICY, bound(8))


@pytest.mark.parametrize(
    ("asks", "timeout_us", "stated_us"),
    [
        pytest.param("Queue", 20_000, 20_000, id="a timeout that is not asked for"),
        pytest.param("Reject", 0, 0, id="no timeout, where one is asked for"),
    ],
)
def test_a_queue_policy_that_the_owner_stated_stays_and_device_time_is_saved_beside_it(
    asks, timeout_us, stated_us
):
    def in_effect(batching):
        return batching.with_(default_timeout_microseconds=stated_us).canonical()

    policed = bound(32, default_timeout_microseconds=timeout_us)
    given = replace(met(policed, asked=spec(asks)), in_effect=in_effect)
    second = later(given, economise(given))
    decision = economise(second)
    assert decision.reason == Reason.CHEAPER
    assert decision.batching.default_timeout_microseconds == stated_us
    assert decision.batching.max_queue_delay_microseconds > 0


def test_what_is_as_it_is_asked_for_is_left_alone():
    policed = bound(8, default_timeout_microseconds=20_000, max_queue_size=50)
    seen = shown(bound(8), 100)
    assert economise(met(policed, seen, history_s=0, asked=spec("Reject"))).batching == policed


def test_without_a_shape_no_timeout_can_be_chosen():
    given = met(asked=spec("Reject"), service=knowing((4,)), history_s=0)
    assert economise(given).reason == Reason.MET


def test_without_a_latency_objective_nothing_can_be_rejected_for_being_late():
    given = met(asked=spec("Reject"), wanted=objectives(None, 50), history_s=0)
    decision = economise(given)
    assert (decision.reason, decision.batching) == (Reason.MET, SLACK)


def test_the_policy_comes_with_what_saves_device_time():
    seen = shown(SLACK, 100, shape=CONVEX)
    given = met(SLACK, seen, asked=spec("Reject"), service=knowing((1, 4, 8, 16, 32), CONVEX))
    decision = economise(given)
    assert decision.batching == economy.answer(given.question(), economical=True).best.batching
    assert overload.without_policy(decision.batching) != decision.batching


def test_a_missed_objective_takes_a_queue_delay_back_first_and_remembers_it():
    waiting = bound(8, max_queue_delay_microseconds=15_000)
    seen = shown(waiting, 100, latency_ms=60.0)
    decision = improve(the_case(waiting, seen))
    assert (decision.batching, decision.reason) == (bound(8), Reason.LATENCY_ABOVE_TARGET)
    assert "no longer waited for" in decision.message
    ((failed, _),) = decision.state.learned.failed
    assert failed.after == waiting


def test_where_hardly_anything_is_in_time_the_bound_matters_more_than_the_delay():
    waiting = bound(4, max_queue_delay_microseconds=15_000)
    decision = improve(the_case(waiting, shown(waiting, 900)))
    assert decision.batching.max_batch_size > 4
    assert decision.urgent


def test_where_the_bound_holds_requests_back_it_is_not_the_delay_that_they_wait_for():
    waiting = bound(4, max_queue_delay_microseconds=2_000)
    given = in_time(missed(waiting))
    assert given.saturated
    decision = improve(given)
    assert decision.batching.max_batch_size > 4
    assert decision.batching.max_queue_delay_microseconds == 0


def test_what_a_tenth_of_the_requests_would_gain_by_does_not_wait():
    given = in_time(missed())
    assert not given.late
    decision = improve(given)
    assert decision.urgent
    silent = replace(given.window, arrived=((10.0, 0),))
    assert not improve(replace(given, window=silent)).urgent


def test_a_queue_policy_waits_until_device_time_may_be_saved_by_the_same_change():
    given = met(asked=spec("Reject"), history_s=MIN_HISTORY_S / 2)
    decision = economise(given)
    assert (decision.batching, decision.reason) == (SLACK, Reason.MET)
