from dataclasses import replace

import pytest

from ferryman.api.statistics import Statistics
from ferryman.core.observation.replaced_copies import ReplacedCopies

EMPTY = Statistics(
    now_s=0.0,
    inference_count=0,
    success_count=0,
    success_ns=0,
    failure_count=0,
    queue_ns=0,
    execution_count=0,
)


def reading(succeeded, answered_by_all, pending):
    return replace(
        EMPTY,
        inference_count=succeeded,
        success_count=succeeded,
        answered_by_all=answered_by_all,
        pending=pending,
    )


def own(*readings):
    """Return what waits at the present copy after each of one pod's readings."""
    known, told = ReplacedCopies(), []
    for each in readings:
        known = known.plus({"pod": each})
        told.append(known.own()["pod"].pending)
    return told


BEFORE = reading(100, 100, 300)


@pytest.mark.parametrize(
    ("readings", "waiting"),
    [
        pytest.param([BEFORE, reading(140, 140, 320)], [300, 320], id="no reload: all of it"),
        pytest.param(
            [BEFORE, reading(0, 120, 320), reading(60, 200, 310)],
            [300, 0, 10],
            id="after a reload, less what the old copy has left: 320, of which it answered 20",
        ),
        pytest.param(
            [BEFORE, reading(0, 120, 320), reading(60, 500, 5), reading(90, 530, 40)],
            [300, 0, 5, 40],
            id="once the old copy has nothing left, all of it",
        ),
        pytest.param(
            [BEFORE, reading(0, 120, 320), reading(60, 200, 0), reading(90, 230, 40)],
            [300, 0, 0, 40],
            id="never more than wait at all",
        ),
        pytest.param(
            [BEFORE, reading(0, 0, 7), reading(5, 5, 9)],
            [300, 7, 9],
            id="after a restart nothing is left behind",
        ),
        pytest.param(
            [reading(9, None, 30), reading(0, None, 40)],
            [30, 40],
            id="where the metrics do not tell, all of it",
        ),
    ],
)
def test_what_waits_at_the_present_copy(readings, waiting):
    assert own(*readings) == waiting


def test_a_pod_that_is_gone_is_forgotten():
    known = ReplacedCopies().plus({"pod": BEFORE}).plus({"pod": reading(0, 120, 320)})
    assert known.behind == {"pod": 320}
    assert known.plus({"other": BEFORE}).behind == {}


def test_a_queue_whose_length_is_unknown_stays_unknown():
    unknown = replace(BEFORE, pending=None)
    known = ReplacedCopies().plus({"pod": unknown}).plus({"pod": replace(unknown, success_count=0)})
    assert known.own()["pod"].pending is None
