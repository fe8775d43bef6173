"""The Lease by which operators agree on who leads."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from ferryman.clients.bounded.objects import UNREAD
from ferryman.clients.kubernetes_errors import NotFoundError, PermanentError
from ferryman.clients.kubernetes_transport import MERGE, Json, Request, Transport

API_VERSION: Final = "coordination.k8s.io/v1"


@dataclass(frozen=True, slots=True)
class Leases:
    """One Lease. Every method asks once, and raises KubernetesError."""

    transport: Transport
    namespace: str
    name: str

    async def read(self) -> Json | None:
        """Return the Lease, or None where there is none yet."""
        try:
            return _whole(await self.transport.send(Request("GET", self._path, "Lease"), tries=1))
        except NotFoundError:
            return None

    async def create(self, spec: Mapping[str, Any]) -> Json:
        """Create it; ConflictError if somebody was faster."""
        body = {
            "apiVersion": API_VERSION,
            "kind": "Lease",
            "metadata": {"name": self.name, "namespace": self.namespace},
            "spec": dict(spec),
        }
        request = Request("POST", self._path.rpartition("/")[0], "Lease", body=body)
        return _whole(await self.transport.send(request, tries=1))

    async def change(self, version: str, spec: Mapping[str, Any]) -> Json:
        """Change the Lease of this version; ConflictError if it is another one by now."""
        body = {"metadata": {"resourceVersion": version}, "spec": dict(spec)}
        request = Request("PATCH", self._path, "Lease", body=body, content_type=MERGE)
        return _whole(await self.transport.send(request, tries=1))

    @property
    def _path(self) -> str:
        return f"/apis/{API_VERSION}/namespaces/{self.namespace}/leases/{self.name}"


def _whole(lease: Json) -> Json:
    """Return a Lease that was read: of a stub nobody could tell whose it is."""
    if UNREAD in lease:
        raise PermanentError(f"whose turn it is is not known: {lease[UNREAD]}")
    return lease
