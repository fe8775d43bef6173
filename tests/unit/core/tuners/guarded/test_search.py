from dataclasses import replace
from itertools import pairwise, product
from math import inf

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from ferryman.core.tuners.guarded import economy, overload, search
from ferryman.core.tuners.guarded.economy import (
    DELAY_FACTOR,
    FIRST_DELAY_US,
    WORTH_SAVING,
    answer,
    delays_us,
)
from ferryman.core.tuners.guarded.prediction import MARGIN, Prediction
from ferryman.core.tuners.guarded.search import (
    EQUAL_ATTAINMENT,
    MAX_PREFERRED,
    STAIR,
    SearchResult,
    best_effort,
    replicas_needed,
    safest,
    stairs,
)
from ferryman.core.tuners.learned.service_time import Parabola
from ferryman.core.tuners.needs import least_count
from tests.unit.core.tuners.guarded.pods import (
    CONVEX,
    LARGEST,
    LINE,
    bound,
    curve,
    goal,
    limits,
    load,
    reaching,
    trial,
)
from tests.unit.core.tuners.guarded.pods import question as asked

FEW = settings(deadline=None, max_examples=10, derandomize=True)
shapes = st.builds(
    Parabola, t0=st.floats(0.5, 10), a=st.floats(0.05, 2), g=st.sampled_from([0.0, 0.02, 0.1])
)


@st.composite
def questions(draw, **fields):
    """Return questions with small limits, from a fifth of the capacity to beyond it."""
    shape, most = draw(shapes), draw(st.integers(2, 16))
    full = max(size / shape_ms for size, shape_ms in enumerate(curve(shape)(1, most), 1)) * 1e3
    values = {
        "limits": limits(bound=(1, most), instances=(1, draw(st.integers(1, 2)))),
        "curve_ms": curve(shape),
        "load": load(draw(st.floats(0.2, 1.2)) * full, 300, seed=draw(st.integers(0, 99))),
        "goal": goal(draw(st.floats(15, 120)), percentile=draw(st.sampled_from([90, 99]))),
        "seen": frozenset({1, most}),
        "present": bound(draw(st.integers(1, most))),
    }
    return asked(**{**values, **fields})


def grid(question):
    """Return the predictions of all bounds and instances without delay: brute force."""
    bounds, instances = question.reach.limits.max_batch_size, question.reach.limits.instances
    return [
        question.predict(bound(size, instances=count))
        for size, count in product(
            range(bounds.min, bounds.max + 1), range(instances.min, instances.max + 1)
        )
    ]


def within(batching, given):
    return (
        given.max_batch_size.min <= batching.max_batch_size <= given.max_batch_size.max
        and given.max_queue_delay_microseconds.min
        <= batching.max_queue_delay_microseconds
        <= given.max_queue_delay_microseconds.max
        and given.instances.min <= batching.instances <= given.instances.max
        and batching.canonical() == batching
    )


def predicted(batching, attainment=1.0, capacity_per_s=100.0, *, busy=0.5, meets=True):
    return Prediction(batching, 10.0, 8.0, attainment, busy, capacity_per_s, 1.0, meets, meets)


def test_limits_that_were_raised_after_a_failure_leave_the_least_bound_to_try():
    """A failure at 4 to 8 is remembered when somebody sets limits.maxBatchSize.min to 16."""
    question = asked(
        limits=limits(bound=(16, 32)), present=bound(16), failed=(trial(bound(4), bound(8)),)
    )
    assert answer(question, economical=False).best.batching.max_batch_size == 16


@FEW
@given(questions())
def test_the_search_comes_near_to_the_best_of_all_bounds_and_instances(question):
    best = answer(question, economical=False).best
    assert best.attainment >= max(each.attainment for each in grid(question)) - 0.1


@FEW
@given(questions())
def test_with_room_for_two_full_batches_the_search_meets_what_any_bound_can_meet(question):
    most = question.reach.limits.max_batch_size.max
    assume(2 * question.curve_ms(1, most)[-1] <= MARGIN * question.goal.target_ms)
    able = any(each.meets for each in grid(question))
    assert answer(question, economical=False).best.meets == able


@FEW
@given(questions(), st.booleans(), st.booleans())
def test_a_search_stays_within_the_limits_and_always_answers_the_same(question, economical, reject):
    question = replace(question, reject=reject)
    found = answer(question, economical=economical)
    assert within(found.best.batching, question.reach.limits)
    assert found == answer(question, economical=economical)


@FEW
@given(questions())
def test_what_is_chosen_is_worth_no_less_than_what_is_applied(question):
    found = answer(question, economical=False)
    assert found.best.meets or not found.present.meets
    assert found.best.meets or found.best.attainment >= (
        found.present.attainment - EQUAL_ATTAINMENT
    )


@FEW
@given(questions(), st.integers(1, 12))
def test_the_safe_bound_is_never_exceeded(question, safe):
    safe_one = reaching(question, safe_bound=safe, present=bound(min(safe, 2)))
    for economical in (False, True):
        assert answer(safe_one, economical=economical).best.batching.max_batch_size <= safe


def test_an_under_batched_model_gets_a_bound_that_carries_the_load():
    found = answer(asked(load=load(600), present=bound(4)), economical=False)
    assert not found.present.meets
    assert found.best.meets
    assert found.best.batching.max_batch_size > 8


def test_a_convex_curve_is_not_climbed_beyond_its_peak():
    """Batches of 9 are the most efficient; a bound of 32 would serve half as much."""
    question = asked(curve_ms=curve(CONVEX), load=load(700), seen=frozenset({32}))
    assert safest(question, 1).batching.max_batch_size in range(6, 12)


def test_where_no_batch_leaves_room_for_the_target_the_others_are_still_tried():
    question = asked(goal=goal(8.0), load=load(50))
    assert safest(question, 1).attainment > 0.3


def test_more_instances_are_taken_only_if_fewer_do_not_meet_the_objectives():
    few = answer(asked(limits=limits(instances=(1, 4))), economical=False)
    assert few.best.batching.instances == 1
    many = answer(
        asked(limits=limits(bound=(1, 4), instances=(1, 4)), present=bound(4), load=load(600)),
        economical=False,
    )
    assert many.best.meets
    assert many.best.batching.instances == 2


def test_while_none_meets_the_present_stays_unless_something_is_gained():
    """At ten times the capacity hardly any request is in time, whatever the bound."""
    question = asked(load=load(8000), present=bound(32), seen=frozenset({32}))
    found = answer(question, economical=False)
    assert not found.best.meets
    assert found.best == found.present


@pytest.mark.parametrize(
    ("best", "stays"),
    [
        pytest.param(predicted(bound(8), 0.5, 105, meets=False), True, id="hardly more capacity"),
        pytest.param(predicted(bound(8), 0.5, 120, meets=False), False, id="more capacity"),
        pytest.param(predicted(bound(8), 0.6, 50, meets=False), False, id="more in time"),
        pytest.param(predicted(bound(8), 0.5, 50), False, id="the objectives are met"),
    ],
)
def test_the_present_stays_where_nothing_is_gained(best, stays):
    present = predicted(bound(4), 0.5, 100, meets=False)
    assert search._prefer_present(asked(), present, best) == (present if stays else best)


def test_while_none_meets_much_more_capacity_is_worth_taking():
    question = asked(load=load(20_000, 3000), present=bound(1), goal=goal(6.5))
    found = answer(question, economical=False)
    assert found.best.capacity_per_s > found.present.capacity_per_s
    assert found.best.batching.max_batch_size > 1


@pytest.mark.parametrize(
    ("least", "most", "tried"),
    [
        pytest.param(1, 1, [1], id="one"),
        pytest.param(2, 4, [2, 3, 4], id="all of few"),
        pytest.param(1, 12, [1, 2, 3, 4, 8, 12], id="by doubling, and the most"),
        pytest.param(1, 64, [1, 2, 3, 4, 8, 16, 32, 64], id="as many as there may be"),
        pytest.param(6, 64, [6, 8, 16, 32, 64], id="not fewer than the least"),
        pytest.param(12, 16, [12, 16], id="neither when the least is beyond eight"),
    ],
)
def test_numbers_of_instances_that_are_tried(least, most, tried):
    assert search._instances(least, most) == tried


def test_of_equals_the_one_with_the_most_capacity_wins_and_then_the_one_with_fewer_instances():
    small = predicted(bound(4), 0.99, 400)
    large = predicted(bound(8), 0.99 - EQUAL_ATTAINMENT / 2, 600)
    twice = predicted(bound(4, instances=2), 0.99, 600)
    worse = predicted(bound(32), 0.98, 900)
    assert best_effort(asked(), [small, large, twice, worse]) == large


# What failed before


def test_what_failed_is_left_out():
    question = asked(load=load(600), present=bound(4))
    first = answer(question, economical=False).best.batching
    again = reaching(question, failed=(trial(bound(4), first),))
    second = answer(again, economical=False).best.batching
    assert second.max_batch_size < first.max_batch_size


def test_unless_nothing_else_is_left():
    only = asked(limits=limits(bound=(4, 4)), present=bound(4), failed=(trial(bound(4), bound(4)),))
    assert safest(only, 1).batching == bound(4)


def test_a_delay_that_failed_is_left_out():
    question = asked(limits=limits(bound=(32, 32)), present=bound(32))
    first = answer(question, economical=True).best.batching
    assert first.max_queue_delay_microseconds > 0
    again = reaching(question, failed=(trial(bound(32), first),))
    second = answer(again, economical=True).best.batching
    assert second.max_queue_delay_microseconds < first.max_queue_delay_microseconds


@FEW
@given(questions(), st.booleans())
def test_a_batching_that_failed_is_not_chosen_again_while_another_is_left(question, economical):
    assume(question.reach.limits.max_batch_size.max > 3)
    found = answer(question, economical=economical)
    assume(found.best.batching != question.reach.present)
    failed = trial(question.reach.present, found.best.batching)
    again = answer(reaching(question, failed=(failed,)), economical=economical)
    assert again.best.batching != failed.after


# Economy


@FEW
@given(questions())
def test_the_economical_answer_meets_as_the_safest_does_and_is_never_dearer(question):
    safe, cheap = (answer(question, economical=wish).best for wish in (False, True))
    assert cheap.meets == safe.meets
    if safe.meets:
        assert cheap.busy <= safe.busy


def test_with_slack_a_delay_fills_batches_and_saves_device_time():
    found = answer(asked(present=bound(32)), economical=True)
    assert found.best.meets
    assert found.best.batching.max_queue_delay_microseconds > 0
    assert found.saves > 0.3


def test_without_slack_nothing_is_saved():
    found = answer(asked(load=load(800), present=bound(32), goal=goal(60.0)), economical=True)
    assert found.saves < 0.05


def test_stairs_are_filled_where_that_saves_device_time():
    """Tiles of 8: a batch of 9 takes as long as one of 16."""

    def tiles(_instances, most):
        return tuple(10.0 * (1 + (size - 1) // 8) for size in range(1, most + 1))

    question = asked(
        curve_ms=tiles,
        load=load(500, 2000),
        present=bound(32),
        goal=goal(200.0),
        limits=limits(bound=(32, 32)),
    )
    best = answer(question, economical=True).best
    assert best.batching.preferred_batch_size == (8, 16, 24)
    plain = question.predict(best.batching.with_(preferred_batch_size=()))
    assert best.meets
    assert best.busy < 0.95 * plain.busy


def test_an_answer_saves_the_share_of_device_time_that_it_spares():
    before, after = predicted(bound(4), busy=0.8), predicted(bound(8), busy=0.6)
    assert SearchResult(before, after).saves == pytest.approx(0.25)
    assert SearchResult(predicted(bound(4), busy=0.0), after).saves == 0


@settings(deadline=None)
@given(st.floats(1, 2000), st.floats(1, 1e4), st.integers(0, 5000), st.integers(0, 30_000))
def test_delays_ascend_within_the_limits_and_the_target(target_ms, rate_per_s, least_us, more_us):
    question = asked(
        goal=goal(target_ms),
        load=load(rate_per_s, 50),
        limits=limits(delay_us=(least_us, least_us + more_us)),
    )
    delays = delays_us(question)
    assert all(least_us <= delay_us <= least_us + more_us for delay_us in delays)
    assert all(delay_us <= MARGIN * target_ms * 1e3 + 0.5 for delay_us in delays)
    # Truncated to whole microseconds; the last step, to the longest, may be a smaller one.
    *steps, last = [later / earlier for earlier, later in pairwise(delays)] or [DELAY_FACTOR]
    assert all(ratio == pytest.approx(DELAY_FACTOR, rel=0.003) for ratio in steps)
    assert 1 <= last <= DELAY_FACTOR * 1.003


def test_no_delay_is_worth_waiting_in_which_nobody_comes():
    assert delays_us(asked(load=load(5, 50))) == ()
    assert delays_us(asked(load=load(5000, 50)))[0] == FIRST_DELAY_US


def test_the_longest_delay_that_is_allowed_is_tried():
    assert delays_us(asked())[-1] == 20_000
    assert delays_us(asked(goal=goal(11.11)))[-1] == int(MARGIN * 11_110)


def test_stairs_are_the_sizes_after_which_requests_become_dearer():
    assert stairs([10.0] * 4 + [20.0] * 4) == (4,)
    assert stairs(curve(LINE)(1, LARGEST)) == ()
    assert stairs([5.0]) == ()


@settings(deadline=None)
@given(st.lists(st.floats(1, 50), min_size=1, max_size=40))
def test_stairs_are_the_steepest_ones_ascending_and_within_the_bound(curve_ms):
    found = stairs(curve_ms)
    rises = {
        size: (after / (size + 1)) / (before / size)
        for size, (before, after) in enumerate(pairwise(curve_ms), 1)
    }
    assert list(found) == sorted(set(found))
    assert len(found) == min(MAX_PREFERRED, sum(rise >= STAIR for rise in rises.values()))
    left = [rise for size, rise in rises.items() if size not in found]
    assert all(
        rises[size] >= max([STAIR, *(each for each in left if each >= STAIR)]) * (1 - 1e-9)
        for size in found
    )


# Overload


def test_with_reject_every_bound_comes_with_a_queue_policy():
    question = asked(load=load(2000), reject=True)
    found = answer(question, economical=False)
    assert found.best.batching.default_timeout_microseconds > 0
    assert found.best.batching.max_queue_size > 0
    assert found.best.batching == overload.with_policy(
        overload.without_policy(found.best.batching), question.curve_ms, question.goal
    )
    assert found.best.attainment > found.present.attainment + 0.2


def test_with_reject_and_slack_a_delay_is_found_that_rejects_nobody():
    found = answer(asked(reject=True), economical=True)
    assert found.best.meets
    assert found.best.batching.max_queue_delay_microseconds > 0


# Replicas


@settings(deadline=None)
@given(st.integers(1, 90), st.integers(1, 200), st.integers(0, 60))
def test_the_least_number_that_suffices_is_found_as_by_counting(first, least, room):
    most = first + room
    counted = next((n for n in range(first, most + 1) if n >= least), None)
    assert least_count(lambda count: count >= least, first, most) == counted


def test_so_many_replicas_are_needed_as_counting_up_finds():
    question = asked(load=load(3000, 3000), goal=goal(60.0), limits=limits(bound=(1, 32)))
    shares = (replace(question, load=question.load.share(1 / count)) for count in range(2, 10))
    counted = next(count for count, share in enumerate(shares, 2) if safest(share, 1).meets)
    assert replicas_needed(question, 1, 100) == counted
    assert counted >= 4


def test_what_waits_now_is_not_what_replicas_are_needed_for():
    """It is worked off once; the demand goes on. Nothing is gained by batches of this model."""
    calm = asked(
        curve_ms=lambda _instances, most: tuple(0.1 + 100.0 * size for size in range(1, most + 1)),
        limits=limits(bound=(1, 64)),
        present=bound(64),
        seen=frozenset({32, 64}),
        load=load(100, 6000),
        goal=goal(600.0),
        lasting_per_s=100.0,
        latest_per_s=100.0,
    )
    needed = {
        replicas_needed(replace(calm, backlog=waiting), 1, 100)
        for waiting in (0.0, 272.0, 1208.0, 4016.0)
    }
    assert len(needed) == 1
    assert needed <= {14, 15, 16}, "100 a second, of which one replica serves 10"


def test_where_every_size_is_as_efficient_the_smallest_is_looked_at():
    """Whatever the last digits of a fitted curve say: the others only wait longer."""
    for noise in (1e-12, -1e-12):
        straight = tuple(5.0 * size * (1 + noise * size) for size in range(1, 65))
        question = asked(
            curve_ms=lambda _instances, most, times=straight: times[:most],
            limits=limits(bound=(1, 32)),
            load=load(150),
        )
        assert 1 in {each.max_batch_size for each in search._bounds(question, 1)}


def test_pods_that_are_there_already_count():
    """Two pods at 1,500 requests/s each need as many in all as one at 3,000."""
    one = replicas_needed(asked(load=load(3000, 4000), goal=goal(60.0)), 1, 100)
    two = replicas_needed(asked(load=load(1500, 2000), goal=goal(60.0)), 2, 100)
    assert abs(one - two) <= 1


def test_more_instances_in_each_pod_spare_replicas():
    crowd = load(3000, 3000)
    few = replicas_needed(asked(load=crowd, goal=goal(60.0)), 1, 100)
    many = replicas_needed(
        asked(load=crowd, goal=goal(60.0), limits=limits(instances=(1, 4))), 1, 100
    )
    assert many < few


def test_a_target_shorter_than_a_batch_of_one_cannot_be_met_by_any_number():
    assert replicas_needed(asked(goal=goal(5.5), load=load(100)), 1, 100) is None


def test_replicas_share_a_throughput_objective():
    """865 inferences/s at the most from one pod: 3 pods serve 2,000, with a margin of 10 %."""
    question = asked(load=load(850), goal=goal(inf, least_per_s=2000.0))
    assert replicas_needed(question, 1, 100) == 3


def test_pods_that_are_there_already_share_a_throughput_objective_too():
    """Two pods of which each is asked for 1,000."""
    question = asked(load=load(850), goal=goal(inf, least_per_s=1000.0))
    assert replicas_needed(question, 2, 100) == 3


@pytest.mark.parametrize("pods", [2, 3])
def test_where_there_are_as_many_pods_as_may_be_no_more_are_counted(pods):
    assert replicas_needed(asked(load=load(3000, 3000), goal=goal(60.0)), pods, 2) is None


# Into the unknown


@pytest.mark.parametrize(
    ("rate_per_s", "latest_per_s", "chosen"),
    [
        pytest.param(100, 0, 8, id="what is known has ample capacity"),
        pytest.param(400, 0, 16, id="a step beyond has"),
        pytest.param(590, 0, 32, id="only the largest has"),
        pytest.param(5000, 0, 32, id="none has: the most there is"),
        pytest.param(100, 500, 16, id="the latest seconds may be a new level"),
    ],
)
def test_beyond_what_is_known_no_further_than_to_ample_capacity(rate_per_s, latest_per_s, chosen):
    question = asked(load=load(rate_per_s), latest_per_s=latest_per_s)
    equals = [predicted(bound(size), 1.0, rate) for size, rate in ((8, 400), (16, 700), (32, 900))]
    assert best_effort(question, equals).batching == bound(chosen)


def test_a_throughput_objective_is_ample_with_its_margin():
    question = asked(load=load(100), goal=goal(least_per_s=600.0))
    equals = [predicted(bound(size), 1.0, rate) for size, rate in ((8, 400), (16, 700), (32, 900))]
    assert best_effort(question, equals).batching == bound(16)


def test_up_to_what_is_known_the_most_capacity_wins():
    """A burst that has not come yet may need it, and nothing is a guess."""
    question = asked(load=load(10), present=bound(32))
    equals = [predicted(bound(size), 1.0, rate) for size, rate in ((8, 400), (16, 700), (32, 900))]
    assert best_effort(question, equals).batching == bound(32)


# A backlog


def test_a_backlog_stands_until_the_spare_capacity_has_worked_it_off():
    waiting = asked(present=bound(8), backlog=600.0, lasting_per_s=400.0)
    stays = predicted(bound(8), capacity_per_s=600.0)
    assert waiting.stands_s(stays) == pytest.approx(3.0)
    assert waiting.stands_s(predicted(bound(8), capacity_per_s=400.0)) == inf
    assert asked().stands_s(stays) == 0


def test_a_change_takes_its_time_before_it_works_anything_off():
    waiting = asked(present=bound(8), backlog=600.0, lasting_per_s=400.0)
    larger = predicted(bound(32), capacity_per_s=800.0)
    assert waiting.stands_s(larger) == pytest.approx(search.CHANGE_S + 600 / 400)
    assert waiting.stands_s(predicted(bound(32), capacity_per_s=400.0)) == inf


def test_of_two_bounds_that_are_enough_the_one_that_is_soon_in_time_again_is_chosen():
    waiting = asked(
        load=load(600),
        present=bound(8),
        backlog=5000.0,
        lasting_per_s=600.0,
        latest_per_s=600.0,
        seen=frozenset({1, 2, 4, 8, 16, 32}),
        goal=goal(200.0),
    )
    assert answer(waiting, economical=False).best.batching.max_batch_size == 32


# Safe exploration


def test_what_is_feared_forbids_what_is_expected_to_be_cheapest():
    question = asked(present=bound(32), load=load(300, 2000))
    expected = answer(question, economical=True).best
    afraid = replace(question, feared_ms=lambda _, most: (1000.0,) * most)
    assert expected.busy < question.predict(bound(32)).busy
    assert answer(afraid, economical=True).best == question.predict(bound(32))


@FEW
@given(questions(), st.booleans(), st.booleans())
def test_whatever_is_chosen_is_what_would_come_into_force(question, economical, reject):
    """An owner's preferred sizes, queue policy and warm-up have their say before the prediction."""

    def in_effect(batching):
        stated = {"preferred_batch_size": (2,), "max_queue_size": 9}
        return batching.with_(**stated, default_timeout_microseconds=700_000).canonical()

    question = replace(question, in_effect=in_effect, reject=reject)
    best = answer(question, economical=economical).best.batching
    assert best in (in_effect(best), question.reach.present)


# What saves device time


def test_what_is_known_is_spared_before_what_is_not():
    """A bound of 32 could save more; it is tried once 8 is filled, if that still pays."""
    question = asked(
        load=load(100, 1200),
        present=bound(8),
        seen=frozenset(range(1, 9)),
        goal=goal(200.0),
        limits=limits(delay_us=(0, 100_000)),
    )
    found = answer(question, economical=True)
    assert found.saves > WORTH_SAVING
    assert found.best.batch <= 8


def test_savings_bear_the_demand_that_is_remembered():
    """A delay that spares much now would be missed by what was asked a minute ago."""
    fields = {"present": bound(8), "seen": frozenset(range(1, 33)), "goal": goal(45.0)}
    now = asked(load=load(60, 1200), **fields)
    alone = answer(now, economical=True).best
    borne = answer(replace(now, past=load(580, 6000)), economical=True).best
    assert alone.batching.max_queue_delay_microseconds > (
        borne.batching.max_queue_delay_microseconds
    )
    assert replace(now, load=load(580, 6000)).predict(borne.batching).meets


def test_what_failed_is_not_tried_again_with_its_delay():
    """Not even where the delay itself was not to blame, since it was as long before."""
    question = asked(load=load(100, 1200), present=bound(8), seen=frozenset(range(1, 33)))
    longest_us = delays_us(question)[-1]
    alone = answer(question, economical=True).best.batching
    assert alone.max_queue_delay_microseconds == longest_us
    waited = [bound(size, max_queue_delay_microseconds=longest_us) for size in range(1, 33)]
    known = reaching(question, failed=tuple(trial(waited[-1], each) for each in waited))
    found = answer(known, economical=True).best.batching
    assert found.max_queue_delay_microseconds not in {0, longest_us}


def test_delays_that_miss_do_not_hide_a_longer_one_that_does_not(monkeypatch):
    """A delay that is shorter than a batch may be worse than none, and than a longer one."""
    question = asked(load=load(100, 1200), present=bound(8), seen=frozenset(range(1, 33)))
    longest_us = delays_us(question)[-1]
    monkeypatch.setattr(
        economy,
        "_allowed",
        lambda _, each, __: each.batching.max_queue_delay_microseconds in {0, longest_us},
    )
    found = answer(question, economical=True).best.batching
    assert found.max_queue_delay_microseconds == longest_us
