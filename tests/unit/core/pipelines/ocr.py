"""A pipeline that reads text from pictures, and how to change it: a dotted path and a value."""

import copy

from ferryman.api.pipelines.inference_pipeline import InferencePipeline
from ferryman.core.pipelines import signatures

ABSENT = object()


def tensor(name, kind, *dims, **more):
    return {"name": name, "data_type": f"TYPE_{kind}", "dims": list(dims), **more}


def step(name, reads, inputs, outputs, bound=0, **more):
    config = {"max_batch_size": bound, "input": inputs, "output": outputs}
    source = {"storageUri": "pvc://ocr", "modelFormat": {"name": "onnx"}, "config": config}
    return {"name": name, "model": source, "inputMap": reads, **more}


SPEC = {
    "inputs": [
        {"name": "image", "datatype": "UINT8", "shape": [-1, -1, 3]},
        {"name": "size", "datatype": "INT32", "shape": [2]},
    ],
    "steps": [
        step(
            "prepare",
            {"image": "image", "size": "size"},
            [tensor("image", "UINT8", -1, -1, 3), tensor("size", "INT32", 2)],
            [tensor("x", "FP32", 1, 3, -1, -1)],
        ),
        step(
            "detect",
            {"x": "prepare.x"},
            [tensor("x", "FP32", 3, -1, -1)],
            [tensor("boxes", "FP32", -1, 4)],
            bound=8,
        ),
        step(
            "crop",
            {"image": "image", "boxes": "detect.boxes"},
            [tensor("image", "UINT8", -1, -1, 3), tensor("boxes", "FP32", -1, -1, 4)],
            [tensor("lines", "FP32", -1, 3, 48, -1), tensor("count", "INT64", 1)],
        ),
        step(
            "classify",
            {"x": "crop.lines"},
            [tensor("x", "FP32", 3, 48, -1)],
            [tensor("turned", "FP32", 2)],
            bound=16,
        ),
        step(
            "recognise",
            {"x": "crop.lines"},
            [tensor("x", "FP32", 3, 48, -1), tensor("hints", "STRING", 1, optional=True)],
            [tensor("letters", "FP32", -1, 97)],
            bound=16,
        ),
        step(
            "join",
            {"turned": "classify.turned", "letters": "recognise.letters"},
            [tensor("turned", "FP32", -1, 2), tensor("letters", "FP32", -1, -1, 97)],
            [tensor("text", "STRING", -1), tensor("confidence", "FP32", -1)],
        ),
    ],
    "outputs": [{"name": "text", "from": "join.text"}],
    "runtimeRef": {"name": "triton"},
    "objectives": {"latency": {"targetMilliseconds": 800}},
}
PREPARE, DETECT, CROP, CLASSIFY, RECOGNISE, JOIN = (f"steps/{n}" for n in range(6))


def changed(changes=None, spec=None):
    """Return the specification with values set by their paths."""
    document = copy.deepcopy(SPEC if spec is None else spec)
    for path, value in (changes or {}).items():
        *parents, last = path.split("/")
        place = document
        for part in parents:
            place = place[int(part)] if isinstance(place, list) else place.setdefault(part, {})
        if value is ABSENT:
            del place[int(last) if isinstance(place, list) else last]
        elif isinstance(place, list):
            place[int(last) :] = [value, *place[int(last) + 1 :]]
        else:
            place[last] = value
    return document


def pipeline(spec, name="ocr"):
    return InferencePipeline.model_validate({"metadata": {"name": name}, "spec": spec})


def known(read):
    """Return what the steps' own configurations say."""
    return {
        each.name: signatures.of_overlay(each.model.config)
        for each in read.spec.steps
        if each.model is not None
    }
