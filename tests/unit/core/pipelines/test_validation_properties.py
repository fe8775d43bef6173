"""Any graph without a fault has none, and any one mutation gives the fault that it should."""

import copy

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from ferryman.api.conditions import Reason
from ferryman.core.pipelines import validation
from ferryman.core.pipelines.signatures import Signature
from tests.unit.core.pipelines import ocr
from tests.unit.core.pipelines.graphs import TYPES, specs, triton

MANY = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))


def faults(spec, name="pipeline", models=None):
    read = ocr.pipeline(spec, name)
    found = validation.faults(read, ocr.known(read), models)
    assert all(each.as_status().message for each in found)
    return found


@MANY
@given(spec=specs())
def test_a_graph_without_a_fault_has_none(spec):
    assert faults(spec) == ()


@MANY
@given(spec=specs(), data=st.data())
def test_knowing_less_makes_no_fault(spec, data):
    read = ocr.pipeline(spec)
    known = ocr.known(read)
    forgotten = data.draw(st.sets(st.sampled_from(sorted(known))))
    assert validation.faults(read, known | dict.fromkeys(forgotten, Signature())) == ()


def config(step):
    return step["model"]["config"]


def wired(draw, spec):
    """Return a step, one of its inputs, and what that is in its configuration."""
    step = draw(st.sampled_from(spec["steps"]))
    tensor = draw(st.sampled_from(sorted(step["inputMap"])))
    return step, tensor, next(e for e in config(step)["input"] if e["name"] == tensor)


def unknown_step(draw, spec):
    step, tensor, _ = wired(draw, spec)
    step["inputMap"][tensor] = "nowhere.y0"
    return Reason.UNKNOWN_STEP, step["name"], tensor


def unknown_input(draw, spec):
    step, tensor, _ = wired(draw, spec)
    step["inputMap"][tensor] = "nothing"
    return Reason.UNKNOWN_INPUT, step["name"], tensor


def unknown_output(draw, spec):
    output = draw(st.sampled_from(spec["outputs"]))
    output["from"] = output["from"].replace(".y0", ".nothing")
    return Reason.UNKNOWN_TENSOR, None, output["name"]


def unknown_source_tensor(draw, spec):
    step, tensor, _ = wired(draw, spec)
    maker = step["inputMap"][tensor].partition(".")[0]
    assume(maker in {each["name"] for each in spec["steps"]})
    step["inputMap"][tensor] = f"{maker}.nothing"
    return Reason.UNKNOWN_TENSOR, step["name"], tensor


def unknown_model_input(draw, spec):
    step, tensor, _ = wired(draw, spec)
    step["inputMap"]["nothing"] = step["inputMap"][tensor]
    return Reason.UNKNOWN_TENSOR, step["name"], "nothing"


def missing_input(draw, spec):
    step, _, entry = wired(draw, spec)
    config(step)["input"].append({**entry, "name": "more"})
    return Reason.MISSING_INPUT, step["name"], "more"


def unused_step(draw, spec):
    step = copy.deepcopy(draw(st.sampled_from(spec["steps"])))
    spec["steps"].append(step | {"name": "idle"})
    return Reason.UNUSED_STEP, "idle", None


def unused_input(draw, spec):
    spec["inputs"].append(draw(st.sampled_from(spec["inputs"])) | {"name": "idle"})
    return Reason.UNUSED_INPUT, None, "idle"


def datatype(draw, spec):
    step, tensor, entry = wired(draw, spec)
    others = [kind for kind in map(triton, TYPES) if kind != entry["data_type"]]
    entry["data_type"] = draw(st.sampled_from(others))
    return Reason.DATATYPE_MISMATCH, step["name"], tensor


def shape(draw, spec):
    step, tensor, entry = wired(draw, spec)
    entry["dims"] += [5, 5]
    return Reason.SHAPE_MISMATCH, step["name"], tensor


def output_shape(draw, spec):
    output = draw(st.sampled_from(spec["outputs"]))
    output["shape"] = [1] * 9
    return Reason.SHAPE_MISMATCH, None, output["name"]


def decoupled(draw, spec):
    step, _, _ = wired(draw, spec)
    config(step)["modelTransactionPolicy"] = {"decoupled": True}
    return Reason.DECOUPLED, step["name"], None


def itself(draw, spec):
    step, tensor, _ = wired(draw, spec)
    step["inputMap"][tensor] = f"{step['name']}.y0"
    return Reason.CYCLE, step["name"], tensor


def like_the_pipeline(draw, spec):
    step, _, _ = wired(draw, spec)
    text = copy.deepcopy(step["inputMap"])
    old, step["name"] = step["name"], "pipeline"
    for each in spec["steps"]:
        each["inputMap"] = {
            key: wire.replace(f"{old}.", "pipeline.") for key, wire in each["inputMap"].items()
        }
    for output in spec["outputs"]:
        output["from"] = output["from"].replace(f"{old}.", "pipeline.")
    assert step["inputMap"] == text
    return Reason.NAME_CLASH, "pipeline", None


def output_twice(draw, spec):
    output = draw(st.sampled_from(spec["outputs"]))
    spec["outputs"].append({"name": "again", "from": output["from"]})
    return Reason.READ_TWICE, None, "again"


def model_gone(draw, spec):
    step, _, _ = wired(draw, spec)
    del step["model"]
    step["modelRef"] = {"name": "gone"}
    return Reason.MODEL_NOT_FOUND, step["name"], None


MUTATIONS = (
    unknown_step, unknown_input, unknown_output, unknown_source_tensor, unknown_model_input,
    missing_input, unused_step, unused_input, datatype, shape, output_shape, decoupled, itself,
    like_the_pipeline, output_twice, model_gone,
)  # fmt: skip


@pytest.mark.parametrize("mutate", MUTATIONS, ids=lambda mutate: mutate.__name__)
def test_one_mutation_gives_exactly_the_fault_that_it_should(mutate):
    @settings(MANY, max_examples=12)
    @given(spec=specs(), data=st.data())
    def check(spec, data):
        mutated = copy.deepcopy(spec)
        expected = mutate(data.draw, mutated)
        (fault,) = faults(mutated, models=("here",))
        assert (fault.reason, fault.step, fault.tensor) == expected
        assert (fault.step or "pipeline") in fault.message
        assert (fault.tensor or "") in fault.message

    check()


@MANY
@given(spec=specs(), data=st.data())
def test_a_wire_back_to_what_comes_later_is_a_cycle_along_which_each_reads_the_one_before(
    spec, data
):
    read = ocr.pipeline(spec)
    graph = validation.Graph.of(read.spec)
    pairs = [(a, d) for d, before in graph.ancestors.items() for a in sorted(before)]
    assume(pairs)
    early, late = data.draw(st.sampled_from(pairs))
    step = next(each for each in spec["steps"] if each["name"] == early)
    step["inputMap"]["x0"] = f"{late}.y0"

    (fault,) = faults(spec)
    cycle = validation.Graph.of(ocr.pipeline(spec).spec).cycle
    assert fault.reason == Reason.CYCLE
    assert (fault.step, len(cycle)) == (cycle[0], len(set(cycle)))
    makers = {
        each["name"]: {wire.partition(".")[0] for wire in each["inputMap"].values()}
        for each in spec["steps"]
    }
    assert all(
        before in makers[after] for before, after in zip(cycle, (*cycle[1:], cycle[0]), strict=True)
    )
