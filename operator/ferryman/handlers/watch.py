"""The watches: which objects are kept, and which models each event concerns.

Only indices and low-level event handlers are used: kopf then writes nothing of its own into
our objects, neither finalizers nor annotations.
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import kopf

from ferryman.api import names, resources
from ferryman.api.crd import Resource
from ferryman.api.resources import (
    INFERENCE_MODEL,
    INFERENCE_PIPELINE,
    INFERENCE_RUNTIME,
    NODE_PROFILE,
    Key,
)
from ferryman.core.manifests import Manifest
from ferryman.handlers import cache
from ferryman.handlers.cache import Cache

OURS: Final = f"{names.LABEL_MANAGED_BY}={names.MANAGED_BY}"


@dataclass(frozen=True, slots=True)
class Watched:
    """A kind that is watched: where it lives, its index, and what of it is kept."""

    group: str
    version: str
    kind: str
    trim: Callable[[Manifest], Manifest]
    key: Callable[[Manifest], object | None]
    namespaced: bool = True
    ours_only: bool = False
    """Whether the API server is asked for the objects with our label only."""

    @property
    def plural(self) -> str:
        """What it is called in paths."""
        return resources.PLURALS[self.kind]


def _own_key(resource: Resource) -> Callable[[Manifest], Key]:
    def key(body: Manifest) -> Key:
        metadata = body["metadata"]
        return Key(resource.kind, metadata.get("namespace", ""), metadata["name"])

    return key


def _name(body: Manifest) -> str:
    return str(body["metadata"]["name"])


_OWN: Final = names.GROUP, names.VERSION


def _serving(group: str, kind: str, trim: Callable[[Manifest], Manifest]) -> Watched:
    """Return a kind of which only those objects count that serve one of ours."""
    return Watched(group, "v1", kind, trim, cache.owner_key, ours_only=True)


#: Index name -> kind.
WATCHED: Final[Mapping[str, Watched]] = {
    "models": Watched(*_OWN, INFERENCE_MODEL.kind, cache.trim_subject, _own_key(INFERENCE_MODEL)),
    "pipelines": Watched(
        *_OWN, INFERENCE_PIPELINE.kind, cache.trim_subject, _own_key(INFERENCE_PIPELINE)
    ),
    "runtimes": Watched(*_OWN, INFERENCE_RUNTIME.kind, cache.trim_runtime, _name, namespaced=False),
    "profiles": Watched(*_OWN, NODE_PROFILE.kind, cache.trim_profile, _name, namespaced=False),
    "nodes": Watched("", "v1", "Node", cache.trim_node, _name, namespaced=False),
    "deployments": _serving("apps", "Deployment", cache.trim_deployment),
    "pods": _serving("", "Pod", cache.trim_pod),
    "services": _serving("", "Service", cache.trim_other),
    "configmaps": _serving("", "ConfigMap", cache.trim_other),
    "networkpolicies": _serving("networking.k8s.io", "NetworkPolicy", cache.trim_other),
    "poddisruptionbudgets": _serving("policy", "PodDisruptionBudget", cache.trim_other),
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

    keys: Sequence[Key] = ()
    benchmarks: bool = False
    placements: bool = False
    """Whether what has a place might get another one."""
    first: bool = False
    """Whether somebody waits for it: an object is new, or was changed."""


_NOBODY: Final = Concern()


@dataclass(frozen=True, slots=True)
class _Event:
    index: str
    body: Manifest
    deleted: bool


class EventMapper:
    """Maps an event to what it concerns, by a table of how each index is looked at.

    Agents report every 60 s, and every report is an event: only a report that can change a
    decision is passed on, to all models. Any other concerns none: those that have no place yet come
    back by themselves, and a look at all nodes for each of them at each report would never end.
    """

    def __init__(self, stored: Cache) -> None:
        self._cache = stored
        self._digests: dict[tuple[str, str], str] = {}
        self._table: Mapping[str, Callable[[_Event], Concern]] = {
            "models": self._itself_and_its_readers,
            "pipelines": _itself,
            "runtimes": self._those_it_serves,
            "profiles": self._everyone,
            "nodes": self._everyone,
            "deployments": _owner,
            "pods": _owner_of_pod,
            "services": _owner,
            "configmaps": _owner,
            "networkpolicies": _owner,
            "poddisruptionbudgets": _owner,
        }

    def map(self, index: str, body: Manifest, *, deleted: bool) -> Concern:
        """Return what an event concerns."""
        return self._table[index](_Event(index, body, deleted))

    def _those_it_serves(self, event: _Event) -> Concern:
        runtime = _name(event.body)
        served = [key for key in self._cache.subject_keys() if self._runtime(key) == runtime]
        return Concern(served, benchmarks=True, placements=True)

    def _itself_and_its_readers(self, event: _Event) -> Concern:
        """Return a model, and the pipelines of which a step takes its files."""
        found = _itself(event)
        metadata = event.body["metadata"]
        readers = [
            key
            for key in self._cache.subject_keys(INFERENCE_PIPELINE.kind)
            if key.namespace == metadata.get("namespace", "")
            and metadata["name"] in self._referred_to(key)
        ]
        return replace(found, keys=[*found.keys, *readers])

    def _referred_to(self, key: Key) -> set[object]:
        spec = (self._cache.subject(key) or {}).get("spec", {})
        return {(step.get("modelRef") or {}).get("name") for step in spec.get("steps", ())}

    def _runtime(self, key: Key) -> object:
        spec = (self._cache.subject(key) or {}).get("spec", {})
        return spec.get("runtimeRef", {}).get("name")

    def _everyone(self, event: _Event) -> Concern:
        if not self._changed(event.index, event.body, deleted=event.deleted):
            return _NOBODY
        return Concern(self._cache.subject_keys(), benchmarks=True, placements=True)

    def _changed(self, index: str, body: Manifest, *, deleted: bool) -> bool:
        """Whether anything but utilisation, time and bookkeeping differs from the last event."""
        name = (index, _name(body))
        if deleted:
            self._digests.pop(name, None)
            return True
        digest = _digest(_essence(index, body))
        before, self._digests[name] = self._digests.get(name), digest
        return before != digest


def _itself(event: _Event) -> Concern:
    key = WATCHED[event.index].key(event.body)
    return Concern([key] if isinstance(key, Key) else [], first=_is_unseen(event.body))


def _owner(event: _Event) -> Concern:
    key = cache.owner_key(event.body)
    return _NOBODY if key is None else Concern([key])


def _owner_of_pod(event: _Event) -> Concern:
    # A benchmark may be what keeps a pod from a node.
    found, waits = _owner(event), not event.deleted and not event.body["spec"].get("nodeName")
    return replace(found, benchmarks=bool(found.keys) and waits)


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
