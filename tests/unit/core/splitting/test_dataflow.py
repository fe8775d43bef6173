"""Where a model can be cut: order, what crosses, and what belongs to no place."""

import random
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ferryman.core.splitting.dataflow import CyclicError, cuts, orders, placed
from tests.unit.core.splitting.models import flow, flows, indices, op

CHAIN = flow(op(0, "x w", "a"), op(1, "a", "b"), op(2, "b w", "y"))
SKIP = flow(op(0, "x", "a"), op(1, "a", "b"), op(2, "b", "c"), op(3, "c a", "y"))
TOWERS = flow(
    op(0, "x", "a1"), op(1, "z", "b1"), op(2, "a1", "a2"), op(3, "b1", "b2"), op(4, "a2 b2", "y"),
    inputs="x z",
)  # fmt: skip


def test_each_place_of_a_chain_is_crossed_by_one_tensor():
    assert [(cut.position, cut.crossing) for cut in cuts(placed(CHAIN), 1)] == [
        (1, ("a",)),
        (2, ("b",)),
    ]


def test_a_tensor_that_is_read_far_behind_crosses_all_places_between():
    assert [cut.position for cut in cuts(placed(SKIP), 1)] == [1]
    assert [cut.crossing for cut in cuts(placed(SKIP), 2)] == [("a",), ("a", "b"), ("a", "c")]


def test_a_tensor_that_nobody_reads_crosses_nothing():
    both = flow(op(0, "x", "a unread"), op(1, "a", "y"))
    assert cuts(placed(both), 1)[0].crossing == ("a",)


def test_an_output_that_is_not_read_again_crosses_nothing():
    early = flow(op(0, "x", "a y1"), op(1, "a", "y2"), outputs="y1 y2")
    assert cuts(placed(early), 9)[0].crossing == ("a",)


def test_constants_belong_to_no_place():
    model = flow(
        op(0, "", "c"), op(1, "c w", "scaled"), op(2, "x scaled", "a"), op(3, "a scaled", "y")
    )
    assert indices(placed(model)) == [2, 3]


def test_what_draws_random_numbers_has_one_place():
    model = flow(op(0, "", "noise", random=True), op(1, "noise", "n"), op(2, "x n", "y"))
    assert indices(placed(model)) == [0, 1, 2]


def test_what_no_output_needs_is_left_out():
    model = flow(op(0, "x", "a"), op(1, "a", "unused"), op(2, "a", "y"))
    assert indices(placed(model)) == [0, 2]


def test_operations_may_stand_in_any_order():
    assert indices(placed(flow(op(0, "a", "y"), op(1, "x", "a")))) == [1, 0]


def test_what_waits_for_itself_is_refused_with_a_name():
    with pytest.raises(CyclicError, match="what a is computed from waits for itself"):
        placed(flow(op(0, "b", "a"), op(1, "a", "b"), op(2, "x", "y")))


def test_one_branch_after_the_other_has_cuts_that_turns_have_not():
    as_written, by_branch = orders(TOWERS)
    assert [cut.position for cut in cuts(as_written, 1)] == [1]
    assert indices(by_branch) == [0, 2, 1, 3, 4]
    assert [cut.position for cut in cuts(by_branch, 1)] == [1, 2]


def test_an_output_that_nothing_writes_is_no_operation():
    as_written, by_branch = orders(flow(op(0, "x", "y"), outputs="y x"))
    assert indices(by_branch) == indices(as_written) == [0]


@given(flows())
def test_orders_hold_the_same_operations_each_after_what_it_reads(model):
    as_written, by_branch = orders(model)
    assert sorted(indices(as_written)) == sorted(indices(by_branch))
    for order in (as_written, by_branch):
        written = {name for each in order for name in each.writes}
        seen = set()
        for operation in order:
            assert not (set(operation.reads) & written) - seen
            seen.update(operation.writes)


@given(flows())
def test_placed_are_those_that_lie_between_what_varies_and_an_output(model):
    edges = [(a, b) for a, b in product(model.operations, repeat=2) if set(a.writes) & set(b.reads)]

    def reached(start, step):
        found, fresh = set(), {each.index for each in start}
        while fresh:
            found |= fresh
            fresh = {b for a, b in step if a in found} - found
        return found

    vary = [each for each in model.operations if each.random or {"x", "z"} & set(each.reads)]
    wanted = [each for each in model.operations if set(each.writes) & set(model.outputs)]
    down = reached(vary, [(a.index, b.index) for a, b in edges])
    up = reached(wanted, [(b.index, a.index) for a, b in edges])
    assert set(indices(placed(model))) == down & up


@given(flows(), st.integers(0, 4))
def test_cuts_are_the_places_that_few_enough_tensors_cross(model, most):
    for order in orders(model):
        expected = []
        for position in range(1, len(order)):
            before = {name for each in order[:position] for name in each.writes}
            after = {name for each in order[position:] for name in each.reads}
            if len(before & after) <= most:
                expected.append((position, before & after))
        assert [(cut.position, set(cut.crossing)) for cut in cuts(order, most)] == expected


def test_a_long_chain_is_no_deep_recursion():
    count = 5_000
    operations = [op(i, f"t{i}", f"t{i + 1}") for i in range(count)]
    random.Random(1).shuffle(operations)
    model = flow(*operations, inputs="t0", outputs=f"t{count}")
    for order in orders(model):
        assert indices(order) == list(range(count))
