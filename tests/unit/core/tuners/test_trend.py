import itertools
import random

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
from ferryman.api.conditions import Reason
from ferryman.core.observation.objectives import MIN_REQUESTS, Verdict
from ferryman.core.tuners.state import TunerState
from ferryman.core.tuners.trend import decide, direction_of
from tests.factories import objectives, window

GOOD = window(latency_ms=20.0)
SLOW = window(latency_ms=90.0)
AT_TARGET_BUT_FEW = window(latency_ms=50.0, inferences_per_s=100.0, offered_inferences_per_s=300.0)
FAST_BUT_FEW = window(latency_ms=20.0, inferences_per_s=100.0, offered_inferences_per_s=300.0)
LATENCY = objectives(50)
BOTH = objectives(50, 200)


def spec(samples=4, step=2, least=1, most=64):
    return BatchingSpec(
        algorithm="Trend",
        step=step,
        trend=TrendSettings(samples=samples),
        limits=BatchingLimits(max_batch_size=MaxBatchSizeLimits(min=least, max=most)),
    )


def bound(size, delay_us=0):
    return Batching(max_batch_size=size, max_queue_delay_microseconds=delay_us)


def play(windows, wanted=LATENCY, *, start=8, **settings):
    """Decide after each window, applying every decision; return all decisions."""
    applied, state, decisions = bound(start), TunerState(), []
    for seen in windows:
        decision = decide(spec(**settings), wanted, applied, seen, state)
        applied, state = decision.batching, decision.state
        decisions.append(decision)
    return decisions


@pytest.mark.parametrize(
    ("windows", "wanted", "after", "reason"),
    [
        pytest.param([SLOW] * 3, LATENCY, 6, Reason.TREND_DECREASE, id="always slow: down"),
        pytest.param([FAST_BUT_FEW] * 3, BOTH, 10, Reason.TREND_INCREASE, id="always fast: up"),
        pytest.param(
            [FAST_BUT_FEW] * 3, objectives(None, 200), 10, Reason.TREND_INCREASE, id="too few: up"
        ),
        pytest.param(
            [AT_TARGET_BUT_FEW] * 3, BOTH, 8, Reason.TREND_FLAT, id="latency at target: stay"
        ),
        pytest.param(
            [SLOW, FAST_BUT_FEW, AT_TARGET_BUT_FEW],
            BOTH,
            8,
            Reason.TREND_FLAT,
            id="down, up, stay: Z is 0",
        ),
        pytest.param(
            [FAST_BUT_FEW, FAST_BUT_FEW, SLOW],
            BOTH,
            10,
            Reason.TREND_INCREASE,
            id="the trend decides, not the last window",
        ),
    ],
)
def test_one_decision_after_samples_values(windows, wanted, after, reason):
    *collecting, last = play(windows, wanted)
    assert [d.reason for d in collecting] == [Reason.COLLECTING] * len(collecting)
    assert [d.batching for d in collecting] == [bound(8)] * len(collecting)
    assert (last.batching.max_batch_size, last.reason) == (after, reason)
    assert last.state == TunerState(trajectory=(after,))


def test_the_messages_have_the_numbers():
    *_, collecting, last = play([SLOW] * 3)
    assert collecting.message == "p99 90.0 ms, target 50 ms; 3 of 4 values collected"
    assert last.message == (
        "max_batch_size 8 to 6: trend Z -1.70 over 4 values; p99 90.0 ms, target 50 ms"
    )


def test_the_trajectory_starts_at_the_applied_bound_and_restarts_from_the_new_one():
    states = [d.state.trajectory for d in play([SLOW] * 4)]
    assert states == [(8, 6), (8, 6, 4), (6,), (6, 4)]


def test_only_the_bound_is_changed():
    applied = Batching(max_batch_size=8, max_queue_delay_microseconds=500, instances=3)
    decision = decide(spec(), LATENCY, applied, SLOW, TunerState((8, 6, 4)))
    assert decision.batching == applied.with_(max_batch_size=6)


@pytest.mark.parametrize(
    ("start", "windows", "wanted", "reason"),
    [
        pytest.param(1, [SLOW] * 3, LATENCY, Reason.AT_LIMIT, id="slow at the least bound"),
        pytest.param(64, [FAST_BUT_FEW] * 3, BOTH, Reason.AT_LIMIT, id="fast at the largest bound"),
        pytest.param(
            64, [AT_TARGET_BUT_FEW] * 3, BOTH, Reason.TREND_FLAT, id="no pull at the largest bound"
        ),
        pytest.param(
            1,
            [FAST_BUT_FEW, SLOW, SLOW],
            BOTH,
            Reason.TREND_FLAT,
            id="no trend at the least bound",
        ),
    ],
)
def test_at_the_limits_the_bound_stays(start, windows, wanted, reason):
    last = play(windows, wanted, start=start)[-1]
    assert (last.batching.max_batch_size, last.reason) == (start, reason)
    assert f"max_batch_size stays {start}" in last.message


def test_a_rising_trend_that_the_limit_stops_is_at_the_limit():
    # (8, 6, 8, 8, 8): the early dip makes the trajectory rise, and there is nowhere to go.
    decision = decide(
        spec(samples=5, most=8), BOTH, bound(8), FAST_BUT_FEW, TunerState((8, 6, 8, 8))
    )
    assert (decision.reason, decision.batching.max_batch_size) == (Reason.AT_LIMIT, 8)


def test_the_last_step_ends_on_the_limit():
    assert play([SLOW] * 3, start=2)[-1].batching.max_batch_size == 1
    assert play([FAST_BUT_FEW] * 3, BOTH, start=63)[-1].batching.max_batch_size == 64


def test_met_objectives_hold_the_bound_and_the_trajectory():
    decisions = play([SLOW, GOOD, SLOW])
    assert [d.reason for d in decisions] == [Reason.COLLECTING, Reason.MET, Reason.COLLECTING]
    assert [d.state.trajectory for d in decisions] == [(8, 6), (8, 6), (8, 6, 4)]
    assert decisions[1].message == "p99 20.0 ms, target 50 ms"


def test_a_model_that_is_good_now_and_then_is_still_tuned():
    last = play([SLOW, GOOD, SLOW, GOOD, GOOD, SLOW])[-1]
    assert (last.reason, last.batching.max_batch_size) == (Reason.TREND_DECREASE, 6)


def test_after_samples_good_windows_in_a_row_the_past_is_forgotten():
    decisions = play([SLOW, SLOW, GOOD, GOOD, GOOD, GOOD, GOOD, SLOW])
    assert [d.state.trajectory for d in decisions[-4:]] == [(8, 6, 4), (8,), (8,), (8, 6)]
    assert decisions[-1].state.met_in_a_row == 0


def test_a_satisfied_tuner_does_not_count_for_ever():
    first, *_, last = [d.state for d in play([GOOD] * 20)]
    assert first != last == play([GOOD] * 30)[-1].state


@pytest.mark.parametrize(
    ("seen", "reason", "words"),
    [
        pytest.param(window(requests=0), Reason.NO_TRAFFIC, "no requests", id="no traffic"),
        pytest.param(
            window(requests=MIN_REQUESTS - 1, latency_ms=90.0),
            Reason.OBSERVING,
            "only 9 requests",
            id="too few requests to judge a percentile",
        ),
    ],
)
def test_windows_that_say_nothing_leave_the_trajectory_alone(seen, reason, words):
    before = TunerState((8, 6, 4), met_in_a_row=1)
    decision = decide(spec(), LATENCY, bound(8), seen, before)
    assert (decision.batching, decision.reason, decision.state) == (bound(8), reason, before)
    assert words in decision.message


def test_a_bound_that_somebody_else_moved_starts_a_new_trajectory():
    decision = decide(spec(), LATENCY, bound(20), SLOW, TunerState((8, 6, 4)))
    assert (decision.reason, decision.state.trajectory) == (Reason.COLLECTING, (20, 18))


def test_the_queue_delay_is_no_standing_queue():
    seen = window(inferences_per_s=100.0, offered_inferences_per_s=100.0, queue_ms=25.0)
    wanted = objectives(None, 200)
    assert decide(spec(), wanted, bound(8), seen, TunerState()).reason == Reason.COLLECTING
    delayed = decide(spec(), wanted, bound(8, delay_us=20_000), seen, TunerState())
    assert delayed.reason == Reason.MET


@pytest.mark.parametrize(
    ("latency", "direction"),
    [
        pytest.param(-1, 1, id="below the target: up"),
        pytest.param(0, 0, id="at the target: stay"),
        pytest.param(1, -1, id="above the target: down"),
        pytest.param(None, 1, id="no latency objective: throughput is missed, up"),
    ],
)
def test_direction(latency, direction):
    verdict = Verdict(
        met=False, latency=latency, throughput_met=None, reason=Reason.MET, message=""
    )
    assert direction_of(verdict) == direction


def reference(windows, target_ms, start, samples, step, least, most):
    """Items 4 to 6 once more, as one loop over latencies, with its own Mann-Kendall sign."""
    applied, xs, good, bounds = start, [start], 0, []
    for latency_ms, served in windows:
        if latency_ms <= target_ms and served >= 200:
            good += 1
            if good >= samples:
                xs = [applied]
        else:
            good = 0
            move = (latency_ms < target_ms) - (latency_ms > target_ms)
            xs.append(min(most, max(least, xs[-1] + move * step)))
            if len(xs) == samples:
                s = sum((b > a) - (b < a) for j, b in enumerate(xs) for a in xs[:j])
                moved = 0 if abs(s) <= 1 else (1 if s > 0 else -1)
                applied = min(most, max(least, applied + moved * step))
                xs = [applied]
        bounds.append(applied)
    return bounds


def test_ten_thousand_windows_agree_with_an_independent_implementation():
    dice = random.Random(42)
    for _ in range(200):
        samples, step, most = dice.randint(3, 12), dice.randint(1, 4), dice.choice([6, 64])
        start = dice.randint(1, 6)
        latencies = [dice.choice([20.0, 50.0, 90.0]) for _ in range(50)]
        history = [(ms, dice.choice([100.0, 100.0, 250.0])) for ms in latencies]
        windows = [
            window(latency_ms=ms, inferences_per_s=served, offered_inferences_per_s=300.0)
            for ms, served in history
        ]
        decisions = play(windows, BOTH, start=start, samples=samples, step=step, most=most)
        expected = reference(history, 50, start, samples, step, 1, most)
        assert [d.batching.max_batch_size for d in decisions] == expected


@settings(deadline=None)
@given(
    st.lists(st.sampled_from([GOOD, SLOW, FAST_BUT_FEW, AT_TARGET_BUT_FEW]), max_size=60),
    st.integers(1, 8),
)
def test_the_bound_stays_within_limits_and_moves_one_step_at_most(windows, start):
    sizes = [start, *(d.batching.max_batch_size for d in play(windows, BOTH, start=start, most=8))]
    assert all(1 <= size <= 8 for size in sizes)
    assert all(abs(b - a) <= 2 for a, b in itertools.pairwise(sizes))
