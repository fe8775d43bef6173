"""The InferencePipeline of a model's parts, as a file that people complete."""

import re
from collections.abc import Iterable, Sequence
from typing import Any, Final

import yaml

from ferryman.api import names, resources
from ferryman.api.pipelines.inference_pipeline import InferencePipeline
from ferryman.cli.onnx.probing import Observed, Probe
from ferryman.core.splitting.segments import Segment
from ferryman.core.splitting.tensors import Dim
from ferryman.core.triton.datatypes import CONFIG_TYPES

NAME: Final = "pipeline.yaml"
HEADER: Final = """\
# A model in {parts} steps. Before it is applied: put each step's folder where its storageUri says,
# and state the runtime and the objectives that are meant: those here only stand for them.
"""
_NO_TENSOR_NAME: Final = re.compile(r"[^A-Za-z0-9_-]")
_NO_OBJECT_NAME: Final = re.compile(r"[^a-z0-9]+")
_LONGEST_NAME: Final = 63
_STEP_PREFIX: Final = "part-"

Json = dict[str, Any]


def step_name(index: int) -> str:
    """Return the name of a step; people count from 1."""
    return f"{_STEP_PREFIX}{index + 1}"


def manifest(name: str, probe: Probe, segments: Sequence[Segment], storage_uri: str) -> str:
    """Return the file that states the parts as a pipeline."""
    makers = {n: step_name(i) for i, part in enumerate(segments) for n in part.outputs}
    read = dict.fromkeys(name for part in segments for name in part.inputs)
    answered = [name for part in segments for name in part.outputs if name in probe.outputs]
    # In Triton an output that is named like an input is one tensor with it.
    own = _own_names([*read, *answered])
    inputs = {name: own[name] for name in read}
    wires = inputs | {name: f"{step}.{name}" for name, step in makers.items()}
    body = {
        "apiVersion": names.API_VERSION,
        "kind": resources.INFERENCE_PIPELINE.kind,
        "metadata": {"name": _object_name(name)},
        "spec": {
            "inputs": [
                {"name": plain, **_described(probe.tensors[tensor])}
                for tensor, plain in inputs.items()
            ],
            "steps": [
                _step(index, part, probe, wires, f"{storage_uri}/{step_name(index)}")
                for index, part in enumerate(segments)
            ],
            "outputs": [{"name": own[name], "from": wires[name]} for name in answered],
            "runtimeRef": {"name": "triton-cpu"},
            "objectives": {"throughput": {"minPerSecond": 1}},
        },
    }
    # What is written must be what the operator reads.
    InferencePipeline.model_validate(body)
    text: str = yaml.safe_dump(body, sort_keys=False, default_flow_style=None, width=100)
    return HEADER.format(parts=len(segments)) + text


def _step(index: int, part: Segment, probe: Probe, wires: Json, storage_uri: str) -> Json:
    taken = (*part.inputs, *part.received)
    config: Json = {} if probe.batched else {"max_batch_size": 0}
    config["input"] = [_configured(name, probe) for name in taken]
    config["output"] = [_configured(name, probe) for name in part.outputs]
    return {
        "name": step_name(index),
        "model": {
            "storageUri": storage_uri,
            "modelFormat": {"name": "onnx"},
            "config": config,
        },
        "inputMap": {name: wires[name] for name in taken},
    }


def _described(seen: Observed) -> Json:
    return {"datatype": seen.described.datatype, "shape": _sizes(seen.dims or ())}


def _configured(name: str, probe: Probe) -> Json:
    """Return a tensor as Triton's configuration has it: without the rows of a batch."""
    seen = probe.tensors[name]
    dims = _sizes((seen.dims or ())[1 if probe.batched else 0 :])
    # A tensor has a dimension at least: one number a row is a list of one.
    reshaped = {} if dims else {"dims": [1], "reshape": {"shape": []}}
    return {
        "name": name,
        "data_type": CONFIG_TYPES[seen.described.datatype or ""],
        "dims": dims,
        **reshaped,
    }


def _sizes(dims: Iterable[Dim]) -> list[int]:
    return [size if isinstance(size, int) else -1 for size in dims]


def _own_names(tensors: Iterable[str]) -> dict[str, str]:
    """Return for each tensor of the model a name that a pipeline's own tensors may have."""
    found: dict[str, str] = {}
    for tensor in dict.fromkeys(tensors):
        plain = _NO_TENSOR_NAME.sub("_", tensor)[: _LONGEST_NAME - 4]
        plain = plain if plain[:1].isalpha() or plain.startswith("_") else f"_{plain}"
        taken = set(found.values())
        tries = (plain if i == 0 else f"{plain}_{i}" for i in range(len(found) + 1))
        found[tensor] = next(name for name in tries if name not in taken)
    return found


def _object_name(name: str) -> str:
    plain = _NO_OBJECT_NAME.sub("-", name.lower()).strip("-")
    # A pipeline must not be named like a step of its own.
    if not plain[:1].isalpha() or plain.startswith(_STEP_PREFIX):
        plain = f"model-{plain}"
    return plain[: resources.MODEL_NAME_MAX].strip("-")
