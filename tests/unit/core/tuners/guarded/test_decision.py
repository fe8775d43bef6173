from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ferryman.api.batching import BatchingLimits, InstanceLimits, MaxBatchSizeLimits
from ferryman.api.conditions import Reason
from ferryman.core.observation.objectives import MIN_REQUESTS
from ferryman.core.tuners.guarded import decision as guarded
from ferryman.core.tuners.guarded.decision import MAX_MISFIT, decide
from ferryman.core.tuners.guarded.verification import MEMORY_S, WINDOWS
from ferryman.core.tuners.learned.demand import Demand
from ferryman.core.tuners.learned.service_time import Parabola, ServiceTimes
from ferryman.core.tuners.needs import Replicas
from ferryman.core.tuners.state import Learned, TunerState
from tests.factories import objectives, window
from tests.unit.core.tuners.guarded.pods import (
    CONVEX,
    LATENCY,
    LINE,
    Knee,
    Play,
    bound,
    case,
    knowing,
    shown,
    spec,
    trial,
)

#: No parabola goes through these, and they are too few to be believed without one.
ERRATIC = ServiceTimes().with_window(
    1, {1: (5, 10.0), 2: (5, 2.0), 3: (5, 30.0), 4: (5, 1.0), 8: (5, 25.0)}
)
#: Requests that wait far longer than the twin says.
WAITING = {"mean_latency_ms": 60.0, "queue_ms": 50.0}


def tuned(applied, seen, wanted=LATENCY, *, asked=None, trajectory=(), **learned):
    """Decide after a window of a model of which LINE is known."""
    known = Learned(**{"service": knowing(), **learned})
    return decide(asked or spec(), wanted, applied, seen, TunerState(trajectory, learned=known))


def slow(applied=None, rate_per_s=100.0, **fields):
    """Return a window that is calm, but for a percentile above the target."""
    return replace(shown(applied or bound(8), rate_per_s), latency_ms=90.0, **fields)


def bounds(steps):
    return [step.decision.batching.max_batch_size for step in steps]


# Windows that say little


def test_nothing_is_changed_while_nobody_asks_but_what_is_known_is_kept():
    decision = tuned(bound(8), window(requests=0, arrived=((1.0, 0),)))
    assert (decision.reason, decision.batching) == (Reason.NO_TRAFFIC, bound(8))
    assert decision.state.learned.service.sizes >= {1, 2, 4, 8}


def test_few_requests_are_learned_from_but_not_judged_by():
    seen = window(requests=MIN_REQUESTS - 1, latency_ms=90.0, service_times={3: (3, 8.0)})
    decision = tuned(bound(8), seen)
    assert (decision.reason, decision.batching) == (Reason.OBSERVING, bound(8))
    assert decision.message == "only 9 requests in the window, 10 needed to judge"
    assert 3 in decision.state.learned.service.sizes


def test_enough_requests_are_judged():
    assert (
        tuned(bound(8), slow(requests=MIN_REQUESTS, inferences=MIN_REQUESTS)).reason
        == Reason.NO_BETTER
    )


@pytest.mark.parametrize(
    "seen",
    [
        pytest.param(window(service_times={}, latency_ms=90.0), id="missed"),
        pytest.param(window(service_times={}, seconds=61.0), id="met"),
    ],
)
def test_requests_that_ran_in_no_batch_that_was_counted_are_no_reason_to_fail(seen):
    """All of them may be answered by Triton's response cache, which executes nothing."""
    decision = decide(spec(), LATENCY, bound(8), seen, TunerState())
    assert (decision.reason, decision.batching) == (Reason.LEARNING, bound(8))
    assert decision.message.startswith("no batch was executed that Triton counted; p99 ")


@pytest.mark.parametrize(
    "learned",
    [
        pytest.param(Learned(), id="with nothing known"),
        pytest.param(Learned(service=knowing(), missed_at_s=90.0), id="after a miss"),
    ],
)
def test_a_window_in_which_only_a_backlog_was_served_is_no_reason_to_fail(learned):
    """Clients have left, or are turned away by a full queue, which Triton does not count."""
    seen = window(latency_ms=900.0, arrived=((1.0, 0),) * 10)
    decision = decide(spec(), LATENCY, bound(8), seen, TunerState(learned=learned))
    assert (decision.reason, decision.batching) == (Reason.LEARNING, bound(8))


# How a window is judged


def test_a_window_is_judged_by_the_percentile_that_can_be_believed():
    seen = slow(latency_estimated=True)
    assert tuned(bound(8), seen).reason == Reason.MET


def test_when_an_objective_was_missed_is_remembered():
    seen = slow()
    assert tuned(bound(8), seen).state.learned.missed_at_s == seen.ended_at_s
    met = tuned(bound(8), shown(bound(8)), missed_at_s=3.0)
    assert met.state.learned.missed_at_s == 3.0


def test_a_copy_that_was_replaced_spoils_percentiles_like_a_miss():
    """Triton's summary holds what it answers late as well; nothing else shows it."""
    seen = replace(shown(bound(8)), left_behind=10)
    assert tuned(bound(8), seen).state.learned.missed_at_s == seen.ended_at_s


def test_who_is_rejected_counts_as_late():
    policed = bound(8, default_timeout_microseconds=30_000, max_queue_size=50)
    seen = replace(shown(bound(8)), requests=950, rejected=50)
    decision = tuned(policed, seen, asked=spec("Reject"))
    assert decision.message.startswith("50 of 1000 requests were rejected; p99")
    assert decision.state.learned.missed_at_s == seen.ended_at_s


# Too large a batch


def test_requests_that_begin_to_fail_come_before_everything_else():
    """Also when none is left that could be judged."""
    seen = window(requests=0, failures=900, service_times={}, arrived=((1.0, 900),))
    decision = decide(spec(), LATENCY, bound(32), seen, TunerState())
    assert (decision.reason, decision.batching) == (Reason.BATCH_TOO_LARGE, bound(16))
    assert decision.state.learned.safe_bound == 16


def test_a_safe_bound_that_did_not_help_is_lifted():
    seen = replace(shown(bound(8)), failures=50)
    decision = tuned(bound(8), seen, safe_bound=8, suspected=0.05, failing=0.05)
    learned = decision.state.learned
    assert (learned.safe_bound, learned.suspected) == (None, None)


# The trial of a change


def on_trial(seen, *, known=None, since_s=0.0, bad=0, good=0, **learned):
    tried = trial(
        bound(4),
        bound(8),
        mean_ms=5.0,
        service=knowing() if known is None else known,
        begun_at_s=seen.ended_at_s - since_s,
        bad=bad,
        good=good,
    )
    return tuned(bound(8), seen, trial=tried, **learned)


def test_a_change_that_did_worse_than_predicted_twice_is_taken_back():
    seen = slow(**WAITING)
    first = on_trial(seen)
    assert first.state.learned.trial.bad == 1
    second = on_trial(seen, bad=WINDOWS - 1)
    assert (second.reason, second.batching) == (Reason.ROLLED_BACK, bound(4))
    assert second.message.startswith(
        "batch 8, delay 0 µs, 1 instance did worse than predicted: p99 90.0 ms"
    )
    ((failed, until_s),) = second.state.learned.failed
    assert (failed.after, until_s) == (bound(8), seen.ended_at_s + MEMORY_S)
    assert second.state.learned.trial is None


def test_a_rollback_that_must_wait_is_asked_for_again():
    refused = on_trial(slow(**WAITING), bad=WINDOWS - 1).if_refused
    again = decide(spec(), LATENCY, bound(8), slow(**WAITING), refused)
    assert again.reason == Reason.ROLLED_BACK


def test_a_trial_is_over_when_a_better_change_need_not_wait_and_two_windows_were_good():
    waits_s = spec().guardrails.min_seconds_between_reloads
    seen = shown(bound(8))
    assert on_trial(seen, since_s=waits_s).state.learned.trial.good == 1
    assert on_trial(seen, since_s=waits_s - 1, good=WINDOWS).state.learned.trial is not None
    assert on_trial(seen, since_s=waits_s, good=WINDOWS - 1).state.learned.trial is None


def test_a_change_is_held_against_what_was_predicted_of_it_not_against_what_is_known_since():
    """Known since: batches of 8 take so long that waiting is no wonder."""
    seen = slow(**WAITING)
    decision = on_trial(seen, service=knowing(shape=Knee(4, 20.0)))
    # It would change again, were it not for the reload interval.
    assert decision.if_refused.learned.trial.bad == 1


def test_what_is_known_to_be_no_better_is_not_gone_back_to():
    """From beyond a knee at 5 to one size beyond it: both are hopeless, 5 is not."""
    seen = shown(bound(6), 400, shape=Knee(5, 40.0))
    tried = trial(bound(32), bound(6), mean_ms=5.0, bad=WINDOWS - 1, service=knowing())
    known = knowing((1, 2, 3, 4, 5, 6, 32), Knee(5, 40.0))
    decision = tuned(bound(6), seen, trial=tried, service=known)
    assert (decision.reason, decision.batching) == (Reason.ROLLED_BACK, bound(5))
    assert decision.message.endswith(
        "batch 5, delay 0 µs, 1 instance is predicted to do far better than "
        "batch 32, delay 0 µs, 1 instance did"
    )


def test_few_requests_do_not_count_for_or_against_a_change():
    seen = replace(slow(), requests=MIN_REQUESTS - 1)
    assert on_trial(seen, bad=1).state.learned.trial.bad == 1


def test_what_is_known_of_no_batch_cannot_be_held_against_a_change():
    decision = on_trial(replace(shown(bound(8)), arrived=((1.0, 0),)))
    assert decision.state.learned.trial.good == 0


def test_batches_of_a_new_size_that_take_far_longer_are_taken_back_at_once():
    seen = slow(service_times={7: (50, 80.0), 4: (50, 9.0)})
    assert on_trial(seen, known=knowing((1, 2, 4))).reason == Reason.ROLLED_BACK


def test_a_change_that_somebody_else_undid_is_not_judged():
    decision = tuned(bound(8), slow(**WAITING), trial=trial(bound(4), bound(16), bad=1))
    assert decision.reason != Reason.ROLLED_BACK


# Without a model that can be believed


def test_when_the_curve_does_not_fit_the_trend_decides():
    assert ERRATIC.misfit(1) > MAX_MISFIT
    seen = slow(service_times={})
    first = tuned(bound(8), seen, service=ERRATIC)
    assert (first.reason, first.batching) == (Reason.COLLECTING, bound(8))
    assert first.state.trajectory == (8, 6)
    last = tuned(bound(8), seen, service=ERRATIC, trajectory=(8, 6))
    assert (last.reason, last.batching) == (Reason.TREND_DECREASE, bound(6))
    assert last.state.trajectory == (6,)
    assert last.state.learned.trial.after == bound(6)
    assert last.if_refused.trajectory == (8, 6)


def test_without_a_model_the_queue_delay_goes_before_the_bound():
    waiting = bound(8).with_(max_queue_delay_microseconds=60_000)
    decision = tuned(waiting, slow(service_times={}), service=ERRATIC, trajectory=(8, 6))
    assert (decision.reason, decision.batching) == (Reason.LATENCY_ABOVE_TARGET, bound(8))
    assert decision.message == "batches are no longer waited for: p99 90.0 ms, target 50 ms"
    assert decision.state.learned.trial.before == waiting


def test_but_a_saturated_model_never_gets_a_smaller_bound():
    seen = slow(service_times={}, queue_ms=80.0, mean_batch_size=8.0)
    decision = tuned(bound(8), seen, service=ERRATIC, trajectory=(8, 6))
    assert (decision.reason, decision.batching) == (Reason.SATURATED, bound(32))
    assert decision.message == "batches are full and requests queue: p99 90.0 ms, target 50 ms"


def test_a_saturated_model_of_which_one_size_was_seen_grows_at_once():
    seen = slow(bound(4), queue_ms=80.0, mean_batch_size=4.0, service_times={4: (50, 9.0)})
    decision = tuned(bound(4), seen, service=knowing((4,)))
    assert (decision.reason, decision.batching) == (Reason.SATURATED, bound(16))


def test_at_the_largest_bound_it_stays():
    seen = slow(bound(4), queue_ms=80.0, mean_batch_size=4.0, service_times={4: (50, 9.0)})
    decision = tuned(bound(4), seen, service=knowing((4,)), safe_bound=4)
    assert (decision.reason, decision.batching) == (Reason.SATURATED, bound(4))
    assert decision.message.startswith("saturated at the largest bound that may be tried, 4; p99")


def test_one_size_is_enough_where_nothing_is_saturated():
    """Then a prediction is made as if every request cost the same, which promises nothing."""
    seen = slow(bound(4), 20.0, service_times={1: (200, 6.0)})
    decision = tuned(bound(4), seen, service=knowing((1,)))
    assert decision.reason == Reason.NO_BETTER


def led_beyond_the_safe_bound():
    """Return what is decided when the trend leads from 8 to 10, and 8 is safe."""
    seen = replace(shown(bound(8)), service_times={}, inferences_per_s=100.0, latency_ms=20.0)
    seen = replace(seen, offered_inferences_per_s=300.0)
    known = {"service": ERRATIC, "trajectory": (8, 10), "safe_bound": 8}
    return tuned(bound(8), seen, objectives(50, 200), **known)


def test_the_trend_does_not_lead_beyond_the_safe_bound():
    decision = led_beyond_the_safe_bound()
    assert decision.batching == bound(8)
    assert decision.state.learned.trial is None


def test_nor_does_it_say_so():
    decision = led_beyond_the_safe_bound()
    assert decision.reason == Reason.AT_LIMIT
    assert "8 to 10" not in decision.message


# Played on the twin


def test_an_under_batched_model_is_put_right_after_one_window():
    steps = Play(spec(), start=bound(4)).on(500, windows=8)
    assert steps[0].decision.reason == Reason.PREDICTED_TO_MEET
    assert bounds(steps)[0] > 6
    assert [step.decision.reason for step in steps[2:]] == [Reason.MET] * 6


def test_a_model_that_is_well_is_left_alone():
    steps = Play(spec(delay_us=(0, 0)), start=bound(16)).on(500, windows=20)
    assert {step.decision.batching for step in steps} == {bound(16)}


def test_slack_is_used_as_far_as_is_known_then_further_and_then_it_stays():
    """Larger batches are run a little at a time; the bound, and with it the capacity, is kept."""
    steps = Play(spec(), start=bound(32)).on(100, windows=40)
    pairs = pairwise(step.applied.max_queue_delay_microseconds for step in steps)
    changes = [(before, after) for before, after in pairs if before != after]
    assert changes == [(0, 16_000), (16_000, 20_000)]
    assert set(bounds(steps)) == {32}
    assert steps[-1].decision.reason == Reason.MET


def test_overload_is_said_in_the_first_window_and_nothing_flaps():
    steps = Play(spec(), start=bound(32)).on(1500, windows=10)
    assert {step.decision.reason for step in steps} == {Reason.NEEDS_CAPACITY}
    assert all(step.decision.needs.count >= 2 for step in steps)
    assert set(bounds(steps)) == {32}


def test_a_jump_of_the_service_time_is_noticed_and_the_curve_follows():
    play = Play(spec(), start=bound(16))
    play.on(300, windows=4)
    slower = Play(spec(), start=bound(16), shape=Parabola(10.0, 2.0, 0.0), state=play.state)
    slower.on(300, windows=4)
    assert slower.state.learned.service.curve_ms(1, 4)[3] == pytest.approx(18, rel=0.05)


def test_a_cold_start_into_overload_with_reject_is_survived():
    """After the reload the old backlog is drained; who comes finds the queue full, uncounted."""
    steps = Play(spec("Reject"), start=bound(4)).on([1200] * 4 + [300] * 4)
    assert steps[-1].decision.reason == Reason.MET


scenes = st.builds(
    lambda play, rates, seed: (play, play.on(rates, seed=seed)),
    st.builds(
        Play,
        st.builds(
            spec,
            bound=st.tuples(st.integers(1, 3), st.integers(6, 24)),
            delay_us=st.tuples(st.just(0), st.integers(0, 20_000)),
        ),
        st.builds(bound, st.integers(3, 6)),
        st.sampled_from([LATENCY, objectives(25), objectives(100, 300)]),
        st.sampled_from([LINE, CONVEX]),
    ),
    st.lists(st.sampled_from([50, 300, 700, 1200]), min_size=5, max_size=5),
    st.integers(0, 99),
)


@settings(deadline=None, max_examples=8, derandomize=True)
@given(scenes)
def test_whatever_comes_a_decision_stays_within_the_limits_and_has_words(scene):
    play, steps = scene
    limits = play.spec.limits
    for step in steps:
        after = step.decision.batching
        sizes, delays = limits.max_batch_size, limits.max_queue_delay_microseconds
        assert sizes.min <= after.max_batch_size <= sizes.max
        assert delays.min <= after.max_queue_delay_microseconds <= delays.max
        assert after.instances == 1
        assert after.canonical() == after
        assert step.decision.message


@settings(deadline=None, max_examples=6, derandomize=True)
@given(st.integers(5, 14), st.lists(st.sampled_from([450, 600, 900]), min_size=7, max_size=7))
def test_what_was_taken_back_is_not_tried_again_while_it_is_remembered(beyond, rates):
    steps = Play(spec(), start=bound(4), shape=Knee(beyond)).on(rates)
    for before, step in pairwise(steps):
        failed = {trial.after for trial, _ in before.decision.state.learned.failed}
        changed = step.decision.batching != step.applied
        assert not (changed and step.decision.batching in failed)


def test_a_knee_is_left_after_one_window_and_not_entered_again():
    steps = Play(spec(), start=bound(4), shape=Knee(10)).on(600, windows=8)
    drained = [step for step in steps if step.decision.reason != Reason.OBSERVING]
    reasons = [step.decision.reason for step in drained]
    assert reasons[:2] == [Reason.PREDICTED_TO_MEET, Reason.ROLLED_BACK]
    assert all(step.applied.max_batch_size <= 10 for step in steps[2:])


@settings(deadline=None, max_examples=60, derandomize=True)
@given(
    st.sampled_from([(4,), (1,)]),
    st.integers(1, 16),
    st.integers(1, 200),
    st.one_of(st.none(), st.integers(1, 16)),
    st.booleans(),
)
def test_a_saturated_model_without_a_shape_never_gets_a_smaller_bound(
    sizes, size, queue_ms, safe, erratic
):
    seen = window(
        latency_ms=90.0,
        mean_batch_size=float(size),
        queue_ms=10.0 + queue_ms,
        compute_ms=9.0,
        service_times={},
        arrived=((1.0, 100),),
    )
    known = {"service": ERRATIC if erratic else knowing(sizes), "safe_bound": safe}
    decision = tuned(bound(size), seen, trajectory=(size, 1), **known)
    assert decision.batching.max_batch_size >= size


@settings(deadline=None, max_examples=4, derandomize=True)
@given(scenes)
def test_the_same_windows_always_give_the_same_decisions(scene):
    play, steps = scene
    state = TunerState()
    for step in steps:
        again = decide(play.spec, play.wanted, step.applied, step.window, state)
        assert again == step.decision
        state = again.state


def test_while_what_waited_is_served_in_batches_as_before_nothing_is_decided():
    seen = slow(bound(4), service_times={64: (10, 100.0)}, pending=1_000)
    decision = tuned(bound(4), seen, trial=trial(bound(64), bound(4)))
    assert decision.reason == Reason.OBSERVING
    assert decision.message.startswith("what waited is still served as before")


def test_a_trial_is_not_judged_by_a_window_whose_arrivals_nobody_told():
    seen = shown(bound(16), 100, arrived=((5.0, 0),))
    tried = trial(bound(4), bound(16))
    given = case(bound(16), seen, demand=Demand(((5.0, 500.0),)), trial=tried)
    assert guarded._verified(given) == (given, False)


def test_a_saturated_model_that_is_served_one_by_one_is_told_how_many_replicas_it_needs():
    """There is no larger batch to learn from, and no need of one."""
    seen = replace(
        shown(bound(1), 45.0),
        latency_ms=9_000.0,
        queue_ms=2_000.0,
        mean_batch_size=1.0,
        service_times={1: (150, 30.0)},
    )
    limits = BatchingLimits(
        max_batch_size=MaxBatchSizeLimits(min=1, max=1), instances=InstanceLimits(min=1, max=1)
    )
    one_by_one = spec().with_(limits=limits)
    decision = tuned(bound(1), seen, asked=one_by_one, service=ServiceTimes())
    assert isinstance(decision.needs, Replicas)
    assert decision.needs.count > 1


def test_few_that_were_late_tell_where_many_wait():
    """Four a second are answered, and two hundred asked for: windows never hold ten answers."""
    seen = slow(requests=MIN_REQUESTS - 1, inferences=MIN_REQUESTS - 1)
    assert tuned(bound(8), replace(seen, pending=MIN_REQUESTS - 1)).reason == Reason.OBSERVING
    assert tuned(bound(8), replace(seen, pending=400)).reason != Reason.OBSERVING
