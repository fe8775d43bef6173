"""Steps of pipelines that calculate, so that an answer tells which tensors went where.

A step's operation is a parameter of its configuration: `double` and `add` keep the rows that they
get, `spread` makes n rows of the number n, `total` makes one number of any number of rows.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ferryman.api.base import Metadata
from ferryman.api.pipelines.inference_pipeline import InferencePipeline
from ferryman.clients import pbtxt
from ferryman.core.pipelines import assembly, signatures, validation
from ferryman.core.pipelines.signatures import Signature
from ferryman.core.triton.ensemble import with_timeout

SCRIPT = Path(__file__).with_name("arithmetic_model.py")


def tensors(names: str, dims: list[int]) -> list[dict[str, Any]]:
    return [{"name": name, "data_type": "TYPE_FP32", "dims": dims} for name in names.split()]


def step(
    name: str,
    operation: str,
    reads: dict[str, str],
    dims: list[int],
    out_dims: list[int] | None = None,
    bound: int = 0,
    outputs: str = "y",
    sleep_ms: int = 0,
) -> dict[str, Any]:
    """Return a step of the specification; `dims` are without the batch dimension."""
    config = {
        "max_batch_size": bound,
        "input": tensors(" ".join(reads), dims),
        "output": tensors(outputs, dims if out_dims is None else out_dims),
        "instance_group": [{"count": 1, "kind": "KIND_CPU"}],
        "parameters": {
            "operation": {"string_value": operation},
            "sleep_ms": {"string_value": str(sleep_ms)},
        },
    }
    if bound:
        config["dynamic_batching"] = {}
    source = {"storageUri": "pvc://steps", "modelFormat": {"name": "python"}, "config": config}
    return {"name": name, "model": source, "inputMap": reads}


def pipeline(
    name: str, shape: list[int], steps: list[dict[str, Any]], outputs: dict[str, str]
) -> InferencePipeline:
    """Return a pipeline that takes one tensor, `x`."""
    spec = {
        "inputs": [{"name": "x", "datatype": "FP32", "shape": shape}],
        "steps": steps,
        "outputs": [{"name": key, "from": wire} for key, wire in outputs.items()],
        "runtimeRef": {"name": "triton"},
        "objectives": {"latency": {"targetMilliseconds": 800}},
    }
    return InferencePipeline.model_validate({"metadata": Metadata(name=name), "spec": spec})


def known(served: InferencePipeline) -> dict[str, Signature]:
    """Return what the steps' configurations say of their tensors."""
    return {
        each.name: signatures.of_overlay(each.model.config)
        for each in served.spec.steps
        if each.model is not None
    }


def write(
    repository: Path,
    served: InferencePipeline,
    timeouts_us: dict[str, int] | None = None,
    *,
    faulty: bool = False,
) -> None:
    """Write a pipeline and its steps into a model repository, as Ferryman configures them."""
    assert faulty or validation.faults(served, known(served)) == ()
    ensemble = assembly.ensemble_of(served, known(served))
    assert isinstance(ensemble, dict), ensemble
    _folder(repository, served.triton_name, ensemble)
    for each in served.spec.steps:
        assert each.model is not None
        config = {**each.model.config, "name": each.name, "backend": "python"}
        timeout_us = (timeouts_us or {}).get(each.name, 0)
        folder = _folder(repository, each.name, with_timeout(config, timeout_us, forked=True))
        (folder / "model.py").write_text(SCRIPT.read_text())


def _folder(repository: Path, name: str, config: dict[str, Any]) -> Path:
    version = repository / name / "1"
    version.mkdir(parents=True, exist_ok=True)
    (repository / name / "config.pbtxt").write_text(pbtxt.encode(config))
    return version
