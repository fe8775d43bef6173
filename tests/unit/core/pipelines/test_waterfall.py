"""Where the time of a request through a pipeline went."""

import pytest

from ferryman.api.statistics import Counted
from ferryman.core.pipelines.reporting.waterfall import NotCountedError, waterfall

MS = 1_000_000
#: find is read by two that run beside each other, and these by the last.
FORK = {"find": (), "quick": ("find",), "slow": ("find",), "join": ("quick", "slow")}


def counted(queue_ms, compute_ms, requests=1, total_ms=0):
    return Counted(
        requests,
        queue_ns=queue_ms * MS,
        input_ns=MS,
        infer_ns=(compute_ms - 2) * MS,
        output_ns=MS,
        total_ns=total_ms * MS,
    )


STEPS = {
    "find": counted(1, 10),
    "quick": counted(0, 5),
    "slow": counted(4, 20),
    "join": counted(2, 3),
}


def test_steps_begin_when_what_they_read_is_there():
    found = waterfall(FORK, Counted(1, total_ns=45 * MS), STEPS)

    assert {span.step: (span.begins_ms, span.ends_ms) for span in found.spans} == {
        "find": (0, 11),
        "quick": (11, 16),
        "slow": (11, 35),
        "join": (35, 40),
    }
    assert found.critical == ("find", "slow", "join")
    assert (found.total_ms, found.between_ms, found.requests) == (45, 5, 1)


def test_of_several_requests_the_means_are_shown():
    steps = {name: counted(8, 10, requests=2) for name in FORK}
    found = waterfall(FORK, Counted(2, total_ns=90 * MS), steps)

    assert [span.queue_ms for span in found.spans] == [4.0] * 4
    assert (found.total_ms, found.requests) == (45, 2)


def test_clocks_that_disagree_leave_nothing_between_steps():
    assert waterfall(FORK, Counted(1, total_ns=30 * MS), STEPS).between_ms == 0


def test_what_was_counted_between_two_looks_is_the_difference():
    before, now = counted(1, 10, total_ms=12), counted(3, 15, requests=4, total_ms=20)
    assert now.since(before) == Counted(3, 2 * MS, 0, 5 * MS, 0, 8 * MS)


@pytest.mark.parametrize(
    ("whole", "steps", "words"),
    [
        pytest.param(Counted(), STEPS, "the pipeline answered no request", id="nobody was served"),
        pytest.param(
            Counted(1),
            {**STEPS, "slow": Counted(-3)},
            "step slow answered no request .* or was loaded anew",
            id="a step was loaded anew meanwhile",
        ),
    ],
)
def test_what_was_not_counted_is_said(whole, steps, words):
    with pytest.raises(NotCountedError, match=words):
        waterfall(FORK, whole, steps)
