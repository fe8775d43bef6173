"""The ensemble of a pipeline, run by hand: each tensor has one maker, and goes where it should."""

from hypothesis import HealthCheck, given, settings

from ferryman.api.conditions import Reason
from ferryman.clients import pbtxt
from ferryman.core.pipelines import assembly
from ferryman.core.pipelines.graph import Graph
from tests.unit.core.pipelines import ocr
from tests.unit.core.pipelines.graphs import specs

MANY = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))


def run(config):
    """Run an ensemble: return its outputs as expressions of its inputs.

    Asserts what Triton asks of an ensemble: each tensor has one maker, and is read or given out.
    """
    values = {entry["name"]: entry["name"] for entry in config["input"]}
    waiting = list(config["ensemble_scheduling"]["step"])
    made = [tensor for step in waiting for tensor in step["output_map"].values()]
    given = [entry["name"] for entry in config["output"]]
    read = {tensor for step in waiting for tensor in step["input_map"].values()}
    assert len({*made, *values}) == len(made) + len(values)
    assert {*made, *values} == read | set(given)
    while waiting:
        step = next(s for s in waiting if values.keys() >= set(s["input_map"].values()))
        waiting.remove(step)
        reads = {key: values[tensor] for key, tensor in sorted(step["input_map"].items())}
        for key, tensor in step["output_map"].items():
            values[tensor] = f"{step['model_name']}{reads}.{key}"
    return {name: values[name] for name in given}


def expressions(spec):
    """Return the same of a specification."""
    graph = Graph.of(spec)
    reads = {step.name: step.reads for step in graph.steps}

    def value(source):
        if source.step is None:
            return source.tensor
        inputs = {key: value(each) for key, each in sorted(reads[source.step].items())}
        return f"{source.step}{inputs}.{source.tensor}"

    return {name: value(source) for name, source in graph.outputs.items()}


def ensemble(spec):
    read = ocr.pipeline(spec)
    return assembly.ensemble_of(read, ocr.known(read))


@MANY
@given(spec=specs())
def test_an_ensemble_computes_what_its_pipeline_states_and_triton_can_read_it(spec):
    config = ensemble(spec)
    assert run(config) == expressions(ocr.pipeline(spec).spec)
    assert pbtxt.decode(pbtxt.encode(config))["platform"] == "ensemble"


def test_what_nobody_reads_is_left_out():
    steps = {s["model_name"]: s for s in ensemble(ocr.SPEC)["ensemble_scheduling"]["step"]}

    assert steps["crop"] == {
        "model_name": "crop",
        "model_version": -1,
        "input_map": {"image": "image", "boxes": "detect.boxes"},
        "output_map": {"lines": "crop.lines"},
    }
    assert steps["join"]["output_map"] == {"text": "text"}


def test_shapes_are_whole_ones_and_the_ensemble_has_no_bound_of_its_own():
    changes = {"outputs/1": {"name": "letters", "from": "recognise.letters"}}
    config = ensemble(ocr.changed(changes))
    assert config["max_batch_size"] == 0
    assert config["input"][1] == {"name": "size", "data_type": "TYPE_INT32", "dims": [2]}
    assert config["output"] == [
        {"name": "text", "data_type": "TYPE_STRING", "dims": [-1]},
        {"name": "letters", "data_type": "TYPE_FP32", "dims": [-1, -1, 97]},
    ]


def test_an_output_of_which_too_little_is_known_is_asked_for():
    read = ocr.pipeline(ocr.changed({f"{ocr.JOIN}/model/config": {}}))
    (fault,) = assembly.ensemble_of(read, ocr.known(read))
    assert (fault.reason, fault.tensor) == (Reason.TYPE_UNKNOWN, "text")
    assert "state datatype and shape of the output" in fault.message
    assert "output text in model.config of step join" in fault.message


def test_an_output_may_be_stated_where_its_step_says_nothing():
    changes = {f"{ocr.JOIN}/model/config": {}, "outputs/0/datatype": "BYTES"}
    read = ocr.pipeline(ocr.changed({**changes, "outputs/0/shape": [-1]}))
    config = assembly.ensemble_of(read, ocr.known(read))
    assert config["output"] == [{"name": "text", "data_type": "TYPE_STRING", "dims": [-1]}]
