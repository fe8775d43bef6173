"""An ensemble as an InferencePipeline: its steps and wires are those of ``ensemble_scheduling``."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from ferryman.api.pipelines.inference_pipeline import InferencePipeline
from ferryman.core.importing import manifest as manifests
from ferryman.core.importing import patterns
from ferryman.core.importing.outcome import Findings, Json, NotImportableError, Request
from ferryman.core.importing.triton import model
from ferryman.core.importing.triton.model import StoredModel
from ferryman.core.pipelines import signatures, validation
from ferryman.core.triton.datatypes import DATATYPES

_MOST_STEP_NAME: Final = 40
_MOST_TENSOR_NAME: Final = 63
_NO_TENSOR_NAME: Final = re.compile(r"[^A-Za-z0-9_-]")
#: Of an ensemble's configuration: what the pipeline says in its way.
_READ: Final = frozenset(
    {"name", "platform", "backend", "input", "output", "max_batch_size", "ensemble_scheduling"}
)
_STEP_READ: Final = frozenset({"model_name", "input_map", "output_map"})
_STEP_ADVICE: Final = {
    "model_version": "a step has the version that its files say: have its storageUri hold that "
    "alone",
}
_LATEST: Final = -1


def members(stored: StoredModel) -> frozenset[str]:
    """Return the models that an ensemble puts together."""
    return frozenset(map(_called, _steps(stored)))


def manifest(
    stored: StoredModel, others: Mapping[str, StoredModel], asked: Request, findings: Findings
) -> Json:
    """Return the InferencePipeline of an ensemble. Raises NotImportableError."""
    steps = _steps(stored)
    if not steps or not stored.stated.get("input") or not stored.stated.get("output"):
        raise NotImportableError("the ensemble states no step, input or output: there must be one")
    _note_the_rest(stored, steps, findings)
    names = _step_names(steps)
    inputs = _own_tensors(stored.stated.get("input", []), findings, "input")
    outputs = _own_tensors(stored.stated.get("output", []), findings, "output")
    made = _made(names, steps, inputs)
    batched = bool(stored.stated.get("max_batch_size"))
    written = [
        _step(name, step, _member(_called(step), others, asked, findings), inputs | made, findings)
        for name, step in zip(names, steps, strict=True)
    ]
    spec = {
        "inputs": [
            {"name": inputs[str(each.get("name"))], **_described(each, batched=batched)}
            for each in stored.stated.get("input", [])
        ],
        "steps": written,
        "outputs": [
            {
                "name": outputs[str(each.get("name"))],
                "from": _wire(made, str(each.get("name")), "as an output"),
                **_described(each, batched=batched),
            }
            for each in stored.stated.get("output", [])
        ],
        "balancing": {"mode": "Fixed"},
    }
    body = manifests.pipeline({"name": model.renamed(stored.name, findings)}, asked, spec)
    _expect_sound(body)
    return body


def _steps(stored: StoredModel) -> Sequence[Mapping[str, Any]]:
    found: Sequence[Mapping[str, Any]] = stored.stated.get("ensemble_scheduling", {}).get(
        "step", []
    )
    return found


def _called(step: Mapping[str, Any]) -> str:
    return str(step.get("model_name", ""))


def _note_the_rest(
    stored: StoredModel, steps: Sequence[Mapping[str, Any]], findings: Findings
) -> None:
    for key in stored.stated:
        if key not in _READ:
            findings.leave_out(
                key, "a pipeline has nothing of the kind: its steps have, in their config"
            )
    for index, step in enumerate(steps):
        for key, value in step.items():
            if key not in _STEP_READ and (key, value) != ("model_version", _LATEST):
                advice = _STEP_ADVICE.get(key, "a step has nothing of the kind")
                findings.leave_out(f"ensemble_scheduling.step[{index}].{key}", advice)


def _step_names(steps: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return a name for each step; a model that runs twice is two steps."""
    found: list[str] = []
    for step in steps:
        plain = patterns.object_name(_called(step), _MOST_STEP_NAME - 3)
        tries = (plain if i == 0 else f"{plain}-{i + 1}" for i in range(len(steps) + 1))
        found.append(next(name for name in tries if name not in found))
    return found


def _made(
    names: Sequence[str], steps: Sequence[Mapping[str, Any]], inputs: Mapping[str, str]
) -> dict[str, str]:
    """Return for each tensor of the ensemble that a step makes how a wire reads it."""
    found: dict[str, str] = {}
    for name, step in zip(names, steps, strict=True):
        for output, tensor in step.get("output_map", {}).items():
            if tensor in found or tensor in inputs:
                raise NotImportableError(f"two make the tensor {tensor}: give each a name")
            found[tensor] = f"{name}.{output}"
    return found


def _own_tensors(
    entries: Sequence[Mapping[str, Any]], findings: Findings, field: str
) -> dict[str, str]:
    """Return for each of the ensemble's own tensors a name that a pipeline's may have."""
    found: dict[str, str] = {}
    for index, entry in enumerate(entries):
        tensor = str(entry.get("name", ""))
        if tensor in found:
            raise NotImportableError(f"{field} {tensor} of the ensemble is there twice")
        plain = _NO_TENSOR_NAME.sub("_", tensor)[: _MOST_TENSOR_NAME - 4]
        plain = plain if plain[:1].isalpha() or plain[:1] == "_" else f"_{plain}"
        tries = (plain if i == 0 else f"{plain}_{i}" for i in range(len(found) + 1))
        found[tensor] = next(name for name in tries if name not in found.values())
        if found[tensor] != tensor:
            findings.change(
                f"{field}[{index}].name", f"it is called {found[tensor]}: clients must name it so"
            )
    return found


def _described(entry: Mapping[str, Any], *, batched: bool) -> Json:
    """Return a tensor's type and whole shape. Raises NotImportableError where one is missing."""
    datatype, dims = DATATYPES.get(str(entry.get("data_type"))), list(_sizes(entry))
    if datatype is None or not (dims or batched) or 0 in dims:
        raise NotImportableError(
            f"the ensemble's tensor {entry.get('name')} has no data_type, or no dims, which a "
            "pipeline states: complete config.pbtxt"
        )
    return {"datatype": datatype, "shape": [-1, *dims] if batched else dims}


def _sizes(entry: Mapping[str, Any]) -> Iterator[int]:
    """Yield what clients send: a reshape is the model's own business."""
    yield from map(int, entry.get("dims", []))


def _wire(wires: Mapping[str, str], tensor: str, reader: str) -> str:
    if tensor not in wires:
        raise NotImportableError(f"its tensor {tensor} is read {reader}, but nothing makes it")
    return wires[tensor]


def _member(
    called: str, others: Mapping[str, StoredModel], asked: Request, findings: Findings
) -> model.ModelPart:
    """Return what is stated of a step's model. Raises NotImportableError."""
    stored = others.get(called)
    if stored is None:
        raise NotImportableError(
            f"its step {called} is not in the repository: import the folder that has it"
        )
    if stored.problem:
        raise NotImportableError(f"its step {called} cannot be imported: {stored.problem}")
    if stored.is_ensemble:
        raise NotImportableError(
            f"its step {called} is an ensemble: put that one's steps in its place, since a "
            "pipeline's steps are models"
        )
    own = Findings()
    found = model.part(stored, asked, own)
    for each in own.left_out:
        findings.left_out.append(replace(each, path=f"{called}: {each.path}"))
    findings.hints += [f"{called}: {each}" for each in own.hints]
    return found


def _step(
    name: str,
    step: Mapping[str, Any],
    found: model.ModelPart,
    wires: Mapping[str, str],
    findings: Findings,
) -> Json:
    called = _called(step)
    reads = {
        tensor: _wire(wires, read, f"by step {called}")
        for tensor, read in step.get("input_map", {}).items()
    }
    written: Json = {"name": name, "model": found.source, "inputMap": reads}
    return written | _balance(called, found, findings)


def _balance(called: str, found: model.ModelPart, findings: Findings) -> Json:
    """Return where balancing begins, with the limits that leave room for it."""
    initial: Json = {"instances": found.instances}
    if found.initial is not None:
        initial["maxBatchSize"] = found.initial["maxBatchSize"]
        if found.initial["maxQueueDelayMicroseconds"]:
            findings.leave_out(
                f"{called}: dynamic_batching.max_queue_delay_microseconds",
                "a pipeline's steps wait for nobody: what is there is batched",
            )
    limits = manifests.limits_for(initial)
    return {"initial": initial, **({"limits": limits} if limits else {})}


def _expect_sound(body: Json) -> None:
    """Raise NotImportableError, in the operator's words, for a graph that it would refuse."""
    pipeline = InferencePipeline.model_validate(body)
    known = {
        step.name: signatures.of_overlay(step.model.config)
        for step in pipeline.spec.steps
        if step.model is not None
    }
    for fault in validation.faults(pipeline, known):
        raise NotImportableError(fault.message)
