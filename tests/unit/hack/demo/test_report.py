"""What an act ends with: its table, and what counts as broken."""

import io
from dataclasses import replace

import pytest
from rich.console import Console

from hack.demo import report
from tests.unit.hack.demo.stories import TARGET_MS, rescued, second, spared, staffed


def test_a_rescue_says_how_soon_it_came():
    found = report.rescue(rescued(), TARGET_MS, "fast", (2, 16))
    rows = dict(found.rows)

    assert rows["max_batch_size"] == "2 → 16"
    assert rows["first change within"] == "3 s of being allowed to"
    assert rows["in time again within"] == "6 s of being allowed to"
    assert (found.faults, found.reached) == ((), ())


def test_a_busy_machine_that_stays_late_is_told_and_fails_nothing():
    late = replace(rescued(), seconds=tuple(second(float(at), p99_ms=900) for at in range(1, 30)))
    found = report.rescue(late, TARGET_MS, "fast", (2, 16))

    assert found.faults == ()
    assert found.reached == ("not in time at the end: the machine was busy",)


def test_economy_says_what_was_spared():
    rows = dict(report.economy(spared(), TARGET_MS, "fast", (0, 200)).rows)
    assert rows["device busy"] == "50% → 20%"
    assert rows["device time spared"] == "60%"


def test_the_workers_of_each_step_are_shown():
    found = report.workers(staffed(), "fast", {"recognise": 140.0, "detect": 20.0})
    rows = dict(found.rows)
    assert rows["recognise"] == "140 ms a page, workers 1 → 2"
    assert rows["join"] == "? a page, workers 1 → 1"
    assert found.faults == ()


@pytest.mark.parametrize(
    ("story", "fault"),
    [
        pytest.param(
            replace(rescued(), seconds=(second(1.0, failed=2),)),
            "2 requests failed",
            id="a request failed",
        ),
        pytest.param(
            replace(rescued(), changes=()),
            "the operator changed nothing",
            id="nothing was changed",
        ),
        pytest.param(
            replace(rescued(), seconds=(second(1.0, accuracy=0.6), second(20.0))),
            "accuracy 0.600 before, below 0.95",
            id="answers are wrong",
        ),
        pytest.param(
            replace(rescued(), seconds=(second(1.0, accuracy=1.0), second(20.0, accuracy=0.9))),
            "accuracy fell from 1.000 to 0.900",
            id="answers became worse",
        ),
        pytest.param(
            replace(rescued(), seconds=(second(1.0, ok=0, accuracy=None),)),
            "nothing was answered",
            id="nothing was answered",
        ),
    ],
)
def test_what_is_broken_is_a_fault(story, fault):
    assert fault in report.faults(story)


def test_what_chance_explains_is_no_fault():
    few = (second(1.0, ok=60, accuracy=0.96), second(20.0, ok=60, accuracy=0.92))
    assert report.faults(replace(rescued(), seconds=few)) == ()


def test_the_table_has_a_row_of_everything():
    console = Console(width=100, record=True, file=io.StringIO())
    found = report.rescue(rescued(), TARGET_MS, "fast", (2, 16))
    console.print(report.table(found))
    shown = console.export_text()
    assert all(name in shown for name, _ in found.rows)
