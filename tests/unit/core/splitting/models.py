"""Small models as operations, and random ones."""

from hypothesis import strategies as st

from ferryman.core.splitting.dataflow import Dataflow, Operation


def op(index, reads, writes, **more):
    return Operation(index, tuple(reads.split()), tuple(writes.split()), **more)


def flow(*operations, inputs="x", outputs="y"):
    return Dataflow(tuple(inputs.split()), tuple(outputs.split()), operations)


def indices(operations):
    return [operation.index for operation in operations]


@st.composite
def flows(draw):
    """Draw a model whose operations read whatever was written before, in a shuffled file."""
    count = draw(st.integers(1, 9))
    known = ["x", "z", "w"]
    operations = []
    for number in range(count):
        reads = draw(st.lists(st.sampled_from(known), max_size=3, unique=True))
        writes = [f"t{number}.{k}" for k in range(draw(st.integers(1, 2)))]
        operations.append((tuple(reads), tuple(writes), draw(st.booleans()) and not reads))
        known += writes
    places = draw(st.permutations(range(count)))
    listed = [Operation(place, *each) for place, each in zip(places, operations, strict=True)]
    outputs = draw(st.lists(st.sampled_from(known[3:]), min_size=1, max_size=3, unique=True))
    ordered = tuple(sorted(listed, key=lambda each: each.index))
    return Dataflow(("x", "z"), tuple(outputs), ordered)
