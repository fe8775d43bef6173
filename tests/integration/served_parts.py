"""A model that `ferryman split` has cut, in the model repository of a real tritonserver."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from ferryman.api.pipelines.inference_pipeline import InferencePipeline
from ferryman.clients import pbtxt
from ferryman.core.pipelines import assembly, signatures, validation


def serve(repository: Path, folder: Path) -> str:
    """Move the parts into a model repository, with an ensemble of them; return its name.

    Steps get names that those of no other pipeline have. Configurations are those that the
    pipeline's file states.
    """
    text = (folder / "pipeline.yaml").read_text(encoding="utf-8")
    body = yaml.safe_load(text.replace("part-", f"{folder.name}-"))
    pipeline = InferencePipeline.model_validate(body)
    models = {step.name: step.model for step in pipeline.spec.steps if step.model is not None}
    known = {name: signatures.of_overlay(model.config) for name, model in models.items()}
    assert validation.faults(pipeline, known) == ()
    ensemble = assembly.ensemble_of(pipeline, known)
    assert isinstance(ensemble, dict), ensemble
    _write(repository / pipeline.triton_name, ensemble).joinpath("1").mkdir()
    for number, (name, model) in enumerate(models.items(), start=1):
        config = {"max_batch_size": 8, **model.config, "name": name, "backend": "onnxruntime"}
        config["instance_group"] = [{"count": 1, "kind": "KIND_CPU"}]
        (folder / f"part-{number}" / "1").rename(_write(repository / name, config) / "1")
    return pipeline.triton_name


def _write(folder: Path, config: dict[str, Any]) -> Path:
    folder.mkdir(parents=True)
    (folder / "config.pbtxt").write_text(pbtxt.encode(config), encoding="utf-8")
    return folder
