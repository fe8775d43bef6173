"""Where a chain is cut: exact against every partition there is."""

from itertools import combinations, pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ferryman.core.splitting.dataflow import Operation, cuts
from ferryman.core.splitting.partition import divide, received

NONE = np.zeros((9, 9))


def every(count, parts):
    """Yield all partitions of so many segments, as the ends of their parts."""
    for inner in combinations(range(1, count), parts - 1):
        yield (*inner, count)


def cost_ms(times_ms, bytes_read, span, bytes_per_ms):
    sent = 0.0 if bytes_per_ms is None else bytes_read[span] / bytes_per_ms
    return sum(times_ms[slice(*span)]) + sent


def judged(times_ms, bytes_read, ends, bytes_per_ms=None):
    spans = list(pairwise((0, *ends)))
    slowest = max(cost_ms(times_ms, bytes_read, span, bytes_per_ms) for span in spans)
    return slowest, sum(bytes_read[span] for span in spans)


def test_the_slowest_part_is_as_fast_as_can_be():
    assert divide([5, 1, 1, 1, 5, 3], NONE[:7, :7], 3).ends == (2, 5, 6)
    assert divide([5, 1, 1, 1, 5, 3], NONE[:7, :7], 3).slowest_ms == 7


def test_among_equally_fast_ones_the_fewest_bytes_cross():
    heavy = np.zeros((4, 4))
    heavy[1, 2:], heavy[2, 3:] = 900, 100
    found = divide([4, 4, 4], heavy, 2)
    assert (found.ends, found.slowest_ms, found.received_bytes) == ((2, 3), 8, 100)


def test_bytes_that_take_time_move_a_cut():
    heavy = np.zeros((4, 4))
    heavy[1, 2:], heavy[2, 3:] = 100, 900
    assert divide([6, 2, 6], heavy, 2, bytes_per_ms=100).ends == (1, 3)
    assert divide([7, 1, 8], heavy, 2).ends == (2, 3)


def test_what_is_within_the_tolerance_counts_as_fast():
    heavy = np.zeros((4, 4))
    heavy[1, 2:], heavy[2, 3:] = 100, 900
    assert divide([100, 1, 101], heavy, 2).ends == (2, 3)
    assert divide([100, 1, 101], heavy, 2, tolerance=0.02).ends == (1, 3)


def test_one_part_is_the_whole():
    assert divide([1, 2], NONE[:3, :3], 1).ends == (2,)


@pytest.mark.parametrize("parts", [0, 3])
def test_no_part_may_be_empty(parts):
    with pytest.raises(ValueError, match="2 segments cannot be cut"):
        divide([1, 2], NONE[:3, :3], parts)


@st.composite
def chains(draw):
    count = draw(st.integers(1, 8))
    times_ms = draw(st.lists(st.integers(0, 9), min_size=count, max_size=count))
    sizes = st.lists(st.integers(0, 5), min_size=(count + 1) ** 2, max_size=(count + 1) ** 2)
    bytes_read = np.array(draw(sizes), dtype=float).reshape(count + 1, count + 1)
    return times_ms, bytes_read, draw(st.integers(1, count))


@given(chains(), st.sampled_from([None, 0.5, 4.0]), st.sampled_from([0.0, 0.25]))
def test_no_partition_of_all_is_better(chain, bytes_per_ms, tolerance):
    times_ms, bytes_read, parts = chain
    found = divide(times_ms, bytes_read, parts, bytes_per_ms=bytes_per_ms, tolerance=tolerance)
    options = [
        judged(times_ms, bytes_read, ends, bytes_per_ms) for ends in every(len(times_ms), parts)
    ]
    bound_ms = min(slowest for slowest, _ in options) * (1 + tolerance)
    fewest = min(sent for slowest, sent in options if slowest <= bound_ms)
    assert judged(times_ms, bytes_read, found.ends, bytes_per_ms) == pytest.approx(
        (found.slowest_ms, found.received_bytes)
    )
    assert found.slowest_ms <= bound_ms + 1e-9
    assert found.received_bytes == pytest.approx(fewest)
    assert len(found.ends) == parts


@given(st.data())
def test_a_part_receives_each_tensor_once_from_whoever_wrote_it(data):
    count = data.draw(st.integers(2, 8))
    order = []
    for index in range(count):
        known = [f"t{i}" for i in range(index)] + ["x"]
        reads = data.draw(st.lists(st.sampled_from(known), min_size=1, max_size=3, unique=True))
        order.append(Operation(index, tuple(reads), (f"t{index}",)))
    inner = data.draw(st.sets(st.integers(1, count - 1)))
    places = (0, *sorted(inner), count)
    sizes = {f"t{index}": float(2**index) for index in range(count)}
    bytes_read = received(order, places, sizes)
    for i, j in combinations(range(len(places)), 2):
        before = {name for each in order[: places[i]] for name in each.writes}
        reads = {name for each in order[places[i] : places[j]] for name in each.reads}
        assert bytes_read[i, j] == sum(sizes[name] for name in before & reads)


def test_only_what_crosses_a_place_need_have_a_size():
    order = [Operation(0, ("x",), ("a",)), Operation(1, ("a",), ("b",)), Operation(2, ("b",), ())]
    [_, cut] = cuts(order, 1)
    assert received(order, (0, cut.position, 3), {"b": 8.0})[1, 2] == 8.0
