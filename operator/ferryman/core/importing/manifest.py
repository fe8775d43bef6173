"""The objects that are printed: only what is stated, and nothing that the API would refuse."""

from collections.abc import Mapping
from typing import Final

from pydantic import ValidationError

from ferryman.api import names, resources
from ferryman.api.batching import BatchingLimits
from ferryman.api.inference_model import InferenceModel
from ferryman.api.pipelines.inference_pipeline import InferencePipeline
from ferryman.core.importing.outcome import Json, NotImportableError, Request

_DEFAULTS: Final = BatchingLimits()
# What a schema of Triton's messages allows (hack/generate/messages.py).
_MOST_ITEMS: Final = 256
_MOST_FIELDS: Final = 128
_MOST_CHARACTERS: Final = 4096


def model(metadata: Json, asked: Request, spec: Json) -> Json:
    """Return an InferenceModel. Raises NotImportableError for what the API does not take."""
    body = _object(resources.INFERENCE_MODEL.kind, metadata, {"model": spec["model"]}, asked, spec)
    _expect(InferenceModel, body)
    return body


def pipeline(metadata: Json, asked: Request, spec: Json) -> Json:
    """Return an InferencePipeline. Raises NotImportableError for what the API does not take."""
    first = {key: spec[key] for key in ("inputs", "steps", "outputs")}
    body = _object(resources.INFERENCE_PIPELINE.kind, metadata, first, asked, spec)
    _expect(InferencePipeline, body)
    return body


def limits_for(initial: Mapping[str, int]) -> Json:
    """Return limits that a batching lies within; none of those that the defaults reach."""
    most = {
        "maxBatchSize": _DEFAULTS.max_batch_size.max,
        "maxQueueDelayMicroseconds": _DEFAULTS.max_queue_delay_microseconds.max,
        "instances": _DEFAULTS.instances.max,
    }
    return {
        key: {"max": initial[key]} for key, limit in most.items() if initial.get(key, 0) > limit
    }


def expect_stored(value: object, path: str) -> None:
    """Raise NotImportableError for a part of a configuration that is larger than is stored."""
    size = len(value) if isinstance(value, str | list | dict) else 0
    most = {"str": _MOST_CHARACTERS, "list": _MOST_ITEMS}.get(type(value).__name__, _MOST_FIELDS)
    if size > most:
        raise NotImportableError(
            f"{path} has {size:_} entries or characters, and {most:_} at most are stored"
        )
    if isinstance(value, dict):
        for key, inner in value.items():
            expect_stored(inner, f"{path}.{key}")
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            expect_stored(inner, f"{path}[{index}]")


def _object(kind: str, metadata: Json, first: Json, asked: Request, spec: Json) -> Json:
    return {
        "apiVersion": names.API_VERSION,
        "kind": kind,
        "metadata": metadata,
        "spec": {
            **first,
            "runtimeRef": {"name": asked.runtime},
            "objectives": asked.objectives.as_dict(),
            **{key: value for key, value in spec.items() if key not in first},
        },
    }


def _expect(kind: type[InferenceModel | InferencePipeline], body: Json) -> None:
    try:
        kind.model_validate({key: body[key] for key in ("metadata", "spec")}, extra="forbid")
    except ValidationError as error:
        where = ".".join(map(str, error.errors(include_url=False)[0]["loc"]))
        raise NotImportableError(
            f"{where} would be beyond what the API takes: write the object by hand"
        ) from error
