import pytest

from ferryman.core.tuners.guarded.exploration import hopeful, refuge, rising
from ferryman.core.tuners.learned.service_time import ServiceTimePoint
from tests.unit.core.tuners.guarded.pods import bound, limits, reach

#: Requests per second that nothing of what was run serves.
MUCH = 300.0


def ran(**ms_by_size):
    """Return the points of sizes that took so long: s4=10.0 for a batch of 4."""
    return {int(name[1:]): ServiceTimePoint(100, ms) for name, ms in ms_by_size.items()}


def asked(points, demand_per_s=MUCH, instances=1, **fields):
    values = {"present": bound(1), "limits": limits(bound=(1, 128)), "seen": frozenset(points)}
    return hopeful(points, reach(**{**values, **fields}), demand_per_s, instances)


@pytest.mark.parametrize(
    ("points", "expected"),
    [
        pytest.param(ran(s1=10.0), 4, id="beyond the only size that was run"),
        pytest.param(ran(s1=10.0, s4=11.0), 16, id="beyond the largest while it serves most"),
        pytest.param(ran(s1=10.0, s32=200.0), 16, id="below a size that is beyond a knee"),
        pytest.param(ran(s1=10.0, s8=10.5, s9=40.0), None, id="nowhere between neighbours"),
        pytest.param({}, None, id="nowhere where nothing was run"),
    ],
)
def test_where_there_is_hope(points, expected):
    assert asked(points) == expected


def test_what_cannot_be_enough_at_best_is_not_tried():
    points = ran(s1=10.0, s32=200.0)
    assert asked(points, 3000) == 31, "30 would do if they took no longer than one"
    assert asked(points, 3200) is None
    assert asked(points, 3200, instances=2) == 23


def test_what_may_be_enough_is_tried_wherever_it_lies():
    """Stairs end at 16, and all larger sizes that were run serve more than 4."""
    points = ran(s1=162.0, s4=163.0, s20=687.0, s52=1736.0, s64=1775.0)
    assert asked(points, 70.0, limits=limits(bound=(1, 64))) == 16


def test_nothing_beyond_what_may_be_tried_is_hoped_for():
    assert asked(ran(s1=10.0), 300, limits=limits(bound=(1, 4))) == 4
    assert asked(ran(s1=10.0, s4=10.0), limits=limits(bound=(1, 4))) is None


def test_each_attempt_leaves_less_to_hope_for():
    """A knee at 12 from above: 1 and 96 were run."""
    points = ran(s1=10.0, s96=960.0)
    tried = []
    while (size := asked(points)) is not None:
        tried.append(size)
        points[size] = ServiceTimePoint(100, 10.0 if size <= 12 else 10.0 * size)
    assert len(tried) == len(set(tried)) <= 8
    assert any(10 <= size <= 12 for size in tried)


def test_the_refuge_is_the_size_that_serves_most_where_that_is_enough():
    points = ran(s1=10.0, s16=20.0, s64=200.0)
    known = reach(present=bound(64), seen=frozenset(points), limits=limits(bound=(1, 64)))
    assert refuge(points, known, 700.0, 1) == 16
    assert refuge(points, known, 1000.0, 1) == 13, "10 would do at best"
    assert refuge(points, known, 50_000.0, 1) == 16
    assert refuge({}, known, 50_000.0, 1) is None


@pytest.mark.parametrize(
    ("points", "expected"),
    [
        pytest.param({}, True, id="nothing is known"),
        pytest.param(ran(s1=10.0, s8=20.0), True, id="the largest serves most"),
        pytest.param(ran(s1=10.0, s8=100.0), False, id="a smaller one serves more"),
    ],
)
def test_whether_larger_sizes_may_serve_more(points, expected):
    assert rising(points) is expected
