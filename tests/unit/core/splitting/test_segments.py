"""A stretch of a model as a model of its own."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from ferryman.core.splitting.dataflow import Operation, orders, placed
from ferryman.core.splitting.segments import segment
from tests.unit.core.splitting.models import flow, flows, indices, op

CONSTANTS = flow(
    op(0, "", "c"), op(1, "c w", "scaled"), op(2, "x scaled", "a"), op(3, "a scaled z", "y"),
    inputs="x z", outputs="y scaled",
)  # fmt: skip


def test_what_constants_decide_is_copied_into_each_segment_that_reads_it():
    order = placed(CONSTANTS)
    first, second = (segment(CONSTANTS, order, begin, begin + 1) for begin in (0, 1))
    assert indices(first.operations) == [0, 1, 2]
    assert indices(second.operations) == [0, 1, 3]


def test_inputs_go_to_whoever_reads_them_and_the_last_answers_constants():
    order = placed(CONSTANTS)
    first, second = (segment(CONSTANTS, order, begin, begin + 1) for begin in (0, 1))
    assert (first.inputs, first.received, first.outputs) == (("x",), (), ("a",))
    assert (second.inputs, second.received) == (("z",), ("a",))
    assert second.outputs == ("y", "scaled")


def test_an_output_that_is_read_again_is_answered_once():
    model = flow(op(0, "x", "y1"), op(1, "y1", "y2"), outputs="y1 y2")
    assert segment(model, placed(model), 0, 1).outputs == ("y1",)


def run(operations, known):
    """Compute what operations write, where a tensor's value is the way in which it was made."""
    for operation in operations:
        made = tuple(known[name] for name in operation.reads)
        known |= {name: (operation.index, name, made) for name in operation.writes}
    return known


@given(flows(), st.data())
def test_segments_one_after_the_other_compute_what_the_whole_does(model, data):
    given_values = {"x": "x", "z": "z", "w": "w"}
    whole = run(_in_order(model.operations), dict(given_values))
    for order in orders(model):
        if not order:
            continue
        inner = data.draw(st.sets(st.integers(1, len(order))))
        places = sorted({0, *inner, len(order)})
        made = {}
        for begin, end in pairwise(places):
            part = segment(model, order, begin, end)
            taken = {name: given_values[name] for name in part.inputs}
            taken |= {name: made[name] for name in part.received} | {"w": "w"}
            known = run(part.operations, taken)
            made |= {name: known[name] for name in part.outputs}
        assert {name: made[name] for name in model.outputs} == {
            name: whole[name] for name in model.outputs
        }


def _in_order(operations):
    """Return operations by the numbers in the names of what they write."""

    def number(operation: Operation) -> int:
        return int(operation.writes[0][1:].partition(".")[0])

    return sorted(operations, key=number)
