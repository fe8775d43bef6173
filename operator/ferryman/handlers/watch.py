"""The watches: which objects are kept, and which models each event concerns.

Only indices and low-level event handlers are used: kopf then writes nothing of its own into
our objects, neither finalizers nor annotations.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import kopf

from ferryman.api import names
from ferryman.core.manifests import Manifest
from ferryman.handlers import cache
from ferryman.handlers.cache import Cache, Key

OURS: Final = f"{names.LABEL_MANAGED_BY}={names.MANAGED_BY}"


@dataclass(frozen=True, slots=True)
class Watched:
    """A kind that is watched: where it lives, its index, and what of it is kept."""

    group: str
    version: str
    plural: str
    trim: Callable[[Manifest], Manifest]
    key: Callable[[Manifest], object | None]
    ours_only: bool = False
    """Whether the API server is asked for the objects with our label only."""


def _own_key(body: Manifest) -> Key:
    return body["metadata"].get("namespace", ""), body["metadata"]["name"]


def _name(body: Manifest) -> str:
    return str(body["metadata"]["name"])


_OURS: Final = names.GROUP, names.VERSION
#: Index name -> kind.
WATCHED: Final[Mapping[str, Watched]] = {
    "models": Watched(*_OURS, "inferencemodels", cache.trim_model, _own_key),
    "runtimes": Watched(*_OURS, "inferenceruntimes", cache.trim_runtime, _name),
    "profiles": Watched(*_OURS, "nodeprofiles", cache.trim_profile, _name),
    "nodes": Watched("", "v1", "nodes", cache.trim_node, _name),
    "deployments": Watched(
        "apps", "v1", "deployments", cache.trim_deployment, cache.model_key, ours_only=True
    ),
    "pods": Watched("", "v1", "pods", cache.trim_pod, cache.model_key, ours_only=True),
    "services": Watched("", "v1", "services", cache.trim_other, cache.model_key, ours_only=True),
    "configmaps": Watched(
        "", "v1", "configmaps", cache.trim_other, cache.model_key, ours_only=True
    ),
    "networkpolicies": Watched(
        "networking.k8s.io",
        "v1",
        "networkpolicies",
        cache.trim_other,
        cache.model_key,
        ours_only=True,
    ),
}

#: (index, object, whether it was deleted) -> None
OnEvent = Callable[[str, Manifest, bool], None]


def register(registry: kopf.OperatorRegistry, on_event: OnEvent) -> None:
    """Register an index and an event handler for every kind.

    The handlers are coroutines, because kopf would call plain functions in other threads.
    """
    for index, watched in WATCHED.items():
        _register(registry, index, watched, on_event)


def _register(
    registry: kopf.OperatorRegistry, index: str, watched: Watched, on_event: OnEvent
) -> None:
    where = (watched.group, watched.version, watched.plural)

    @kopf.index(*where, id=index, registry=registry)
    async def keep(body: kopf.Body, **_: object) -> dict[object, Manifest]:
        key = watched.key(body)
        return {} if key is None else {key: watched.trim(body)}

    @kopf.on.event(*where, id=f"{index}-events", registry=registry)
    async def tell(event: kopf.RawEvent, body: kopf.Body, **_: object) -> None:
        on_event(index, body, event["type"] == "DELETED")


def select(settings: kopf.OperatorSettings) -> None:
    """Ask the API server only for objects of ours where others share the kind."""
    for watched in WATCHED.values():
        if watched.ours_only:
            where = (watched.group, watched.version, watched.plural)
            settings.watching.label_selectors[where] = OURS


@dataclass(frozen=True, slots=True)
class Concern:
    """What is to be looked at after an event."""

    models: Sequence[Key] = ()
    benchmarks: bool = False
    placements: bool = False
    """Whether models that have a place might get another one."""
    first: bool = False
    """Whether somebody waits for it: a model is new, or was changed."""


class EventMapper:
    """Maps an event to the models that it concerns.

    Agents report every 60 s, and every report is an event: only a report that can change a
    decision is passed on, to all models. Any other concerns none: those that have no place yet come
    back by themselves, and a look at all nodes for each of them at each report would never end.
    """

    def __init__(self, stored: Cache) -> None:
        self._cache = stored
        self._digests: dict[tuple[str, str], str] = {}

    def map(self, index: str, body: Manifest, *, deleted: bool) -> Concern:
        """Return what an event concerns."""
        if index == "models":
            return Concern([_own_key(body)], first=_is_unseen(body))
        if index == "runtimes":
            return Concern(self._served_by(_name(body)), benchmarks=True, placements=True)
        if index in {"nodes", "profiles"}:
            if not self._changed(index, body, deleted=deleted):
                return Concern()
            return Concern(self._cache.model_keys(), benchmarks=True, placements=True)
        key = cache.model_key(body)
        if key is None:
            return Concern()
        # A benchmark may be what keeps a pod from a node.
        waits = index == "pods" and not deleted and not body["spec"].get("nodeName")
        return Concern([key], benchmarks=waits)

    def _served_by(self, runtime: str) -> list[Key]:
        return [
            key
            for key, model in self._models()
            if model.get("spec", {}).get("runtimeRef", {}).get("name") == runtime
        ]

    def _models(self) -> Iterable[tuple[Key, Manifest]]:
        for key in self._cache.model_keys():
            model = self._cache.model(key)
            if model is not None:
                yield key, model

    def _changed(self, index: str, body: Manifest, *, deleted: bool) -> bool:
        """Whether anything but utilisation, time and bookkeeping differs from the last event."""
        name = (index, _name(body))
        if deleted:
            self._digests.pop(name, None)
            return True
        digest = _digest(_essence(index, body))
        before, self._digests[name] = self._digests.get(name), digest
        return before != digest


def _is_unseen(model: Manifest) -> bool:
    seen = model.get("status", {}).get("observedGeneration")
    return bool(model["metadata"].get("generation") != seen)


def _essence(index: str, body: Manifest) -> Any:  # noqa: ANN401  JSON
    if index == "nodes":
        node = cache.trim_node(body)
        labels = node["metadata"]["labels"]
        # Our own label follows from the profile: a thousand nodes that get it change no decision.
        theirs = {key: labels[key] for key in labels if key != names.LABEL_NODE_TYPE}
        return [node["spec"], node["status"], theirs]
    status = body.get("status", {})
    processors = [
        {k: v for k, v in p.items() if k not in {"utilisation", "memoryUtilisation"}}
        for p in status.get("processors", ())
    ]
    annotations = body["metadata"].get("annotations") or {}
    requested = annotations.get(names.ANNOTATION_BENCHMARK_REQUESTED)
    return [status.get("nodeType"), processors, status.get("benchmarks"), requested]


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()
