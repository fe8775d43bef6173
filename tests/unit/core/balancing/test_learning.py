from math import log

import pytest

from ferryman.core.balancing.learning import believed, busy_instances, curve_s, learn
from ferryman.core.balancing.state import BalancerState
from tests.unit.core.balancing.windows import pipeline_window, rules, step_window

CHAIN = rules("a", "b")


def taught(*windows, changed=False, grew=False):
    """Learn from windows one after the other; return the last lesson."""
    state, lesson = BalancerState(), None
    for number, window in enumerate(windows, start=1):
        last = number == len(windows)
        lesson = learn(CHAIN, window, state, changed=changed and last, grew=grew and last)
        state = BalancerState(lesson.steps)
    return lesson


def window(a_ms=20.0, b_ms=100.0, *, count=100, cpu_s=None, **fields):
    steps = {"a": step_window(count, a_ms), "b": step_window(count, b_ms, **fields)}
    return pipeline_window(count, 150.0, steps, cpu_s=cpu_s)


def test_curves_and_rows_are_learned():
    lesson = taught(window(inferences=600))
    assert curve_s(lesson.steps["a"], 2) == pytest.approx((0.02, 0.04))
    assert (lesson.steps["a"].visits, lesson.steps["b"].visits) == (1.0, 6.0)
    assert lesson.steps["a"].cpu_s_per_row is None
    assert lesson.errors == {"a": 0.0, "b": 0.0}


def test_later_windows_count_more():
    assert taught(window(inferences=600), window(inferences=400)).steps["b"].visits == 5.0


def test_processor_time_is_dealt_out_by_compute_time():
    """Six processor seconds of 100 requests that computed for 120 ms each: half of that time."""
    steps = taught(window(cpu_s=6.0)).steps
    assert steps["a"].cpu_s_per_row == pytest.approx(0.010)
    assert steps["b"].cpu_s_per_row == pytest.approx(0.050)
    assert taught(window(cpu_s=6.0), window()).steps["b"].cpu_s_per_row == pytest.approx(0.050)


def test_a_step_that_becomes_slower_has_drifted_and_is_believed_at_once():
    lesson = taught(window(), window(b_ms=300.0))
    assert lesson.drifted == ("b",)
    assert lesson.errors["b"] == pytest.approx(log(3), rel=0.05)
    assert curve_s(lesson.steps["b"], 1)[0] == pytest.approx(0.3, rel=0.05)


def test_a_step_that_is_slower_since_a_change_has_not_drifted():
    lesson = taught(window(), window(b_ms=300.0), changed=True)
    assert lesson.drifted == ()
    assert curve_s(lesson.steps["b"], 1)[0] == pytest.approx(0.3, rel=0.05)


def test_what_instances_that_were_added_do_to_service_times_is_held_back():
    contended = window(b_ms=300.0)
    lesson = taught(window(), contended, changed=True, grew=True)
    assert curve_s(lesson.steps["b"], 1)[0] == pytest.approx(0.1)
    assert lesson.errors["b"] == pytest.approx(log(3), rel=0.05)
    later = believed(lesson.steps, contended)
    assert curve_s(later["b"], 1)[0] == pytest.approx(0.3, rel=0.05)


def test_a_step_that_was_never_seen_is_learned_whatever_was_added():
    lesson = taught(window(), changed=True, grew=True)
    assert curve_s(lesson.steps["b"], 1)[0] == pytest.approx(0.1)


def test_a_step_without_batches_teaches_nothing():
    quiet = pipeline_window(
        0, None, {"a": step_window(0, 0.0), "b": step_window(0, 0.0)}, cpu_s=1.0
    )
    lesson = taught(window(), quiet)
    assert curve_s(lesson.steps["b"], 1)[0] == pytest.approx(0.1)
    assert not lesson.errors
    assert not taught(quiet).steps["a"].service.points


def test_a_step_of_which_all_is_cached_has_the_rows_that_it_had():
    lesson = taught(window(inferences=600), window(cached=100))
    assert lesson.steps["b"].visits == 6.0
    assert taught(window(cached=100)).steps["b"].visits == 1.0


def test_busy_instances_are_counted_by_pod():
    assert busy_instances(step_window(100, 150.0)) == pytest.approx(1.5)
    assert busy_instances(step_window(100, 150.0, pods=3)) == pytest.approx(0.5)
