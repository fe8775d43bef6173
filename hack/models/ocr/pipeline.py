"""The OCR pipeline as a person states it, and as a model repository on this machine."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from ferryman.api.names import API_VERSION
from ferryman.api.pipelines.inference_pipeline import InferencePipeline
from ferryman.clients import pbtxt
from ferryman.core.pipelines import signatures
from ferryman.core.pipelines.assembly import ensemble_of
from ferryman.core.pipelines.validation import faults
from hack.models.ocr import parts

NAME: Final = "ocr"
#: The image of the three Python steps, and those of the networks.
CODE: Final = "ocr-steps"
IMAGES: Final = {step: f"ocr-{step}" for step in parts.NETWORKS}
#: What the recogniser tells apart: 6,623 characters, the blank and a space.
CHARACTERS: Final = 6_625

_PAGE: Final = ("UINT8", [-1, -1, 3])
_HEADS: Final = ("FP32", [-1, 3, 48, 192])
_LINES: Final = ("FP32", [-1, 3, 48, -1])
_FOUND: Final = ("FP32", [-1, 1, -1, -1])
_READ: Final = ("FP32", [-1, -1, CHARACTERS])
_TURNED: Final = ("FP32", [-1, 2])
_ROWS: Final = ("INT32", [-1])

Tensors = Mapping[str, tuple[str, list[int]]]


def spec(uri: Callable[[str], str], objectives: Mapping[str, Any]) -> dict[str, Any]:
    """Return the specification, with the images where ``uri`` says they are."""

    def step(name: str, reads: dict[str, str], inputs: Tensors, outputs: Tensors) -> dict[str, Any]:
        network = name in parts.NETWORKS
        # One thread: workers beside each other, and not within one, share the processors.
        own = {"intra_op_thread_count": "1"} if network else {"step": name}
        model = {
            "storageUri": uri(IMAGES.get(name, CODE)),
            "modelFormat": {"name": "onnx" if network else "python"},
            "config": {
                "max_batch_size": 0,  # a page's lines are a batch already, of any number
                "input": _tensors(inputs),
                "output": _tensors(outputs),
                "parameters": {key: {"string_value": value} for key, value in own.items()},
            },
        }
        return {"name": name, "model": model, "inputMap": reads}

    found, turned, read = (
        "sigmoid_0.tmp_0",
        "save_infer_model/scale_0.tmp_1",
        "softmax_11.tmp_0",
    )
    return {
        "inputs": [{"name": "page", "datatype": _PAGE[0], "shape": _PAGE[1]}],
        "steps": [
            step("prepare", {"page": "page"}, {"page": _PAGE}, {"x": ("FP32", [1, 3, -1, -1])}),
            step("detect", {"x": "prepare.x"}, {"x": ("FP32", [-1, 3, -1, -1])}, {found: _FOUND}),
            step(
                "crop",
                {"page": "page", "found": f"detect.{found}"},
                {"page": _PAGE, "found": _FOUND},
                {"lines": _LINES, "heads": _HEADS, "rows": _ROWS},
            ),
            step("classify", {"x": "crop.heads"}, {"x": _HEADS}, {turned: _TURNED}),
            step("recognise", {"x": "crop.lines"}, {"x": _LINES}, {read: _READ}),
            step(
                "join",
                {
                    "read": f"recognise.{read}",
                    "turned": f"classify.{turned}",
                    "rows": "crop.rows",
                },
                {"read": _READ, "turned": _TURNED, "rows": _ROWS},
                {"text": ("STRING", [1]), "confidence": ("FP32", [1])},
            ),
        ],
        "outputs": [
            {"name": "text", "from": "join.text"},
            {"name": "confidence", "from": "join.confidence"},
        ],
        "runtimeRef": {"name": "triton-cpu"},
        "objectives": dict(objectives),
    }


def manifest(namespace: str, spec: Mapping[str, Any], name: str = NAME) -> dict[str, Any]:
    """Return the InferencePipeline."""
    return {
        "apiVersion": API_VERSION,
        "kind": InferencePipeline.resource.kind,
        "metadata": {"name": name, "namespace": namespace},
        "spec": dict(spec),
    }


def resource() -> InferencePipeline:
    """Return the pipeline, of files that lie nowhere."""
    return InferencePipeline.model_validate(manifest("default", _stated()))


def _stated() -> dict[str, Any]:
    return spec(lambda _: "pvc://none/none", {"throughput": {"minPerSecond": 1}})


def write(repository: Path, instances: Mapping[str, int] | None = None) -> None:
    """Write the steps, with so many workers each, and the ensemble.

    What is stated is the specification's, and so is the check: raises ValueError for faults.
    """
    stated, pipeline = _stated(), resource()
    known = {step["name"]: signatures.of_config(_config(step)) for step in stated["steps"]}
    wrong = faults(pipeline, known)
    ensemble = wrong or ensemble_of(pipeline, known)
    if not isinstance(ensemble, Mapping):
        raise ValueError("; ".join(fault.message for fault in ensemble))  # noqa: TRY004  its value
    for step in stated["steps"]:
        name = step["name"]
        if name in parts.NETWORKS:
            parts.write_network(name, repository / name)
        else:
            parts.write_code(repository / name, link=True)
        text = step_config(step, (instances or {}).get(name, 1))
        (repository / name / "config.pbtxt").write_text(text)
    (repository / NAME / "1").mkdir(parents=True)
    (repository / NAME / "config.pbtxt").write_text(pbtxt.encode(ensemble))


def step_config(step: Mapping[str, Any], instances: int) -> str:
    """Return the config.pbtxt of a step with so many workers."""
    backend = "onnxruntime" if step["name"] in parts.NETWORKS else "python"
    workers = [{"count": instances, "kind": "KIND_CPU"}]
    return pbtxt.encode({**_config(step), "backend": backend, "instance_group": workers})


def _config(step: Mapping[str, Any]) -> dict[str, Any]:
    return {**step["model"]["config"], "name": step["name"]}


def _tensors(stated: Tensors) -> list[dict[str, Any]]:
    return [
        {"name": name, "data_type": f"TYPE_{datatype}", "dims": dims}
        for name, (datatype, dims) in stated.items()
    ]
