"""What is read from the record of an act."""

import math
from dataclasses import replace

import pytest

from hack.demo import story
from hack.demo.story import Look
from tests.unit.hack.demo.stories import ALLOWED_S, CHANGED_S, TARGET_MS, rescued, second, spared

LINE = {
    "t": 1.0,
    "time": 101.5,
    "sent": 20,
    "ok": 18,
    "failed": 1,
    "in_flight": 1,
    "p50_ms": 10.0,
    "p99_ms": 20.0,
    "accuracy": 0.9,
}
BATCHING = {"actuator": "LiveCap", "reason": "Overloaded", "outcome": "Applied"}


def test_a_load_began_before_each_of_its_lines_however_late_they_came():
    assert story.began([{**LINE, "time": 104.0}, {**LINE, "t": 2.0, "time": 102.5}]) == 100.5


def test_a_second_is_what_the_load_printed_of_it():
    [found] = story.seconds_of([LINE])
    assert (found.asked, found.ok, found.failed, found.waiting) == (20, 18, 1, 1)


def test_changes_are_those_that_were_applied_oldest_first_on_the_clock_of_the_load():
    began_s = 1_798_761_600.0  # 2027-01-01
    journal = [
        {**BATCHING, "time": "2027-01-01T00:00:09Z"},
        {**BATCHING, "time": "2027-01-01T00:00:07Z", "outcome": "Refused"},
        {"reason": "LimitingStep", "outcome": "Applied", "time": "2027-01-01T00:00:05Z"},
    ]
    assert [(each.at_s, each.how) for each in story.changes_of(journal, began_s)] == [
        (5.0, ""),
        (9.0, "LiveCap"),
    ]


def test_a_rescue_is_in_time_again_from_the_first_of_a_few_seconds_in_a_row():
    assert rescued().back_in_time_s(TARGET_MS) == 15.0


def test_one_second_that_is_late_again_is_chance():
    seen = rescued()
    blip = tuple(replace(each, p99_ms=900) if each.at_s == 25 else each for each in seen.seconds)
    assert replace(seen, seconds=blip).back_in_time_s(TARGET_MS) == 15.0


@pytest.mark.parametrize(
    "seen",
    [
        pytest.param(replace(rescued(), changes=()), id="nothing was changed"),
        pytest.param(
            replace(rescued(), seconds=tuple(second(float(at), p99_ms=900) for at in range(30))),
            id="it stays late",
        ),
    ],
)
def test_what_was_never_in_time_again_has_no_such_moment(seen):
    assert seen.back_in_time_s(TARGET_MS) is None


def test_a_second_without_an_answer_is_not_in_time():
    assert not story.is_within(second(1.0, p99_ms=None), TARGET_MS)


def test_accuracy_is_told_before_during_and_after_the_changes():
    seen = rescued()
    wrong = tuple(
        replace(each, accuracy=0.5 if CHANGED_S - 1 <= each.at_s <= CHANGED_S + 3 else 1.0)
        for each in seen.seconds
    )
    phases = replace(seen, seconds=wrong).phases()
    shares = {phase: story.accuracy(seconds) for phase, seconds in phases.items()}
    assert shares == {"before": 1.0, "during": 0.5, "after": 1.0}


def test_without_a_change_there_is_one_phase():
    assert {*replace(rescued(), changes=()).phases()} == {"throughout"}


def test_accuracy_of_nothing_compared_is_unknown():
    assert math.isnan(story.accuracy([second(1.0, accuracy=None)]))


def test_the_device_was_busy_for_what_it_executed_between_two_looks():
    before, after = spared().busy_before_and_after()
    assert (before, after) == (pytest.approx(0.5), pytest.approx(0.2))


def test_counters_that_begin_anew_and_looks_that_failed_say_nothing_of_the_device():
    looks = tuple(Look(at, {}, used) for at, used in ((0, 5.0), (1, 0.1), (2, None), (3, 0.5)))
    assert replace(spared(), looks=looks).busy() == [(3, pytest.approx(0.2))]


def test_how_busy_a_device_is_is_told_of_the_last_seconds_together():
    shares = dict(spared().busy())
    assert (shares[12.0], shares[14.0]) == (pytest.approx(0.5), pytest.approx(0.35))


def test_few_answers_may_be_further_off_by_chance():
    assert story.chance(0.9, 100) == pytest.approx(0.09)
    assert story.chance(0.9, 10_000) == pytest.approx(0.009)
    assert math.isinf(story.chance(0.9, 0))


def test_what_was_watched_ends_when_the_operator_may_act():
    assert rescued().watched()[-1].at_s == ALLOWED_S
