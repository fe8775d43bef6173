"""The init container that fetches models' files, and what it alone mounts.

Those are Secrets, authorities and caches.

It runs before everything else of a pod, from Ferryman's own image, and gets no more rights than the
others. What it writes, Triton reads.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from ferryman.api import names
from ferryman.api.conditions import Reason
from ferryman.api.model_fetch import FetchSpec
from ferryman.core.errors import RejectedError
from ferryman.core.fetching.task import (
    TASKS_ENV,
    FetchTask,
    encode,
    is_fetched,
    port,
    size_limit_bytes,
)
from ferryman.core.manifests import Manifest
from ferryman.core.render import pod, sources
from ferryman.core.render.slots import ServedModel

COMMAND: Final = ("python", "-m", "ferryman.fetch")
#: Files pass through; what is held of them at a time is small.
RESOURCES: Final[Manifest] = {
    "requests": {"cpu": "100m", "memory": "128Mi"},
    "limits": {"memory": "512Mi"},
}
CA_FILE: Final = "ca.crt"
#: How the names of volumes begin that keep what was fetched.
CACHE_VOLUME: Final = "cache-"


def add(spec: Manifest, models: Sequence[ServedModel], *, image: str, pull_policy: str) -> Manifest:
    """Return a pod's specification with the fetching container first; as it is without one.

    Raises RejectedError where the operator does not know its own image, or where a claim keeps what
    is fetched and holds models, too.
    """
    fetched = [each for each in models if is_fetched(each.storage_uri)]
    if not fetched:
        return spec
    if not image:
        raise RejectedError(
            Reason.INVALID_SPEC,
            f"storageUri {fetched[0].storage_uri} is fetched by Ferryman's image, which the "
            "operator was not told: start it with --image, or use oci:// or pvc://",
        )
    identity = "serviceAccountName" in spec
    caches = _caches(fetched)
    if both := sources.claims(models) & caches.keys():
        raise RejectedError(
            Reason.INVALID_SPEC,
            f"the claim {min(both)} holds models and is to keep what is fetched, too, and a pod "
            "mounts a claim once: let fetch.cache name another one",
        )
    tasks = tuple(_task(each, caches, identity=identity) for each in fetched)
    container = {
        "name": names.CONTAINER_FETCH,
        "image": image,
        "imagePullPolicy": pull_policy,
        "command": list(COMMAND),
        # Kubernetes expands $(NAME) in values; $$ stands for one dollar.
        "env": [{"name": TASKS_ENV, "value": encode(tasks).replace("$", "$$")}],
        "resources": RESOURCES,
        "securityContext": pod.container_security(),
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [
            *(mount for each in fetched for mount in _mounts(each)),
            *({"name": name, "mountPath": _path(name)} for name in caches.values()),
        ],
    }
    return {
        **spec,
        "initContainers": [container, *spec["initContainers"]],
        "volumes": [
            *spec["volumes"],
            *(v for each in fetched for v in _volumes(each)),
            *(
                {"name": name, "persistentVolumeClaim": {"claimName": claim}}
                for claim, name in caches.items()
            ),
        ],
    }


def ports(models: Sequence[ServedModel]) -> tuple[int, ...]:
    """Return the TCP ports of the servers that pods fetch from, each once."""
    return tuple(
        sorted(
            {
                port(each.storage_uri, _stated(each))
                for each in models
                if each.storage_uri is not None and is_fetched(each.storage_uri)
            }
        )
    )


def _stated(model: ServedModel) -> FetchSpec:
    return model.fetch or FetchSpec()


def _caches(models: Sequence[ServedModel]) -> dict[str, str]:
    """Return claim -> volume: kubelets wait forever for a claim that a pod mounts twice."""
    stated = (_stated(each).cache for each in models)
    claims = sorted({each.claim_name for each in stated if each is not None})
    return {claim: f"{CACHE_VOLUME}{index}" for index, claim in enumerate(claims)}


def _task(model: ServedModel, caches: Mapping[str, str], *, identity: bool) -> FetchTask:
    stated = _stated(model)
    cache = stated.cache
    return FetchTask(
        uri=model.storage_uri or "",
        into=model.slot.path,
        max_bytes=size_limit_bytes(stated),
        deadline_s=stated.deadline_seconds,
        sha256=stated.sha256 or "",
        endpoint=stated.endpoint or "",
        region=stated.region or "",
        secret=_secret_path(model) if stated.secret_name else "",
        ca=f"{_ca_path(model)}/{CA_FILE}" if stated.ca_config_map_name else "",
        identity=identity,
        cache=_path(caches[cache.claim_name]) if cache else "",
        cache_bytes=size_limit_bytes(cache) if cache else 0,
    )


def _mounts(model: ServedModel) -> list[Manifest]:
    stated = _stated(model)
    found: list[Manifest] = [{"name": model.slot.volume, "mountPath": model.slot.path}]
    if stated.secret_name:
        path = _secret_path(model)
        found.append({"name": model.slot.secret_volume, "mountPath": path, "readOnly": True})
    if stated.ca_config_map_name:
        path = _ca_path(model)
        found.append({"name": model.slot.ca_volume, "mountPath": path, "readOnly": True})
    return found


def _volumes(model: ServedModel) -> list[Manifest]:
    """Return what is mounted besides: optional, so that what is missing is said, not waited for."""
    stated = _stated(model)
    found: list[Manifest] = []
    if stated.secret_name:
        secret = {"secretName": stated.secret_name, "optional": True}
        found.append({"name": model.slot.secret_volume, "secret": secret})
    if stated.ca_config_map_name:
        config_map = {
            "name": stated.ca_config_map_name,
            "items": [{"key": CA_FILE, "path": CA_FILE}],
            "optional": True,
        }
        found.append({"name": model.slot.ca_volume, "configMap": config_map})
    return found


def _secret_path(model: ServedModel) -> str:
    return _path(model.slot.secret_volume)


def _ca_path(model: ServedModel) -> str:
    return _path(model.slot.ca_volume)


def _path(volume: str) -> str:
    return f"{names.PATH_FETCH}/{volume}"
