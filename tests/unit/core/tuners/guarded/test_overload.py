from math import inf

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ferryman.api.batching import Batching
from ferryman.core.tuners.guarded.overload import (
    EQUAL,
    FACTOR,
    ROOM,
    SHARES,
    capacity,
    with_policy,
    without_policy,
)
from ferryman.core.tuners.guarded.prediction import predict
from ferryman.core.tuners.learned.service_time import Parabola
from tests.unit.core.tuners.guarded.pods import CONVEX, LINE, bound, curve, goal, load


def test_capacity_is_what_full_batches_serve():
    assert capacity(bound(5), curve()) == pytest.approx(500)
    assert capacity(bound(5, instances=3), curve()) == pytest.approx(1500)


@pytest.mark.parametrize("shape", [LINE, CONVEX], ids=["line", "convex"])
@pytest.mark.parametrize("size", [4, 16])
@pytest.mark.parametrize("overload", [1.1, FACTOR, 3])
def test_under_overload_most_of_the_capacity_is_answered_in_time(shape, size, overload):
    """A queue without a policy answers hardly anything in time."""
    plain = bound(size)
    policed = with_policy(plain, curve(shape), goal())
    offered = load(overload * capacity(plain, curve(shape)), 8000, seed=3)
    kept, queued = (predict(each, curve(shape), offered, goal()) for each in (policed, plain))
    assert kept.attainment * overload > 0.85
    assert queued.attainment < 0.5 * kept.attainment


def test_who_is_not_overloaded_loses_nobody():
    policed = with_policy(bound(16), curve(), goal())
    assert predict(policed, curve(), load(300, 3000), goal()).attainment == 1


@settings(deadline=None, max_examples=5)
@given(
    st.builds(Parabola, t0=st.floats(1, 10), a=st.floats(0.1, 2), g=st.floats(0, 0.05)),
    st.integers(2, 24),
    st.floats(30, 150),
)
def test_the_longest_timeout_is_chosen_under_which_nothing_is_lost(shape, size, target_ms):
    """Judged by another draw of the overload: no shorter timeout is much better."""
    plain, held = bound(size), goal(target_ms)
    chosen = with_policy(plain, curve(shape), held)
    share = chosen.default_timeout_microseconds / (target_ms * 1e3)
    assert min(abs(share - each) for each in SHARES) < 1e-3
    assert chosen.max_queue_size > size
    offered = load(FACTOR * capacity(plain, curve(shape)), 3000, seed=7)
    best = max(
        predict(
            chosen.with_(default_timeout_microseconds=round(each * target_ms * 1e3)),
            curve(shape),
            offered,
            held,
        ).attainment
        for each in SHARES
    )
    assert predict(chosen, curve(shape), offered, held).attainment > best - EQUAL - 0.06


def test_with_a_loose_target_requests_may_wait_for_most_of_it():
    """Two batches of 9 ms fit well into the last quarter of 200 ms."""
    policed = with_policy(bound(4), curve(), goal(200.0))
    assert policed.default_timeout_microseconds == pytest.approx(SHARES[0] * 200_000)


def test_with_a_tight_target_they_may_not():
    """Two batches of 21 ms leave little of 50."""
    policed = with_policy(bound(16), curve(), goal())
    assert policed.default_timeout_microseconds < 25_000


def test_the_queue_holds_more_than_can_be_served_in_time():
    policed = with_policy(bound(8), curve(), goal())
    within = capacity(bound(8), curve()) * policed.default_timeout_microseconds / 1e6
    assert policed.max_queue_size == 8 + round(ROOM * within)


def test_without_a_latency_objective_nothing_can_be_late():
    assert with_policy(bound(8), curve(), goal(inf)) == bound(8)


def test_the_policy_changes_nothing_else_and_can_be_taken_away():
    plain = bound(8, max_queue_delay_microseconds=500, instances=2, preferred_batch_size=(4,))
    policed = with_policy(plain, curve(), goal())
    assert policed != plain
    assert without_policy(policed) == plain


def test_the_policy_of_a_fast_model_with_a_loose_target_is_still_valid():
    policed = with_policy(bound(4096, instances=16), lambda _i, b: (0.5,) * b, goal(60_000.0))
    assert Batching.model_validate(policed.model_dump()) == policed


def test_a_delay_that_is_longer_than_the_timeout_is_no_reason_to_fail():
    """limits.maxQueueDelayMicroseconds.min may demand it."""
    with_policy(bound(64, max_queue_delay_microseconds=20_000), curve(), goal(25.0))


def test_a_policy_that_serves_overload_as_well_stays_whatever_the_bound():
    """Then the live cap changes the bound alone, and nothing is reloaded."""
    present = with_policy(bound(8), curve(), goal())
    grown = with_policy(bound(10), curve(), goal(), present)
    assert grown == present.with_(max_batch_size=10)


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({"default_timeout_microseconds": 0, "max_queue_size": 0}, id="there is none"),
        pytest.param({"max_queue_size": 12}, id="its queue is too small"),
        pytest.param({"default_timeout_microseconds": 49_000}, id="it waits for too long"),
    ],
)
def test_another_policy_is_chosen_where(fields):
    present = with_policy(bound(8), curve(), goal()).with_(**fields)
    assert with_policy(bound(10), curve(), goal(), present) == with_policy(
        bound(10), curve(), goal()
    )
