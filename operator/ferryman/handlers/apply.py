"""Write to the API server: objects, statuses, events and annotations, and only what differs."""

import asyncio
import hashlib
import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from ferryman.api import resources
from ferryman.api.resources import Key
from ferryman.clients import tracing
from ferryman.clients.kubernetes import Kubernetes, ObjectReference
from ferryman.clients.kubernetes_errors import Fault, KubernetesError, NotOwnedError, PermanentError
from ferryman.core.manifests import Manifest
from ferryman.core.status import apply_problems
from ferryman.core.status.events import Event
from ferryman.core.status.readiness import NotReady
from ferryman.handlers.cache import Cache, trim_deployment, trim_pod, version
from ferryman.handlers.tenants import owners

_log = logging.getLogger(__name__)

#: Kinds whose status the cluster writes all the time: their specification's generation counts.
_BY_GENERATION: Final = ("Deployment", "PodDisruptionBudget")


class NameTakenError(PermanentError):
    """An object of a name that is to be ours is there, and somebody else's."""

    fault: Fault = "user"

    def __init__(self, problem: NotReady) -> None:
        super().__init__(problem.message)
        self.problem = problem


@dataclass(frozen=True, slots=True)
class _Applied:
    """What was applied last, and which version of the object that made."""

    digest: str
    version: int
    uid: str


class Applied:
    """What was applied to each serving object last."""

    def __init__(self) -> None:
        self._known: dict[Key, dict[tuple[str, str], _Applied]] = {}

    def is_current(self, key: Key, manifest: Manifest, live: Manifest | None) -> bool:
        """Whether the object is as it was applied, as far as the watches have seen.

        The watch may lag behind our own write; only a later version is somebody else's.
        """
        known = self._known.get(key, {}).get(_named(manifest))
        if known is None or known.digest != _digest(manifest):
            return False
        return live is None or _version(manifest["kind"], live) <= known.version

    def knows(self, key: Key, manifest: Manifest) -> bool:
        """Whether an object of this kind and name was applied for the model."""
        return _named(manifest) in self._known.get(key, {})

    def note(self, key: Key, manifest: Manifest, answer: Manifest) -> None:
        """Take note of the API server's answer to an apply."""
        self._known.setdefault(key, {})[_named(manifest)] = _Applied(
            _digest(manifest),
            _version(manifest["kind"], answer),
            str(answer["metadata"].get("uid", "")),
        )

    def forget(self, key: Key, kind: str | None = None, uid: str | None = None) -> None:
        """Have an object applied anew (all of a model's without a kind).

        With a uid only if it is that very object that was applied.
        """
        if kind is None:
            self._known.pop(key, None)
            return
        known = self._known.get(key, {})
        for named in [each for each in known if each[0] == kind]:
            if uid in {None, known[named].uid}:
                del known[named]


def _named(manifest: Manifest) -> tuple[str, str]:
    return str(manifest["kind"]), str(manifest["metadata"]["name"])


def _digest(manifest: Manifest) -> str:
    return hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()


def _version(kind: str, manifest: Manifest) -> int:
    if kind in _BY_GENERATION:
        return int(manifest["metadata"].get("generation", 0))
    return version(manifest)


class Writer:
    """Writes what serves an object of ours, and what is said of it."""

    def __init__(self, kubernetes: Kubernetes, cache: Cache, applied: Applied) -> None:
        self._kubernetes = kubernetes
        self._cache = cache
        self._applied = applied

    async def apply(self, key: Key, objects: Sequence[Manifest]) -> None:
        """Apply the objects that are not as they were applied last. Raises KubernetesError."""
        await self._check_names(key, objects)
        for manifest in objects:
            live = self._cache.live(manifest["kind"], key, manifest["metadata"]["name"])
            if self._applied.is_current(key, manifest, live):
                continue
            answer = await self._write(manifest)
            self._applied.note(key, manifest, answer)
            if manifest["kind"] == "Deployment":
                # Until the watch shows it, the one of before would count as rolled out.
                self._cache.remember("deployments", key, trim_deployment(answer))

    async def prove(self, key: Key) -> None:
        """Have the cache know which of the pods with an object's label are its Deployment's."""
        pods, deployment = self._cache.labelled_pods(key), self._cache.deployment(key)
        await owners.prove(self._kubernetes, self._cache.chains, key, pods, deployment)

    async def write_status(self, about: ObjectReference, status: Manifest) -> None:
        """Replace a status. Raises KubernetesError."""
        with tracing.span("write status"):
            answer = await self._kubernetes.apply_status(about, status)
        self._cache.remember_subject(about.key, answer)

    async def annotate(self, namespace: str, pod: str, annotations: Mapping[str, str]) -> None:
        """Annotate a pod, and see it at once: the watch may lag behind. Raises KubernetesError."""
        answer = await self._kubernetes.annotate_pod(namespace, pod, annotations)
        self._cache.remember_pod(trim_pod(answer))

    async def post(self, about: ObjectReference, events: Iterable[Event]) -> None:
        """Tell what happened. An event that cannot be posted is no reason to decide again."""
        for event in events:
            try:
                await self._kubernetes.post_event(about, event.type, event.reason, event.message)
            except KubernetesError as error:
                why = {"why": str(error), "fault": error.fault}
                _log.warning("an event was not posted", extra=about.key.in_log() | why)

    async def _write(self, manifest: Manifest) -> Manifest:
        """Write an object; a Secret only where it is ours, which the API server tests."""
        kind, name = manifest["kind"], manifest["metadata"]["name"]
        what = {"ferryman.applied.kind": kind, "ferryman.applied.name": name}
        with tracing.span("apply object", what):
            return await self._put(manifest)

    async def _put(self, manifest: Manifest) -> Manifest:
        if manifest["kind"] != "Secret":
            return await self._kubernetes.apply(manifest)
        try:
            return await self._kubernetes.write_secret(manifest)
        except NotOwnedError as error:
            name = manifest["metadata"]["name"]
            raise NameTakenError(apply_problems.name_taken("Secret", name)) from error

    async def _check_names(self, key: Key, objects: Sequence[Manifest]) -> None:
        """Raise NameTakenError if what would be created is there already, and is not ours.

        The watches show what has our label only. For Secrets one may not ask: whose one is shows
        when it is written.
        """
        unknown = [
            manifest
            for manifest in objects
            if (kind := manifest["kind"]) != "Secret"
            and not self._applied.knows(key, manifest)
            and self._cache.live(kind, key, manifest["metadata"]["name"]) is None
        ]
        found = await asyncio.gather(*map(self._kubernetes.find, unknown))
        for manifest, there in zip(unknown, found, strict=True):
            if there is not None and not _is_ours(there, manifest):
                name = manifest["metadata"]["name"]
                raise NameTakenError(apply_problems.name_taken(manifest["kind"], name))


def problem_of(error: PermanentError) -> NotReady:
    """Return why what serves an object of ours is not as was decided."""
    if isinstance(error, NameTakenError):
        return error.problem
    return apply_problems.apply_refused(str(error))


def _is_ours(there: Manifest, manifest: Manifest) -> bool:
    """Whether an object is ours: by its label, or by its owner where the label was lost."""
    metadata, ours = there["metadata"], manifest["metadata"]
    owner = resources.owner_key(ours["namespace"], ours["labels"])
    owners = {owner["uid"] for owner in metadata.get("ownerReferences") or ()}
    labelled = resources.owner_key(ours["namespace"], metadata.get("labels") or {})
    return labelled == owner or ours["ownerReferences"][0]["uid"] in owners
