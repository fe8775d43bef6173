"""What is told of hundreds of changes: how long the ensemble is away, and what is lost."""

from benchmarks.pipelines import changes, report
from benchmarks.pipelines.changes import UNFIT, Made, Probe
from benchmarks.pipelines.client import Answer

BOUND = "bound, a reload"
MADE = [Made(BOUND, "Applied", 0.0, 2.0), Made(UNFIT, "Refused", 2.0, 4.0)]
#: Away for half a second while the ensemble did not fit.
PROBE = Probe([(2.5, 3.0)])
ANSWERS = [
    Answer(0.1, 0.2),
    Answer(1.0, 1.5, "lost"),
    Answer(2.4, 2.6, "unknown model"),
    Answer(2.6, 2.7, "unknown model"),
]


def test_failures_count_for_the_change_that_was_under_way():
    found = changes.figures(MADE, PROBE, ANSWERS)
    assert found["kinds"][BOUND] == {
        "changes": 1,
        "outcomes": {"Applied": 1},
        "longest_away_s": 0.0,
        "failed": 1,
        "failures": {"lost": 1},
    }
    assert found["kinds"][UNFIT]["longest_away_s"] == 0.5
    assert (found["requests"], found["failed"], changes.lost(found)) == (4, 3, 1)


def test_a_failure_outside_of_all_changes_is_lost_as_well():
    found = changes.figures(MADE, Probe(), [Answer(8.0, 9.0, "gone")])
    assert changes.lost(found) == 1


def test_the_table_has_a_row_for_each_kind():
    found = {"changes": changes.figures(MADE, PROBE, ANSWERS)}
    told = report.BLOCKS["changes"]([found, found])
    assert f"| {UNFIT} | 2 | 2 Refused | 0.50 s | 4 |" in told
    assert "8 requests." in told
