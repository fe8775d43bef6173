import pytest

from benchmarks.common import with_section
from benchmarks.twin_validation import service_times_s

TITLE = "# Benchmarks\n"


def test_a_section_is_added_at_the_end_and_then_replaced_in_place():
    both = with_section(with_section(TITLE, "first", "one"), "second", "two")
    again = with_section(both, "first", "three")

    assert both.index("one") < both.index("two")
    assert again == both.replace("one", "three")
    assert with_section(again, "first", "three") == again


def test_a_section_that_does_not_end_is_refused():
    with pytest.raises(ValueError, match="first has no end"):
        with_section(f"{TITLE}\n<!-- first -->\n", "first", "one")


def test_service_times_between_measured_sizes_are_interpolated():
    found = service_times_s({1: (10, 10 * 10_000_000), 3: (10, 10 * 14_000_000)}, bound=5)

    assert found == pytest.approx((0.010, 0.012, 0.014, 0.016, 0.018))


def test_service_times_of_one_measured_size_stand_for_all():
    assert service_times_s({2: (4, 4 * 5_000_000)}, bound=3) == pytest.approx((0.005,) * 3)


def test_without_a_batch_there_is_no_service_time():
    with pytest.raises(ValueError, match="no batch"):
        service_times_s({}, bound=4)
