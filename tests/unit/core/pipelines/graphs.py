"""Random pipelines without a fault: tensors of any type and shape, steps that batch or do not."""

from hypothesis import strategies as st

from ferryman.api.pipelines.step import Datatype

TYPES = ["FP32", "INT64", "BYTES", "FP16", "BOOL"]
assert set(TYPES) <= set(Datatype.__args__)


def triton(datatype):
    return "TYPE_STRING" if datatype == "BYTES" else f"TYPE_{datatype}"


@st.composite
def blurred(draw, shape):
    """Return a shape with some sizes that may be any."""
    return [-1 if draw(st.integers(0, 3)) == 0 else size for size in shape]


@st.composite
def specs(draw, most_steps=8):
    """Return the specification of a pipeline; whole shapes begin with a dimension for rows."""
    made = {}  # wire -> (datatype, whole shape as it truly is)
    for number in range(draw(st.integers(1, 3))):
        made[f"in{number}"] = draw(_tensors())
    inputs = dict(made)
    steps = []
    for number in range(draw(st.integers(1, most_steps))):
        wires = draw(st.lists(st.sampled_from(sorted(made)), min_size=1, max_size=3))
        steps.append(draw(_step(f"step{number}", wires, made)))
        for tensor in steps[-1]["model"]["config"]["output"]:
            made[f"step{number}.{tensor['name']}"] = tensor.pop("truly")
    read = {wire for step in steps for wire in step["inputMap"].values()}
    steps_read = {wire.partition(".")[0] for wire in read}
    ends = [step["name"] for step in steps if step["name"] not in steps_read]
    return {
        "inputs": [
            {"name": name, "datatype": kind, "shape": shape}
            for name, (kind, shape) in inputs.items()
            if name in read
        ],
        "steps": draw(st.permutations(steps)),
        "outputs": [{"name": f"out-{name}", "from": f"{name}.y0"} for name in ends],
        "runtimeRef": {"name": "triton"},
        "objectives": {"latency": {"targetMilliseconds": 100}},
    }


@st.composite
def _tensors(draw):
    shape = draw(st.lists(st.integers(1, 4), min_size=1, max_size=3))
    return draw(st.sampled_from(TYPES)), [-1, *shape]


@st.composite
def _step(draw, name, wires, made):
    bound = draw(st.sampled_from([0, 1, 8]))

    def dims(shape):
        return draw(blurred(shape[1:] if bound else shape))

    def entry(tensor, kind, shape):
        return {"name": tensor, "data_type": triton(kind), "dims": dims(shape)}

    outputs = {f"y{number}": draw(_tensors()) for number in range(draw(st.integers(1, 2)))}
    config = {
        "max_batch_size": bound,
        "input": [entry(f"x{n}", *made[wire]) for n, wire in enumerate(wires)],
        "output": [{**entry(tensor, *truly), "truly": truly} for tensor, truly in outputs.items()],
    }
    return {
        "name": name,
        "model": {
            "storageUri": "pvc://models",
            "modelFormat": {"name": "python"},
            "config": config,
        },
        "inputMap": {f"x{n}": wire for n, wire in enumerate(wires)},
    }
