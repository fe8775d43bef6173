"""One model of a repository as an InferenceModel, or as the model of a pipeline's step."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from ferryman.api.batching import MAX_BATCH_SIZE, Batching
from ferryman.api.inference_runtime import RuntimeProcessor
from ferryman.api.model_source import ModelSource
from ferryman.core.errors import RejectedError
from ferryman.core.importing import manifest as manifests
from ferryman.core.importing import patterns
from ferryman.core.importing.outcome import Findings, Json, NotImportableError, Request
from ferryman.core.importing.triton import batching, formats
from ferryman.core.triton import config as triton_config

#: Said by metadata.name, the format and the batching instead.
_ELSEWHERE: Final = frozenset({"name", "platform", "backend"})
_NO_PREFIX: Final = (
    "where its files are is not known: state --storage-uri PREFIX, below which the folder of each "
    "model is, for example pvc://models/repository or s3://BUCKET/repository"
)
_NO_FILE: Final = "its folder has no file of a model yet: what is below storageUri must have one"


@dataclass(frozen=True, slots=True)
class StoredModel:
    """A model as a repository has it."""

    name: str
    """Its folder, which is its name for clients."""
    config: Mapping[str, Any] | None = None
    """Triton's ModelConfig in its JSON form, numbers as numbers; None: there is no config.pbtxt."""
    files: frozenset[str] | None = None
    """What is in the folders of its versions; None: that is not known."""
    problem: str = ""
    """Why its configuration cannot be read; empty where it can, or there is none."""

    @property
    def stated(self) -> Mapping[str, Any]:
        """What its configuration says, if there is one."""
        return self.config or {}

    @property
    def is_ensemble(self) -> bool:
        """Whether it has no files of its own, but puts other models together."""
        return "ensemble_scheduling" in self.stated or self.stated.get("platform") == "ensemble"


@dataclass(frozen=True, slots=True)
class ModelPart:
    """What Ferryman is told of a model, whether it is an object or a step."""

    source: Json
    """As ``spec.model`` states it."""
    initial: Json | None
    """How it batched; None: it is served as its configuration says."""
    instances: int


def manifest(stored: StoredModel, asked: Request, findings: Findings) -> Json:
    """Return the InferenceModel of a model. Raises NotImportableError."""
    name = renamed(stored.name, findings)
    found = part(stored, asked, findings)
    spec: Json = {"model": found.source}
    if found.initial is not None:
        limits = manifests.limits_for(found.initial)
        spec["batching"] = {
            "mode": "Fixed",
            "initial": found.initial,
            **({"limits": limits} if limits else {}),
        }
    return manifests.model({"name": name}, asked, spec)


def renamed(name: str, findings: Findings) -> str:
    """Return what an object is called; where that is another name, clients have to know."""
    found = patterns.object_name(name)
    if found != name:
        findings.change("name", f"it is called {found}: clients must ask for that")
    return found


def part(stored: StoredModel, asked: Request, findings: Findings) -> ModelPart:
    """Return what is stated of a model and how it batches. Raises NotImportableError."""
    if stored.problem:
        raise NotImportableError(stored.problem)
    if asked.storage_uri is None:
        raise NotImportableError(_NO_PREFIX)
    stated = dict(stored.stated)
    model_format = formats.of_model(stated, stored.files or (), asked)
    if stored.files is not None and not stored.files:
        findings.hints.append(_NO_FILE)
    tuned = batching.read(
        {key: value for key, value in stated.items() if key not in _ELSEWHERE}, findings
    )
    manifests.expect_stored(tuned.overlay, "config")
    source: Json = {
        "storageUri": patterns.folder_uri(asked.storage_uri, stored.name),
        "modelFormat": {"name": model_format},
    }
    if tuned.overlay:
        source["config"] = tuned.overlay
    _expect_served(source)
    return ModelPart(source, tuned.initial, tuned.instances)


def _expect_served(source: Json) -> None:
    """Raise NotImportableError, in the operator's words, for what no runtime could serve."""
    name = source["modelFormat"]["name"]
    entry = RuntimeProcessor.model_validate(
        {"class": "cpu", "image": "any", "backends": {name: name}, "allowCode": True}
    )
    try:
        found = ModelSource.model_validate(source)
        triton_config.model_config("any", entry, found, Batching(max_batch_size=MAX_BATCH_SIZE))
    except RejectedError as error:
        raise NotImportableError(str(error)) from error
