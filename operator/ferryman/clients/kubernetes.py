"""The API server as the operator writes to it; reading goes through kopf's watches.

What the operator owns is written by server-side apply, so that each writer owns only what it
states and an apply that changes nothing writes nothing.
"""

import base64
import hashlib
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Literal, Protocol

from ferryman.api import names, resources
from ferryman.api.base import printable
from ferryman.api.resources import Key
from ferryman.clients.kubernetes_errors import (
    ConflictError,
    NotFoundError,
    NotOwnedError,
    PermanentError,
)
from ferryman.clients.kubernetes_transport import APPLY, MERGE, STEPS, Json, Request, Transport

Manifest = Mapping[str, Any]

MASTER_KEY_SECRET: Final = "ferryman-master-key"  # noqa: S105  a name
_MASTER_KEY_ENTRY: Final = "key"
_MASTER_KEY_BYTES: Final = 32
#: Of a list, only the metadata.
_METADATA_ONLY: Final = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
_ONE_METADATA: Final = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
#: Objects of a list that are asked for at once.
_PAGE: Final = 500
#: What the API server answers when a step of a patch fails: among ours, the test of the owner.
_STEP_FAILED: Final = 422
#: What an event of the core API may say.
_MAX_EVENT_MESSAGE: Final = 1024


@dataclass(frozen=True, slots=True)
class ObjectReference:
    """An object that a write or an event is about; the uid guards against a namesake."""

    api_version: str
    kind: str
    namespace: str
    name: str
    uid: str

    @classmethod
    def of(cls, key: Key, uid: str) -> "ObjectReference":
        """Return the reference to an object of a kind of ours."""
        return cls(names.API_VERSION, *key, uid)

    @property
    def key(self) -> Key:
        """What an object of a kind of ours is known by."""
        return Key(self.kind, self.namespace, self.name)

    def as_dict(self) -> dict[str, str]:
        """Return the wire form."""
        return {
            "apiVersion": self.api_version,
            "kind": self.kind,
            "namespace": self.namespace,
            "name": self.name,
            "uid": self.uid,
        }


class Kubernetes(Protocol):
    """What the operator asks of the API server. Every method raises KubernetesError."""

    async def ping(self) -> None:
        """Return when the API server answered."""
        ...

    async def serves_kinds(self) -> bool:
        """Whether Ferryman's CustomResourceDefinitions are installed."""
        ...

    async def apply(
        self, manifest: Manifest, *, field_manager: str = names.FIELD_MANAGER, force: bool = True
    ) -> Json:
        """Create or change an object; without ``force``, others' fields raise ConflictError."""
        ...

    async def write_secret(self, manifest: Manifest) -> Json:
        """Create a Secret, or change the one of its owner; NotOwnedError for another's."""
        ...

    async def find(self, manifest: Manifest) -> Json | None:
        """Return the object of this kind, namespace and name, metadata alone, if there is one."""
        ...

    async def replica_set(self, namespace: str, name: str) -> Json | None:
        """Return a ReplicaSet, metadata alone, or None."""
        ...

    async def apply_status(self, about: ObjectReference, status: Manifest) -> Json:
        """Replace the status of an object of ours; NotFoundError or ConflictError if gone."""
        ...

    async def apply_benchmarks(
        self, profile: str, benchmarks: Sequence[Manifest], price_per_hour: float | None
    ) -> Json:
        """Replace the load performance tables of a NodeProfile, and the price of its type."""
        ...

    async def node_lease(self, name: str) -> Json:
        """Return the Lease that a node's kubelet renews; NotFoundError if there is none."""
        ...

    async def label_node(self, name: str, uid: str, labels: Mapping[str, str]) -> Json:
        """Own these labels of a Node, and none else; return the Node."""
        ...

    async def annotate_pod(self, namespace: str, name: str, annotations: Mapping[str, str]) -> Json:
        """Set these annotations of a pod; NotFoundError if it is gone."""
        ...

    async def post_event(
        self, about: ObjectReference, kind: Literal["Normal", "Warning"], reason: str, message: str
    ) -> None:
        """Tell what happened; a repetition within the event's life is counted, not added."""
        ...

    async def ensure_master_key(self, namespace: str) -> bytes:
        """Return the key that all control keys derive from; create it where it is missing."""
        ...

    async def create_job(self, manifest: Manifest) -> None:
        """Create a Job unless one of that name exists."""
        ...

    async def list_jobs(self, namespace: str, selector: str) -> Sequence[Manifest]:
        """Return the Jobs with these labels."""
        ...

    async def delete_job(self, namespace: str, name: str) -> None:
        """Delete a Job and its pods, if it exists."""
        ...

    async def list_pods(self, namespace: str, selector: str) -> Sequence[Manifest]:
        """Return the pods with these labels."""
        ...

    async def list_uids(
        self,
        group: str,
        version: str,
        plural: str,
        selector: str = "",
        namespaces: Sequence[str] = (),
    ) -> set[str]:
        """Return the uids of the objects of a kind with these labels, here or in all namespaces."""
        ...


class KubernetesApi:
    """``Kubernetes`` over HTTPS."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def ping(self) -> None:
        """Return when the API server answered, after one try."""
        await self._transport.send(Request("GET", "/version", "version"), tries=1)

    async def serves_kinds(self) -> bool:
        """Whether discovery lists all of our kinds."""
        path = f"/apis/{names.API_VERSION}"
        try:
            answer = await self._transport.send(Request("GET", path, "discovery"), tries=1)
        except NotFoundError:
            return False
        served = {resource["name"] for resource in answer["resources"]}
        return served >= {resource.plural for resource in resources.ALL}

    async def apply(
        self, manifest: Manifest, *, field_manager: str = names.FIELD_MANAGER, force: bool = True
    ) -> Json:
        """Apply one of the kinds that the operator owns."""
        return await self._apply(_path(manifest), manifest, field_manager, force=force)

    async def write_secret(self, manifest: Manifest) -> Json:
        """Change the Secret where its first owner is the manifest's, in one request.

        The operator may not read Secrets, and so cannot look at whose one is before it writes: the
        API server tests that itself, and otherwise changes nothing.
        """
        path, metadata = _path(manifest), manifest["metadata"]
        owners, there = metadata["ownerReferences"], "/metadata/ownerReferences"
        # By kind and name: an owner that was created anew has another uid.
        steps = [
            *(
                {"op": "test", "path": f"{there}/0/{field}", "value": owners[0][field]}
                for field in ("apiVersion", "kind", "name")
            ),
            {"op": "replace", "path": there, "value": owners},
            {"op": "add", "path": "/metadata/labels", "value": metadata["labels"]},
            {"op": "add", "path": "/data", "value": manifest["data"]},
        ]
        query = (("fieldManager", names.FIELD_MANAGER),)
        change = Request("PATCH", path, "Secret", query, body=steps, content_type=STEPS)
        try:
            return await self._transport.send(change)
        except NotFoundError:
            collection = path.rpartition("/")[0]
            create = Request("POST", collection, "Secret", query, body=dict(manifest))
            return await self._transport.send(create)
        except PermanentError as error:
            if error.status != _STEP_FAILED:
                raise
            raise NotOwnedError(str(error), status=error.status) from error

    async def find(self, manifest: Manifest) -> Json | None:
        """Look for the object by a list: the operator may not get single ones."""
        path, _, name = _path(manifest).rpartition("/")
        query = (("fieldSelector", f"metadata.name={name}"),)
        request = Request("GET", path, manifest["kind"], query, accept=_METADATA_ONLY)
        answer = await self._transport.send(request)
        items: Sequence[Json] = answer["items"]
        return items[0] if items else None

    async def replica_set(self, namespace: str, name: str) -> Json | None:
        """Get the ReplicaSet's metadata."""
        path = f"/apis/apps/v1/namespaces/{namespace}/replicasets/{name}"
        try:
            return await self._transport.send(
                Request("GET", path, "ReplicaSet", accept=_ONE_METADATA)
            )
        except NotFoundError:
            return None

    async def apply_status(self, about: ObjectReference, status: Manifest) -> Json:
        """Apply the whole status: what it no longer states is removed, conditions included."""
        metadata = {"name": about.name, "namespace": about.namespace, "uid": about.uid}
        body = {
            "apiVersion": about.api_version,
            "kind": about.kind,
            "metadata": metadata,
            "status": status,
        }
        return await self._apply_status(body, names.FIELD_MANAGER)

    async def apply_benchmarks(
        self, profile: str, benchmarks: Sequence[Manifest], price_per_hour: float | None
    ) -> Json:
        """Apply tables and price beside the agent's part of the same status."""
        price = {} if price_per_hour is None else {"pricePerHour": price_per_hour}
        body = {
            "apiVersion": names.API_VERSION,
            "kind": resources.NODE_PROFILE.kind,
            "metadata": {"name": profile},
            "status": {"benchmarks": list(benchmarks), **price},
        }
        return await self._apply_status(body, names.BENCHMARK_FIELD_MANAGER)

    async def node_lease(self, name: str) -> Json:
        """Return the Lease after one try: whoever asks for it asks again soon."""
        path = f"/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/{name}"
        return await self._transport.send(Request("GET", path, "Lease"), tries=1)

    async def label_node(self, name: str, uid: str, labels: Mapping[str, str]) -> Json:
        """Apply the labels; the uid keeps a Node that just vanished from being created."""
        metadata = {"name": name, "uid": uid, "labels": dict(labels)}
        body = {"apiVersion": "v1", "kind": "Node", "metadata": metadata}
        return await self._apply(_path(body), body, names.FIELD_MANAGER)

    async def annotate_pod(self, namespace: str, name: str, annotations: Mapping[str, str]) -> Json:
        """Merge the annotations into the pod's: an apply would create a pod that is gone."""
        path = f"/api/v1/namespaces/{namespace}/pods/{name}"
        query = (("fieldManager", names.FIELD_MANAGER),)
        body = {"metadata": {"annotations": dict(annotations)}}
        request = Request("PATCH", path, "Pod", query, body=body, content_type=MERGE)
        return await self._transport.send(request)

    async def post_event(
        self, about: ObjectReference, kind: Literal["Normal", "Warning"], reason: str, message: str
    ) -> None:
        """Create an event whose name says what it is about, or count it up.

        The API server forgets an event an hour after its last change (``--event-ttl``), so that
        the aggregation needs no memory of its own and survives a restart.
        """
        message = printable(message)[:_MAX_EVENT_MESSAGE]
        event = _event(about, kind, reason, message, datetime.now(UTC))
        path = f"/api/v1/namespaces/{about.namespace}/events"
        try:
            await self._transport.send(Request("POST", path, "Event", body=event))
        except ConflictError:
            await self._count_up(f"{path}/{event['metadata']['name']}", event["lastTimestamp"])

    async def _count_up(self, path: str, last_timestamp: str) -> None:
        present = await self._transport.send(Request("GET", path, "Event"))
        body = {"count": int(present.get("count") or 1) + 1, "lastTimestamp": last_timestamp}
        await self._transport.send(Request("PATCH", path, "Event", body=body, content_type=MERGE))

    async def ensure_master_key(self, namespace: str) -> bytes:
        """Return the key; of several operators that create it at once, one wins for all."""
        path = f"/api/v1/namespaces/{namespace}/secrets"
        present = Request("GET", f"{path}/{MASTER_KEY_SECRET}", "Secret")
        try:
            return _master_key(await self._transport.send(present))
        except NotFoundError:
            pass
        created = Request("POST", path, "Secret", body=_master_key_secret(namespace))
        try:
            return _master_key(await self._transport.send(created))
        except ConflictError:
            return _master_key(await self._transport.send(present))

    async def create_job(self, manifest: Manifest) -> None:
        """Create a Job; one of that name is the same measurement."""
        path = f"/apis/batch/v1/namespaces/{manifest['metadata']['namespace']}/jobs"
        try:
            await self._transport.send(Request("POST", path, "Job", body=dict(manifest)))
        except ConflictError:
            return

    async def list_jobs(self, namespace: str, selector: str) -> Sequence[Manifest]:
        """Return the Jobs with these labels."""
        return await self._list(f"/apis/batch/v1/namespaces/{namespace}/jobs", "Job", selector)

    async def delete_job(self, namespace: str, name: str) -> None:
        """Delete a Job; its pods follow in the background."""
        path = f"/apis/batch/v1/namespaces/{namespace}/jobs/{name}"
        query = (("propagationPolicy", "Background"),)
        try:
            await self._transport.send(Request("DELETE", path, "Job", query=query))
        except NotFoundError:
            return

    async def list_pods(self, namespace: str, selector: str) -> Sequence[Manifest]:
        """Return the pods with these labels."""
        return await self._list(f"/api/v1/namespaces/{namespace}/pods", "Pod", selector)

    async def list_uids(
        self,
        group: str,
        version: str,
        plural: str,
        selector: str = "",
        namespaces: Sequence[str] = (),
    ) -> set[str]:
        """Return the uids; of namespaces one after the other, for those alone may be allowed."""
        base = _base(f"{group}/{version}" if group else version)
        places = [f"/namespaces/{namespace}" for namespace in namespaces] or [""]
        found: set[str] = set()
        for place in places:
            found |= await self._uids(f"{base}{place}/{plural}", plural, selector)
        return found

    async def _uids(self, path: str, plural: str, selector: str) -> set[str]:
        """Read by pages: some thousand objects at once hold up the event loop."""
        found: set[str] = set()
        page = ""
        while True:
            query = (("labelSelector", selector), ("limit", str(_PAGE)), ("continue", page))
            request = Request("GET", path, plural, query, accept=_METADATA_ONLY)
            answer = await self._transport.send(request)
            found |= {item["metadata"]["uid"] for item in answer["items"]}
            page = answer["metadata"].get("continue", "")
            if not page:
                return found

    async def _list(self, path: str, kind: str, selector: str) -> Sequence[Manifest]:
        query = (("labelSelector", selector),)
        answer = await self._transport.send(Request("GET", path, kind, query=query))
        items: Sequence[Manifest] = answer["items"]
        return items

    async def _apply_status(self, body: Manifest, field_manager: str) -> Json:
        path, kind = f"{_path(body)}/status", f"{body['kind']}/status"
        return await self._apply(path, body, field_manager, kind=kind)

    async def _apply(
        self,
        path: str,
        body: Manifest,
        field_manager: str,
        *,
        force: bool = True,
        kind: str | None = None,
    ) -> Json:
        query = (("fieldManager", field_manager), ("force", str(force).lower()))
        kind = kind or body["kind"]
        request = Request("PATCH", path, kind, query, body=dict(body), content_type=APPLY)
        return await self._transport.send(request)


def _base(api_version: str) -> str:
    return f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"


def _path(manifest: Manifest) -> str:
    metadata = manifest["metadata"]
    place = f"/namespaces/{metadata['namespace']}" if metadata.get("namespace") else ""
    plural = resources.PLURALS[manifest["kind"]]
    return f"{_base(manifest['apiVersion'])}{place}/{plural}/{metadata['name']}"


def _event(
    about: ObjectReference, kind: str, reason: str, message: str, now: datetime
) -> dict[str, Any]:
    time = now.strftime("%Y-%m-%dT%H:%M:%SZ")
    identity = f"{about.uid}\n{kind}\n{reason}\n{message}"
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {
            "name": f"{about.name}.{hashlib.sha256(identity.encode()).hexdigest()[:16]}",
            "namespace": about.namespace,
        },
        "involvedObject": about.as_dict(),
        "type": kind,
        "reason": reason,
        "message": message,
        "source": {"component": names.FIELD_MANAGER},
        "reportingComponent": names.FIELD_MANAGER,
        "firstTimestamp": time,
        "lastTimestamp": time,
        "count": 1,
    }


def _master_key_secret(namespace: str) -> dict[str, Any]:
    key = base64.b64encode(secrets.token_bytes(_MASTER_KEY_BYTES)).decode()
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": MASTER_KEY_SECRET,
            "namespace": namespace,
            "labels": {names.LABEL_NAME: names.MANAGED_BY},
        },
        "type": "Opaque",
        "data": {_MASTER_KEY_ENTRY: key},
    }


def _master_key(secret: Manifest) -> bytes:
    """Return the key of the Secret. Raises ConflictError for a Secret that is not ours."""
    key = base64.b64decode(secret.get("data", {}).get(_MASTER_KEY_ENTRY, ""))
    if len(key) < _MASTER_KEY_BYTES:
        raise ConflictError(
            f"Secret {MASTER_KEY_SECRET} has no entry {_MASTER_KEY_ENTRY} of "
            f"{_MASTER_KEY_BYTES} bytes: delete it, and the operator makes another"
        )
    return key
