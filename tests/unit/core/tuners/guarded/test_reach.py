import pytest
from hypothesis import given
from hypothesis import strategies as st

from ferryman.core.tuners.guarded.reach import GROWTH, SHORTER, SMALL_STEP
from tests.unit.core.tuners.guarded.pods import bound, limits, trial
from tests.unit.core.tuners.guarded.pods import reach as asked


@pytest.mark.parametrize(
    ("fields", "largest"),
    [
        pytest.param({"seen": frozenset({2, 4})}, 4 * GROWTH, id="some times the largest seen"),
        pytest.param({"seen": frozenset({32})}, 32, id="never beyond the limit"),
        pytest.param({"seen": frozenset()}, 8, id="what is applied, when nothing was seen"),
        pytest.param({"safe_bound": 5}, 5, id="never beyond what is safe"),
        pytest.param({"failed": (trial(bound(8), bound(16)),)}, 15, id="below what failed"),
        pytest.param(
            {"failed": (trial(bound(16), bound(8)),)}, 32, id="failing to shrink is no knee"
        ),
        pytest.param(
            {"limits": limits(bound=(12, 32)), "safe_bound": 5}, 12, id="the least limit, at least"
        ),
    ],
)
def test_the_largest_bound_that_may_be_tried(fields, largest):
    reach = asked(**fields)
    assert reach.largest_bound == largest
    assert reach.sizes[-1] <= largest


def test_all_bounds_may_be_tried_before_anything_failed():
    assert list(asked(seen=frozenset({4})).sizes) == list(range(1, 4 * GROWTH + 1))


def test_behind_a_knee_only_small_steps_and_sizes_that_were_run_are_tried():
    knee = (trial(bound(8), bound(32)), trial(bound(12), bound(20)))
    reach = asked(failed=knee, seen=frozenset({1, 2, 13, 30}))
    assert list(reach.sizes) == [*range(1, int(8 * SMALL_STEP) + 1), 13]


def test_the_steps_towards_a_knee_grow_with_the_bound_that_was_reached():
    """Never to a bound that growing to has failed."""
    fields = {"failed": (trial(bound(8), bound(32)),), "seen": frozenset({1, 2, 12})}
    assert asked(**fields, present=bound(12)).sizes[-1] == 12 * SMALL_STEP
    assert asked(**fields, present=bound(4)).sizes[-1] == 8 * SMALL_STEP
    assert asked(**fields, present=bound(24)).sizes[-1] == 31


# How a bound grows beyond what is known


def test_up_to_the_present_bound_and_the_largest_batch_nothing_is_a_guess():
    assert asked(seen=frozenset({1, 12})).known == 12
    assert asked(present=bound(16)).known == 16
    assert asked(seen=frozenset()).known == 8


def test_a_bound_grows_to_where_stairs_mostly_end():
    assert asked(limits=limits(bound=(1, 128))).growths == [16]
    wide = asked(limits=limits(bound=(1, 512)), present=bound(20), seen=frozenset({20}))
    assert wide.growths == [32, 64]


def test_there_are_none_where_nothing_larger_may_be_tried():
    assert asked(present=bound(32)).growths == []
    assert asked(safe_bound=8).growths == []


@given(st.sets(st.integers(1, 128), min_size=1), st.integers(1, 128), st.integers(1, 256))
def test_growths_lie_between_what_is_known_and_the_largest(seen, present, most):
    reach = asked(
        seen=frozenset(seen), present=bound(min(present, most)), limits=limits(bound=(1, most))
    )
    assert all(size.bit_count() == 1 for size in reach.growths)
    assert all(reach.known < size < reach.largest_bound for size in reach.growths)


# What failed before


def test_what_failed_is_left_out_unless_nothing_else_is_left():
    reach = asked(failed=(trial(bound(4), bound(16)),))
    assert reach.untried([bound(4), bound(16)]) == [bound(4)]
    assert reach.untried([bound(16)]) == [bound(16)]


def test_where_hardly_anything_is_in_time_a_bound_grows_to_what_would_be_enough():
    wide = {"limits": limits(bound=(1, 512)), "present": bound(1), "seen": frozenset({1})}
    assert asked(**wide).largest_bound == 4
    assert asked(**wide, hoped=9.0).largest_bound == 32
    assert asked(**wide, hoped=1.5).largest_bound == 4


def test_nobody_grows_beyond_a_size_that_serves_less_than_smaller_ones():
    wide = {"limits": limits(bound=(1, 512)), "present": bound(4), "seen": frozenset({1, 4, 32})}
    assert asked(**wide, hoped=9.0, rising=False).largest_bound == 32
    assert asked(**wide, rising=False).largest_bound == 128


def test_a_delay_that_failed_is_followed_by_shorter_ones():
    failed = (trial(bound(8), bound(8, max_queue_delay_microseconds=10_000)),)
    assert asked().longest_delay_us == 20_000
    assert asked(failed=failed).longest_delay_us == pytest.approx(SHORTER * 10_000)


def test_where_the_bound_grew_as_well_the_delay_is_not_to_blame():
    failed = (trial(bound(8), bound(16, max_queue_delay_microseconds=10_000)),)
    assert asked(failed=failed).longest_delay_us == 20_000
