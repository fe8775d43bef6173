from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ferryman.api.conditions import Reason
from ferryman.core.tuners.guarded.prediction import Prediction
from ferryman.core.tuners.guarded.verification import (
    MEMORY_S,
    NOISE_MS,
    TOLERANCE,
    WINDOWS,
    draining,
    settled,
    taken_back,
    verified,
)
from ferryman.core.tuners.state import Evaluation, Learned
from tests.factories import window
from tests.unit.core.tuners.guarded.pods import bound, knowing, trial

BEFORE, AFTER = bound(4), bound(16)
TRIAL = trial(BEFORE, AFTER, served_per_s=400.0, service=knowing((1, 2, 4)))
FORESEEN = Prediction(AFTER, 30.0, 20.0, 1.0, 0.5, 700.0, 8.0, meets=True, reaches=True)
#: The least mean that counts as later than 20 ms.
LATE_MS = 20.0 * (1 + TOLERANCE) + 0.1
FULL = {"pending_before": 100, "pending": 100}


def judged(trial=TRIAL, *, missed=True, foreseen=FORESEEN, **fields):
    return verified(trial, window(**{"service_times": {}, **fields}), foreseen, missed=missed)


def beyond(ratio, executions=100, size=8):
    """Return what is counted of batches that take so many times what was guessed."""
    return {4: (50, 9.0), size: (executions, (5 + size) * ratio)}


def test_a_trial_of_what_is_applied_goes_on():
    learned = Learned(trial=TRIAL)
    assert settled(learned, AFTER) is learned
    assert settled(Learned(), AFTER) == Learned()


def test_a_change_that_was_refused_or_undone_is_no_longer_on_trial():
    assert settled(Learned(trial=TRIAL, safe_bound=9), BEFORE) == Learned(safe_bound=9)


@pytest.mark.parametrize(
    ("fields", "bad"),
    [
        pytest.param({"mean_latency_ms": LATE_MS}, 1, id="later than predicted and than before"),
        pytest.param({"mean_latency_ms": LATE_MS - 0.2}, 0, id="within the tolerance"),
        pytest.param({"mean_latency_ms": None}, 0, id="nothing was served"),
        pytest.param({"missed": False, "mean_latency_ms": 900.0}, 0, id="but nothing is missed"),
    ],
)
def test_without_a_backlog_the_mean_latency_decides(fields, bad):
    trial = judged(**fields)
    assert (trial.bad, trial.good) == (bad, 1 - bad)


def test_what_was_no_better_before_the_change_is_not_its_fault():
    slow = replace(TRIAL, mean_ms=LATE_MS + 1)
    assert judged(slow, mean_latency_ms=LATE_MS).bad == 0


def test_a_server_has_its_own_noise():
    quick = replace(FORESEEN, mean_ms=1.0)
    slow = replace(TRIAL, mean_ms=0.5)
    assert judged(slow, foreseen=quick, mean_latency_ms=1.0 + NOISE_MS).bad == 0
    assert judged(slow, foreseen=quick, mean_latency_ms=1.1 + NOISE_MS).bad == 1


@pytest.mark.parametrize(
    ("fields", "bad"),
    [
        pytest.param({**FULL, "inferences_per_s": 399.0}, 1, id="slower than before and predicted"),
        pytest.param({**FULL, "inferences_per_s": 401.0}, 0, id="faster than before"),
        pytest.param(
            {**FULL, "pending": 10, "inferences_per_s": 100.0}, 0, id="the backlog is gone"
        ),
        pytest.param(
            {**FULL, "pending": None, "inferences_per_s": 100.0}, 0, id="nobody says what waits"
        ),
        pytest.param(
            {**FULL, "pods": 10, "inferences_per_s": 100.0, "mean_latency_ms": 9.0},
            0,
            id="few for so many pods",
        ),
    ],
)
def test_with_a_backlog_what_is_served_decides(fields, bad):
    """However late requests are: they waited before the change already."""
    assert judged(**{"mean_latency_ms": 5000.0, **fields}).bad == bad


def test_a_backlog_is_served_as_fast_as_was_predicted_where_it_was_faster_before():
    fast = replace(TRIAL, served_per_s=900.0)
    enough = FORESEEN.capacity_per_s * (1 - TOLERANCE)
    assert judged(fast, **FULL, inferences_per_s=enough + 1).bad == 0
    assert judged(fast, **FULL, inferences_per_s=enough - 1).bad == 1


def test_windows_in_a_row_are_counted_and_begin_anew():
    bad = judged(mean_latency_ms=LATE_MS)
    assert judged(bad, mean_latency_ms=LATE_MS).bad == 2
    good = judged(bad, mean_latency_ms=10.0)
    assert (good.bad, good.good) == (0, 1)
    assert judged(good, mean_latency_ms=10.0).good == 2
    assert judged(good, mean_latency_ms=LATE_MS).good == 0


def test_batches_that_take_far_longer_than_was_guessed_decide_at_once():
    knee = {"mean_latency_ms": 5.0, "service_times": beyond(2.1)}
    assert judged(**knee).bad == WINDOWS
    assert judged(**knee, missed=False).bad == 0
    assert judged(mean_latency_ms=5.0, service_times=beyond(1.9)).bad == 0
    assert judged(mean_latency_ms=5.0, service_times=beyond(9, executions=0)).bad == 0


def test_so_do_a_few_that_take_four_times_as_long():
    assert judged(mean_latency_ms=5.0, service_times=beyond(3.9, executions=1)).bad == 0
    assert judged(mean_latency_ms=5.0, service_times=beyond(3.9, executions=2)).bad == WINDOWS


def test_they_count_in_each_window_of_the_trial_against_the_same_guess():
    later = judged(mean_latency_ms=5.0)
    assert judged(later, mean_latency_ms=5.0, service_times=beyond(2.1)).bad == WINDOWS


def test_batches_of_the_configuration_before_are_no_surprise():
    shrunk = replace(TRIAL, before=AFTER, after=BEFORE)
    assert judged(shrunk, mean_latency_ms=5.0, service_times=beyond(9)).bad == 0


@settings(deadline=None)
@given(st.floats(0, 100), st.floats(0, 2000), st.integers(0, 200), st.floats(0.1, 10))
def test_while_no_objective_is_missed_nothing_counts_against_a_change(
    mean_ms, served_per_s, pending, ratio
):
    trial = judged(
        missed=False,
        service_times=beyond(ratio),
        mean_latency_ms=mean_ms,
        inferences_per_s=served_per_s,
        pending_before=pending,
        pending=pending,
    )
    assert (trial.bad, trial.good) == (0, 1)


def test_what_was_taken_back_is_remembered_for_a_while_and_older_failures_are_forgotten():
    old, recent = (replace(TRIAL, after=bound(size)) for size in (32, 24))
    evaluation = Evaluation(AFTER, 100.0, 100.0, 10.0, Reason.NO_BETTER, "", None)
    learned = Learned(
        trial=TRIAL, failed=((old, 100.0), (recent, 100.1)), evaluation=evaluation, safe_bound=64
    )
    assert taken_back(learned, TRIAL, 100.0) == Learned(
        failed=((recent, 100.1), (TRIAL, 100.0 + MEMORY_S)), safe_bound=64, leaving=AFTER
    )


@pytest.mark.parametrize(
    ("before", "after", "ran", "pending", "drains"),
    [
        pytest.param(4, 16, {4: 50}, 900, True, id="what waited before a bound was raised"),
        pytest.param(4, 16, {4: 50, 16: 30}, 900, False, id="mostly batches of the new bound"),
        pytest.param(4, 16, {4: 50}, 3, False, id="nothing waits any more"),
        pytest.param(16, 4, {16: 50}, 900, True, id="what waited before it was lowered"),
        pytest.param(16, 16, {16: 50}, 900, False, id="the bound is the same"),
    ],
)
def test_what_is_drained_says_nothing_of_the_new_configuration(before, after, ran, pending, drains):
    times = {size: (count, 10.0) for size, count in ran.items()}
    seen = window(service_times=times, pending=pending, pending_before=pending)
    assert draining(bound(before), bound(after), seen) is drains


@pytest.mark.parametrize(
    ("behind", "ran", "drains"),
    [
        pytest.param(300, {}, True, id="the copy that was replaced has the processor"),
        pytest.param(300, {16: 49}, True, id="and had it for most of the window"),
        pytest.param(300, {16: 51}, False, id="the present one worked for most of it"),
        pytest.param(0, {}, False, id="nobody is left behind"),
    ],
)
def test_while_a_replaced_copy_keeps_the_present_one_from_work_nothing_follows(behind, ran, drains):
    times = {size: (count, 100.0) for size, count in ran.items()}
    seen = window(service_times=times, seconds=10.0, left_behind=behind)
    assert draining(bound(16), bound(16), seen) is drains
