"""What the watches last saw of the cluster, trimmed to what decisions read.

kopf fills the indices; the answers to our own writes are laid over them until the watch has
caught up, so that no decision is made twice for want of its own result.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, Final, TypeVar, cast

from pydantic import ValidationError

from ferryman.api import names, resources
from ferryman.api.base import ApiType
from ferryman.api.resources import Key
from ferryman.clients.bounded.objects import UNREAD
from ferryman.core.manifests import Manifest
from ferryman.core.render import ANNOTATION_CONFIG_HASH
from ferryman.core.render.slots import cap_annotations
from ferryman.handlers.tenants.owners import Chains, controller_only

T = TypeVar("T", bound=ApiType)
M = TypeVar("M")

#: Kind of what is reconciled -> its index.
SUBJECTS: Final[Mapping[str, str]] = {
    resources.INFERENCE_MODEL.kind: "models",
    resources.INFERENCE_PIPELINE.kind: "pipelines",
}
#: Kind of the serving objects that are applied anew when someone deletes them -> its index.
SERVING: Final[Mapping[str, str]] = {
    kind: resources.PLURALS[kind]
    for kind in ("ConfigMap", "Deployment", "NetworkPolicy", "PodDisruptionBudget", "Service")
}
#: Index key -> the objects under it, as kopf.Index gives them.
Index = Mapping[Any, Collection[Manifest]]

_SUBJECT_METADATA = (
    "name",
    "namespace",
    "uid",
    "generation",
    "resourceVersion",
    "creationTimestamp",
    "deletionTimestamp",
)


def version(manifest: Manifest) -> int:
    """Return the resource version as the number that it is on every API server (KEP-5504)."""
    text = manifest.get("metadata", {}).get("resourceVersion", "")
    return int(text) if text.isdigit() else 0


def owner_key(manifest: Manifest) -> Key | None:
    """Return whom a serving object or pod belongs to, by its labels."""
    metadata = manifest["metadata"]
    return resources.owner_key(metadata.get("namespace", ""), metadata.get("labels") or {})


def trim_subject(body: Manifest) -> Manifest:
    """Keep of an object that is reconciled, an InferenceModel, what makes decisions."""
    return {"metadata": _pick(body["metadata"], _SUBJECT_METADATA), **_parts(body)}


def trim_runtime(body: Manifest) -> Manifest:
    """Keep of an InferenceRuntime its specification."""
    fields = ("name", "uid", "generation", "resourceVersion")
    return {"metadata": _pick(body["metadata"], fields), "spec": dict(body.get("spec", {}))}


def trim_profile(body: Manifest) -> Manifest:
    """Keep of a NodeProfile its status and annotations."""
    metadata = _pick(body["metadata"], ("name", "uid", "resourceVersion", "annotations"))
    return {"metadata": metadata, "status": dict(body.get("status", {}))}


def trim_node(body: Manifest) -> Manifest:
    """Keep of a Node whether, what and how much it can take."""
    metadata, spec, status = body["metadata"], body.get("spec", {}), body.get("status", {})
    return {
        "metadata": {
            **_pick(metadata, ("name", "uid", "resourceVersion")),
            "labels": dict(metadata.get("labels") or {}),
        },
        "spec": {
            "unschedulable": bool(spec.get("unschedulable")),
            "taints": [dict(taint) for taint in spec.get("taints") or ()],
        },
        "status": {
            "allocatable": dict(status.get("allocatable") or {}),
            "conditions": [
                _pick(condition, ("type", "status"))
                for condition in status.get("conditions") or ()
                if condition["type"] == "Ready"
            ],
        },
    }


def trim_deployment(body: Manifest) -> Manifest:
    """Keep of a Deployment how far it is."""
    fields = ("name", "namespace", "uid", "generation", "resourceVersion")
    return {
        "metadata": {**_pick(body["metadata"], fields), "ownerReferences": controller_only(body)},
        "spec": {"replicas": body.get("spec", {}).get("replicas", 1)},
        "status": dict(body.get("status", {})),
    }


def trim_pod(body: Manifest) -> Manifest:
    """Keep of a pod its address, node, requests, live cap, and what its containers say."""
    spec, metadata = body.get("spec", {}), body["metadata"]
    annotations = metadata.get("annotations") or {}
    return {
        "metadata": {
            **_pick(metadata, ("name", "namespace", "uid", "resourceVersion", "deletionTimestamp")),
            # Its live caps, and which configuration it was made for.
            "annotations": {
                **cap_annotations(annotations),
                **_pick(annotations, (ANNOTATION_CONFIG_HASH,)),
            },
            "ownerReferences": controller_only(body),
        },
        "spec": {
            "nodeName": spec.get("nodeName", ""),
            "containers": [
                {"resources": dict(container.get("resources") or {})}
                for container in spec.get("containers", ())
            ],
            "volumes": [
                dict(volume)
                for volume in spec.get("volumes", ())
                if "image" in volume or volume.get("name") == names.VOLUME_LIVE_CAP
            ],
        },
        "status": dict(body.get("status", {})),
    }


def trim_other(body: Manifest) -> Manifest:
    """Keep of any other serving object only which version of it is there."""
    fields = ("name", "namespace", "uid", "generation", "resourceVersion")
    return {"metadata": _pick(body["metadata"], fields)}


def _pick(source: Manifest, fields: Collection[str]) -> dict[str, Any]:
    return {field: source[field] for field in fields if source.get(field) is not None}


def _parts(body: Manifest) -> dict[str, Any]:
    return {part: dict(body[part]) for part in ("spec", "status") if part in body} | _pick(
        body, (UNREAD,)
    )


class Cache:
    """Read access to the indices; of two objects under one key, the newer one counts."""

    def __init__(self, indices: Mapping[str, Index]) -> None:
        self._indices = indices
        self.chains = Chains()
        self._written: dict[tuple[str, object], Manifest] = {}
        self._revision = 0
        self._made: dict[str, tuple[tuple[object, ...], object]] = {}
        self._parsed: dict[tuple[type[ApiType], str], tuple[int, ApiType | None]] = {}

    def subject(self, key: Key) -> Manifest | None:
        """Return an object that is reconciled, or None when it is gone."""
        return self._latest(SUBJECTS[key.kind], key)

    def subject_keys(self, *kinds: str) -> list[Key]:
        """Return the keys of all objects of these kinds that are reconciled (without: of all)."""
        return [key for kind in kinds or SUBJECTS for key in self._indices[SUBJECTS[kind]]]

    def runtime(self, name: str) -> Manifest | None:
        """Return an InferenceRuntime."""
        return self._latest("runtimes", name)

    def runtimes(self) -> Iterator[Manifest]:
        """Yield all InferenceRuntimes."""
        yield from self._all("runtimes")

    def profile(self, name: str) -> Manifest | None:
        """Return the NodeProfile of a node."""
        return self._latest("profiles", name)

    def profiles(self) -> Iterator[Manifest]:
        """Yield all NodeProfiles."""
        yield from self._all("profiles")

    def node(self, name: str) -> Manifest | None:
        """Return a Node."""
        return self._latest("nodes", name)

    def nodes(self) -> Iterator[Manifest]:
        """Yield all Nodes."""
        yield from self._all("nodes")

    def deployment(self, key: Key) -> Manifest | None:
        """Return the Deployment that serves an object."""
        return self._latest("deployments", key)

    def pods(self, key: Key) -> tuple[Manifest, ...]:
        """Return the pods that serve an object: those that are known to be its Deployment's."""
        deployment, subject = self.deployment(key), self.subject(key)
        uid = _uid(subject) if subject is not None else ""
        return tuple(
            pod
            for pod in self.labelled_pods(key)
            if uid and self.chains.holds(key, pod, deployment, uid)
        )

    def labelled_pods(self, key: Key) -> tuple[Manifest, ...]:
        """Return the pods that have an object's label, whoever gave it to them."""
        return tuple(self._latest_pod(pod) for pod in self._indices["pods"].get(key, ()))

    def live(self, kind: str, key: Key, name: str) -> Manifest | None:
        """Return a serving object by its kind and name."""
        if kind not in SERVING:
            return None
        found = self._indices[SERVING[kind]].get(key, ())
        own = [each for each in found if each["metadata"]["name"] == name]
        return self._newer(SERVING[kind], key, max(own, key=version, default=None))

    @property
    def revision(self) -> int:
        """Counts what is seen of nodes and profiles: as long as it rests, so do they."""
        return self._revision

    def note_event(self, index: str) -> None:
        """Take note that the watch has shown another version of something."""
        self._revision += index in {"nodes", "profiles"}

    def forget(self, index: str, gone: Manifest) -> None:
        """Drop what was made of an object that is gone: autoscaled nodes have ever new names."""
        if index not in {"nodes", "profiles", "runtimes"}:
            return  # of others nothing is kept, and pods go all the time
        name, uid = gone["metadata"]["name"], _uid(gone)
        for made in [made for made in self._made if made.endswith(f" of {name}")]:
            del self._made[made]
        for parsed in [parsed for parsed in self._parsed if parsed[1] == uid]:
            del self._parsed[parsed]

    def remember(self, index: str, key: object, written: Manifest) -> None:
        """Lay the answer to a write over the index until the watch shows it or a later one."""
        self._written[index, key] = written
        self.note_event(index)

    def remember_subject(self, key: Key, written: Manifest) -> None:
        """Lay the answer to a write over an object that is reconciled."""
        self.remember(SUBJECTS[key.kind], key, trim_subject(written))

    def remember_pod(self, written: Manifest) -> None:
        """Lay the answer to a write over the pod, likewise; several share one key of the index."""
        self.remember("pods", _uid(written), written)

    def made(self, name: str, parts: tuple[object, ...], make: Callable[[], M]) -> M:
        """Return what was made of equal parts under this name before, or make it now.

        Every decision looks at every node, and few nodes change from one to the next. What is
        made of one node has a name that ends in "of NODE": it goes when the node goes.
        """
        known = self._made.get(name)
        if known is None or known[0] != parts:
            known = self._made[name] = (parts, make())
        return cast("M", known[1])

    def parse(self, kind: type[T], manifest: Manifest) -> T | None:
        """Return a cluster-scoped object as a value; None when this version cannot read it.

        Decisions about many models read the same few objects: each version is parsed once.
        """
        known = self._parsed.get((kind, _uid(manifest)))
        if known is not None and known[0] == version(manifest) > 0:
            return known[1]  # type: ignore[return-value]  # stored under its kind
        try:
            value: T | None = kind.model_validate(manifest)
        except ValidationError:
            value = None
        self._parsed[kind, _uid(manifest)] = version(manifest), value
        return value

    def _latest_pod(self, stored: Manifest) -> Manifest:
        return self._newer("pods", _uid(stored), stored) or stored

    def _latest(self, index: str, key: object) -> Manifest | None:
        found = self._indices[index].get(key, ())
        # Almost always there is one, and nothing to compare.
        stored = next(iter(found)) if len(found) == 1 else max(found, key=version, default=None)
        return self._newer(index, key, stored)

    def _newer(self, index: str, key: object, stored: Manifest | None) -> Manifest | None:
        written = self._written.get((index, key))
        if written is None:
            return stored
        if stored is None or _uid(stored) != _uid(written) or version(stored) >= version(written):
            # Seen, overtaken, or deleted: the watch knows better from here on.
            del self._written[index, key]
            return stored
        return written

    def _all(self, index: str) -> Iterator[Manifest]:
        for key in list(self._indices[index]):
            latest = self._latest(index, key)
            if latest is not None:
                yield latest


def _uid(manifest: Manifest) -> str:
    return str(manifest["metadata"].get("uid", ""))
