"""Where a pod has its models' files from: a volume for each source, and a mount for each model."""

from collections.abc import Iterable, Sequence
from typing import Final

from ferryman.api.conditions import Reason
from ferryman.api.model_fetch import FetchSpec
from ferryman.core.errors import RejectedError
from ferryman.core.fetching.task import is_fetched
from ferryman.core.manifests import Manifest
from ferryman.core.render.slots import ServedModel

_CLAIM: Final = "pvc"


def volumes(models: Iterable[ServedModel], pull_policy: str) -> list[Manifest]:
    """Return the volumes with models' files, of each claim one.

    A pod that names a claim in two volumes may wait for the second one for ever
    (kubernetes/kubernetes#132921). Raises RejectedError for an unknown storageUri.
    """
    named: dict[str, Manifest] = {}
    names = _names(models := tuple(models))
    for model in models:
        if model.storage_uri is not None:
            source = _source(model, model.storage_uri, pull_policy)
            named.setdefault(names[model.name], source)
    return [{"name": name, **source} for name, source in named.items()]


def mounts(models: Sequence[ServedModel]) -> list[Manifest]:
    """Return where a container sees the files of each model, to be read only."""
    names = _names(models)
    return [
        _mount(names[model.name], model.slot.path, model.storage_uri)
        for model in models
        if model.storage_uri is not None
    ]


def claims(models: Iterable[ServedModel]) -> frozenset[str]:
    """Return the claims that hold models' files."""
    return frozenset(_claim(model.storage_uri or "") for model in models) - {""}


def _names(models: Iterable[ServedModel]) -> dict[str, str]:
    """Return by model the volume that has its files: of a claim the first model's."""
    of_claim: dict[str, str] = {}
    found: dict[str, str] = {}
    for model in models:
        claim, volume = _claim(model.storage_uri or ""), model.slot.volume
        found[model.name] = of_claim.setdefault(claim, volume) if claim else volume
    return found


def _claim(storage_uri: str) -> str:
    scheme, _, rest = storage_uri.partition("://")
    return rest.partition("/")[0] if scheme == _CLAIM else ""


def _source(model: ServedModel, storage_uri: str, pull_policy: str) -> Manifest:
    scheme, _, rest = storage_uri.partition("://")
    if is_fetched(storage_uri):
        return {"emptyDir": {"sizeLimit": str((model.fetch or FetchSpec()).size_limit)}}
    if scheme == "oci" and rest:
        return {"image": {"reference": rest, "pullPolicy": pull_policy}}
    if claim := _claim(storage_uri):
        return {"persistentVolumeClaim": {"claimName": claim, "readOnly": True}}
    raise RejectedError(
        Reason.INVALID_SPEC,
        f"storageUri {storage_uri!r} cannot be served: write oci://IMAGE, "
        "pvc://CLAIM/PATH, or s3://, gs://, hf:// or https:// and where the files are",
    )


def _mount(volume: str, path: str, storage_uri: str) -> Manifest:
    mount = {"name": volume, "mountPath": path, "readOnly": True}
    inside = storage_uri.partition("://")[2].partition("/")[2] if _claim(storage_uri) else ""
    inside = inside.strip("/")
    return {**mount, "subPath": inside} if inside else mount
