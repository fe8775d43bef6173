"""Malformed pipelines: each is refused with a fault that names step, tensor and remedy."""

import pytest

from ferryman.api.conditions import Reason
from ferryman.api.pipelines.inference_pipeline_status import MOST_FAULTY_NAME
from ferryman.core.pipelines import validation
from ferryman.core.pipelines.fault import PipelineFault
from ferryman.core.pipelines.graph import Graph
from ferryman.core.pipelines.signatures import Signature
from tests import factories
from tests.unit.core.pipelines import ocr
from tests.unit.core.pipelines.ocr import (
    ABSENT,
    CLASSIFY,
    CROP,
    DETECT,
    JOIN,
    PREPARE,
    RECOGNISE,
    tensor,
)

REF = {"model": ABSENT, "modelRef": {"name": "resnet50"}}


def case(title, changes, reason, step, tensor, *words):
    return pytest.param(changes, reason, step, tensor, words, id=title)


def at(step, **changes):
    return {f"{step}/{path.replace('__', '/')}": value for path, value in changes.items()}


NAMES = (
    case(
        "a step named like the pipeline",
        {f"{DETECT}/name": "ocr", f"{CROP}/inputMap/boxes": "ocr.boxes"},
        Reason.NAME_CLASH,
        "ocr",
        None,
        "rename the step",
    ),
    case(
        "an output named like an input",
        {"outputs/0/name": "image"},
        Reason.NAME_CLASH,
        None,
        "image",
        "output image",
        "rename the output or the input",
    ),
    case(
        "one tensor under two names",
        {"outputs/1": {"name": "words", "from": "join.text"}},
        Reason.READ_TWICE,
        None,
        "words",
        "outputs text and words",
        "join.text",
        "remove all but text",
    ),
)
WIRES = (
    case(
        "a wire to a step that does not exist",
        {f"{CROP}/inputMap/boxes": "segment.boxes"},
        Reason.UNKNOWN_STEP,
        "crop",
        "boxes",
        "no step segment",
        "the steps are classify, crop,",
    ),
    case(
        "a wire to a step that is spelt wrong",
        {f"{CROP}/inputMap/boxes": "dtect.boxes"},
        Reason.UNKNOWN_STEP,
        "crop",
        "boxes",
        "reads dtect.boxes",
        "did you mean detect?",
    ),
    case(
        "an output of a step that does not exist",
        {"outputs/0/from": "merge.text"},
        Reason.UNKNOWN_STEP,
        None,
        "text",
        "output text of the pipeline",
        "no step merge",
    ),
    case(
        "an output of a step that is spelt wrong",
        {"outputs/0/from": "joins.text"},
        Reason.UNKNOWN_STEP,
        None,
        "text",
        "did you mean join?",
    ),
    case(
        "a wire to an input that does not exist",
        {f"{CROP}/inputMap/image": "picture"},
        Reason.UNKNOWN_INPUT,
        "crop",
        "image",
        "no such input",
        "there are image and size",
    ),
    case(
        "a wire to an input that is spelt wrong",
        {f"{CROP}/inputMap/image": "images"},
        Reason.UNKNOWN_INPUT,
        "crop",
        "image",
        "reads images",
        "did you mean image?",
    ),
    case(
        "a wire that names a step and no tensor",
        {f"{CROP}/inputMap/boxes": "detect"},
        Reason.UNKNOWN_INPUT,
        "crop",
        "boxes",
        "write detect.TENSOR with the name of one",
    ),
    case(
        "a wire to a tensor without its step",
        {f"{CROP}/inputMap/boxes": "boxes"},
        Reason.UNKNOWN_INPUT,
        "crop",
        "boxes",
        "write STEP.TENSOR to read a step",
    ),
    case(
        "a model of the namespace that is not there",
        at(DETECT, model=ABSENT, modelRef={"name": "yolo"}),
        Reason.MODEL_NOT_FOUND,
        "detect",
        None,
        "InferenceModel yolo",
        "there are digits and resnet50",
    ),
    case(
        "a model of the namespace that is spelt wrong",
        at(DETECT, model=ABSENT, modelRef={"name": "resnet-50"}),
        Reason.MODEL_NOT_FOUND,
        "detect",
        None,
        "correct modelRef.name",
        "did you mean resnet50?",
    ),
)
CYCLES = (
    case(
        "a step that reads itself",
        {f"{DETECT}/inputMap/x": "detect.boxes"},
        Reason.CYCLE,
        "detect",
        "x",
        "detect → detect",
        "have its input x read something else",
    ),
    case(
        "two steps that read each other",
        {f"{CROP}/inputMap/boxes": "recognise.letters"},
        Reason.CYCLE,
        "crop",
        "boxes",
        "crop → recognise → crop",
        "than recognise.letters",
    ),
    case(
        "a long way round",
        {f"{PREPARE}/inputMap/size": "join.confidence"},
        Reason.CYCLE,
        "prepare",
        "size",
        "prepare → detect → crop →",
        "something else than join.confidence",
    ),
)
UNUSED = (
    case(
        "a step that nobody reads",
        at(JOIN, inputMap__turned="recognise.turned", model__config__input=ABSENT)
        | {f"{RECOGNISE}/model/config/output/1": tensor("turned", "FP32", 2)},
        Reason.UNUSED_STEP,
        "classify",
        None,
        "read classify.TENSOR, or remove the step",
    ),
    case(
        "a last step that is no output",
        {"outputs/0/from": "recognise.letters"},
        Reason.UNUSED_STEP,
        "join",
        None,
        "an output of the pipeline read join.TENSOR",
    ),
    case(
        "an input that nobody reads",
        {"inputs/2": {"name": "mask", "datatype": "BOOL", "shape": [-1, -1]}},
        Reason.UNUSED_INPUT,
        None,
        "mask",
        "inputMap read mask, or remove the input",
    ),
)
TENSORS = (
    case(
        "an input that the model does not have",
        {f"{CROP}/inputMap/mask": "detect.boxes"},
        Reason.UNKNOWN_TENSOR,
        "crop",
        "mask",
        "its inputs are boxes and image",
    ),
    case(
        "an input of the model that is spelt wrong",
        {f"{RECOGNISE}/inputMap/hint": "size"},
        Reason.UNKNOWN_TENSOR,
        "recognise",
        "hint",
        "did you mean hints?",
    ),
    case(
        "an input that nothing feeds",
        {f"{CROP}/inputMap/boxes": ABSENT, f"{JOIN}/inputMap/more": "detect.boxes"}
        | {f"{JOIN}/model/config/input/2": tensor("more", "FP32", -1, -1, 4)},
        Reason.MISSING_INPUT,
        "crop",
        "boxes",
        "add boxes to the step's inputMap",
    ),
    case(
        "an optional input that is not optional any more",
        {f"{RECOGNISE}/model/config/input/1": tensor("hints", "STRING", 1)},
        Reason.MISSING_INPUT,
        "recognise",
        "hints",
        "add hints to the step's inputMap",
    ),
    case(
        "an output that the model does not have",
        {f"{CROP}/inputMap/boxes": "detect.masks"},
        Reason.UNKNOWN_TENSOR,
        "crop",
        "boxes",
        "reads detect.masks",
        "its outputs are boxes",
    ),
    case(
        "an output of the model that is spelt wrong",
        {f"{CROP}/inputMap/boxes": "detect.box"},
        Reason.UNKNOWN_TENSOR,
        "crop",
        "boxes",
        "did you mean boxes?",
    ),
    case(
        "an output that nobody makes",
        {"outputs/0/from": "join.words"},
        Reason.UNKNOWN_TENSOR,
        None,
        "text",
        "step join has no output words",
        "confidence and text",
    ),
    case(
        "a name with dots that the model does not have",
        {f"{CROP}/inputMap/boxes": "detect.boxes.0"},
        Reason.UNKNOWN_TENSOR,
        "crop",
        "boxes",
        "detect.boxes.0",
        "did you mean boxes?",
    ),
    case(
        "a model that answers as often as it likes",
        {f"{DETECT}/model/config/model_transaction_policy": {"decoupled": True}},
        Reason.DECOUPLED,
        "detect",
        None,
        "without model_transaction_policy.decoupled",
    ),
)
TYPES = (
    case(
        "a mistyped wire",
        {f"{CROP}/model/config/input/1": tensor("boxes", "INT32", -1, -1, 4)},
        Reason.DATATYPE_MISMATCH,
        "crop",
        "boxes",
        "takes INT32, but detect.boxes is FP32",
        "or put a step between them that converts",
    ),
    case(
        "a mistyped input of the pipeline",
        {"inputs/1/datatype": "INT64"},
        Reason.DATATYPE_MISMATCH,
        "prepare",
        "size",
        "takes INT32, but size is INT64",
        "correct input size of the pipeline",
    ),
    case(
        "half precision where there is none",
        {f"{RECOGNISE}/model/config/input/0": tensor("x", "FP16", 3, 48, -1)},
        Reason.DATATYPE_MISMATCH,
        "recognise",
        "x",
        "takes FP16, but crop.lines is FP32",
        "TYPE_FP32",
    ),
    case(
        "strings where numbers are",
        {f"{JOIN}/model/config/input/0": tensor("turned", "STRING", -1, 2)},
        Reason.DATATYPE_MISMATCH,
        "join",
        "turned",
        "takes BYTES, but classify.turned is FP32",
    ),
    case(
        "an output that is stated otherwise",
        {"outputs/0/datatype": "FP32"},
        Reason.DATATYPE_MISMATCH,
        None,
        "text",
        "takes FP32, but join.text is BYTES",
        "TYPE_STRING",
    ),
    case(
        "an optional input that is fed with something else",
        {f"{RECOGNISE}/inputMap/hints": "classify.turned"}
        | {f"{RECOGNISE}/model/config/input/1": tensor("hints", "STRING", 2, optional=True)},
        Reason.DATATYPE_MISMATCH,
        "recognise",
        "hints",
        "takes BYTES, but classify.turned is FP32",
    ),
)
SHAPES = (
    case(
        "a misshapen wire",
        {f"{CROP}/model/config/input/1": tensor("boxes", "FP32", -1, -1, 8)},
        Reason.SHAPE_MISMATCH,
        "crop",
        "boxes",
        "takes [-1, -1, 8], but detect.boxes is [-1, -1, 4]",
        "or put a step between them that changes the shape",
    ),
    case(
        "a misshapen input of the pipeline",
        {"inputs/1/shape": [3]},
        Reason.SHAPE_MISMATCH,
        "prepare",
        "size",
        "takes [2], but size is [3]",
        "correct input size of the pipeline",
    ),
    case(
        "channels last where they are first",
        {f"{DETECT}/model/config/input/0": tensor("x", "FP32", -1, -1, 3)}
        | {f"{PREPARE}/model/config/output/0": tensor("x", "FP32", 1, 3, 640, 640)},
        Reason.SHAPE_MISMATCH,
        "detect",
        "x",
        "takes [-1, -1, -1, 3]",
        "prepare.x is [1, 3, 640, 640]",
    ),
    case(
        "lines of another height",
        {f"{RECOGNISE}/model/config/input/0": tensor("x", "FP32", 3, 32, -1)},
        Reason.SHAPE_MISMATCH,
        "recognise",
        "x",
        "takes [-1, 3, 32, -1]",
        "step crop states of lines",
    ),
    case(
        "too few dimensions",
        {f"{JOIN}/model/config/input/1": tensor("letters", "FP32", 97)},
        Reason.SHAPE_MISMATCH,
        "join",
        "letters",
        "takes [97]",
        "is [-1, -1, 97]",
    ),
    case(
        "an output that is stated in another shape",
        {"outputs/0/shape": [4, 4]},
        Reason.SHAPE_MISMATCH,
        None,
        "text",
        "takes [4, 4], but join.text is [-1]",
    ),
    case(
        "a dimension too many",
        {f"{CROP}/model/config/output/0": tensor("lines", "FP32", 9, 9, 3, 48, -1)}
        | {f"{CLASSIFY}/model/config/input/0/dims": [9, 3, 48, -1]},
        Reason.SHAPE_MISMATCH,
        "recognise",
        "x",
        "crop.lines is [9, 9, 3, 48, -1]",
    ),
)
BATCHES = (
    case(
        "a step without a batch dimension behind one that has one",
        {f"{JOIN}/model/config/input/0": tensor("turned", "FP32", 2)},
        Reason.BATCH_MISMATCH,
        "join",
        "turned",
        "takes [2], one row, but classify.turned is [-1, 2]",
        "put -1 in front of the dimensions",
    ),
    case(
        "a model that never batches, stated so",
        {f"{CLASSIFY}/model/config/max_batch_size": 0}
        | {f"{CLASSIFY}/model/config/output/0/dims": [-1, 2]},
        Reason.BATCH_MISMATCH,
        "classify",
        "x",
        "takes [3, 48, -1], but crop.lines is [-1, 3, 48, -1]",
        "with max_batch_size 0 where",
    ),
    case(
        "rows in the pipeline's input and none in the model's",
        {"inputs/1/shape": [-1, 2]},
        Reason.BATCH_MISMATCH,
        "prepare",
        "size",
        "takes [2], but size is [-1, 2]",
        "size has a dimension for rows, input size of step prepare has none",
    ),
    case(
        "rows in the model and none in the pipeline's input",
        {f"{PREPARE}/model/config/input/1": tensor("size", "INT32", -1, 2)},
        Reason.BATCH_MISMATCH,
        "prepare",
        "size",
        "takes [-1, 2], but size is [2]",
        "input size of step prepare has a dimension for rows, size has none",
    ),
    case(
        "an output of one row where a step gives many",
        {"outputs/1": {"name": "turned", "from": "classify.turned", "shape": [2]}},
        Reason.BATCH_MISMATCH,
        None,
        "turned",
        "takes [2], one row",
        "before step classify",
    ),
)
MALFORMED = (*NAMES, *WIRES, *CYCLES, *UNUSED, *TENSORS, *TYPES, *SHAPES, *BATCHES)


def faults(changes, models=("resnet50", "digits")):
    read = ocr.pipeline(ocr.changed(changes))
    return validation.faults(read, ocr.known(read), models)


def test_a_pipeline_that_is_right_has_no_fault():
    assert faults({}) == ()


def test_there_are_enough_malformed_pipelines():
    assert len(MALFORMED) >= 40


@pytest.mark.parametrize(("changes", "reason", "step", "tensor", "words"), MALFORMED)
def test_a_malformed_pipeline_is_refused_with_step_tensor_and_remedy(
    changes, reason, step, tensor, words
):
    found = faults(changes)
    print(*(each.message for each in found), sep="\n")
    (fault,) = found
    assert (fault.reason, fault.step) == (reason, step)
    if tensor is not None:
        assert fault.tensor == tensor
        assert tensor in fault.message
    assert (step or "pipeline") in fault.message
    assert [text for text in words if text not in fault.message] == []


def test_what_is_not_known_is_no_fault():
    """Each step's model in turn is one of which nobody has said anything."""
    read = ocr.pipeline(ocr.SPEC)
    for name in ocr.known(read):
        unknown = {**ocr.known(read), name: Signature()}
        assert validation.faults(read, unknown) == ()
    assert validation.faults(read, {}) == ()


def test_models_of_a_namespace_that_are_not_known_yet_are_no_fault():
    changes = at(DETECT, model=ABSENT, modelRef={"name": "yolo"})
    assert faults(changes, None) == ()
    (fault,) = faults(changes, ())
    assert fault.message.endswith("or state model")


def test_one_row_of_a_step_that_batches_is_no_fault_where_only_one_can_come():
    """Sizes come as one row; what follows takes the row back without a batch dimension."""
    sizes = ocr.step(
        "sizes", {"x": "size"}, [tensor("x", "INT32", 2)], [tensor("y", "INT32", 2)], bound=4
    )
    more = ocr.step(
        "more", {"x": "sizes.y"}, [tensor("x", "INT32", 2)], [tensor("y", "INT32", 2)], bound=2
    )
    changes = {"steps/6": sizes, "steps/7": more, f"{PREPARE}/inputMap/size": "more.y"}
    assert faults(changes) == ()
    assert [each.step for each in faults({**changes, "inputs/1/shape": [-1, 2]})] == ["prepare"]


def test_faults_that_have_others_follow_are_told_alone():
    """The step that is misspelt would be unused besides, and the mistyped wire is not reached."""
    found = faults(
        {f"{CROP}/inputMap/boxes": "dtect.boxes", "inputs/1/datatype": "INT64"}
        | {"outputs/0/from": "jion.text"}
    )
    assert [each.reason for each in found] == [Reason.UNKNOWN_STEP, Reason.UNKNOWN_STEP]


def test_a_fault_is_told_in_status_word_for_word():
    (fault,) = faults({"inputs/1/datatype": "INT64"})
    assert fault.as_status().as_dict() == {
        "reason": "DatatypeMismatch",
        "step": "prepare",
        "tensor": "size",
        "message": fault.message,
    }


def test_a_tensor_of_any_name_is_told_in_status():
    tensor = "x\x1b" + "9" * 400
    told = PipelineFault(Reason.MISSING_INPUT, "words", "detect", tensor).as_status()
    assert told.tensor is not None
    assert told.tensor.startswith("x\\u001b999")
    assert len(told.tensor) == MOST_FAULTY_NAME


def test_of_many_names_a_message_lists_some():
    models = [f"model-{number:02}" for number in range(20)]
    (fault,) = faults(at(DETECT, model=ABSENT, modelRef={"name": "yolo"}), models)
    assert fault.message.endswith("there are " + ", ".join(models[:8]) + " and 12 more")


def test_steps_of_one_name_are_a_fault_of_names():
    """The API server lets none in; a file and an object from before may have them."""
    steps = [factories.pipeline_step("read", "image"), factories.pipeline_step("read", "image")]
    (fault,) = validation.faults(factories.pipeline(steps=steps), {})
    assert (fault.reason, fault.step) == (Reason.NAME_CLASH, "read")
    assert "2 steps are named read" in fault.message
    assert Graph.of(factories.pipeline(steps=steps).spec).order == ("read",)


def test_a_step_without_a_model_is_a_fault():
    """The API server lets none in; a file and an object from before may have one."""
    step = factories.pipeline_step("read", "image", model=None)
    (fault,) = validation.faults(factories.pipeline(steps=[step]), {}, ())
    assert (fault.reason, fault.step) == (Reason.MODEL_NOT_FOUND, "read")
    assert fault.message == "step read has no model: state model"
