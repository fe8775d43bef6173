"""A stretch of a model as a model of its own: what it computes, takes and answers."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ferryman.core.splitting.dataflow import Dataflow, Operation, sort


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of an order, with all that it needs to run alone."""

    operations: tuple[Operation, ...]
    """Each after what it reads; copies of what constants alone decide are among them."""
    inputs: tuple[str, ...]
    """The model's inputs that it reads."""
    received: tuple[str, ...]
    """What it takes from segments before it."""
    outputs: tuple[str, ...]
    """What segments after it read, and the model's outputs that it makes."""


def segment(flow: Dataflow, order: Sequence[Operation], begin: int, end: int) -> Segment:
    """Return the stretch of an order of a model's operations from one place to another.

    The last stretch answers, too, what the model answers and nothing varies.
    """
    own = order[begin:end]
    written = {name for operation in own for name in operation.writes}
    before = {name for operation in order[:begin] for name in operation.writes}
    wanted = list(dict.fromkeys(name for operation in own for name in operation.reads))
    read_later = {name for operation in order[end:] for name in operation.reads}
    later = {name for operation in order[end:] for name in operation.writes}
    elsewhere = before | later | set(flow.inputs)
    answered = [name for name in flow.outputs if name in written]
    if end == len(order):
        answered = [name for name in flow.outputs if name not in before]
    outputs = [
        name for each in own for name in each.writes if name in read_later and name not in answered
    ]
    copies = _copied(flow, [*wanted, *answered], elsewhere | written)
    return Segment(
        tuple(sort([*copies, *own])),
        tuple(name for name in wanted if name in flow.inputs),
        tuple(name for name in wanted if name in before),
        (*answered, *outputs),
    )


def _copied(flow: Dataflow, wanted: Iterable[str], there: set[str]) -> tuple[Operation, ...]:
    """Return the operations that make wanted tensors, but for those that are there already."""
    writers = {name: operation for operation in flow.operations for name in operation.writes}
    found: dict[int, Operation] = {}
    names = [name for name in wanted if name not in there]
    while names:
        operation = writers.get(names.pop())
        if operation is not None and operation.index not in found:
            found[operation.index] = operation
            names += [name for name in operation.reads if name not in there]
    return tuple(found.values())
