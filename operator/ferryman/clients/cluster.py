"""The agent's three requests to the API server: read its Node, apply its profile and its status."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, Self

from ferryman.api import quantity
from ferryman.api.names import AGENT_FIELD_MANAGER, API_VERSION, GROUP, VERSION
from ferryman.clients.api_server import ApiServer, ApiServerError, NoCredentialsError

PLURAL: Final = "nodeprofiles"


@dataclass(frozen=True, slots=True)
class Node:
    """What the agent needs of its Node object."""

    name: str
    uid: str
    architecture: str
    cpu_millicores: int
    """Allocatable CPU."""
    memory_bytes: int
    """Allocatable memory."""
    labels: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def from_body(cls, body: Mapping[str, Any]) -> Self:
        """Read a Node object. Raises KeyError or ValueError when it has no allocatable yet."""
        metadata, status = _object(body, "metadata"), _object(body, "status")
        allocatable = _object(status, "allocatable")
        return cls(
            name=str(metadata["name"]),
            uid=str(metadata["uid"]),
            architecture=str(_object(status, "nodeInfo").get("architecture") or "unknown"),
            cpu_millicores=quantity.to_millicores(_quantity(allocatable, "cpu")),
            memory_bytes=quantity.to_units(_quantity(allocatable, "memory")),
            labels={str(key): str(value) for key, value in _object(metadata, "labels").items()},
        )


def _object(body: Any, key: str) -> Mapping[str, Any]:  # noqa: ANN401  JSON
    """Return a field that holds an object; one that is absent or null holds nothing."""
    value = body.get(key) if isinstance(body, Mapping) else None
    return value if isinstance(value, Mapping) else {}


def _quantity(allocatable: Mapping[str, Any], key: str) -> str | int:
    value = allocatable[key]
    if not isinstance(value, str | int):
        raise ValueError(f"{key} is {value!r}, which is no quantity")  # noqa: TRY004  data, not code
    return value


class ClusterError(Exception):
    """A request to the API server failed; to be tried again later."""


class ProfileMissingError(ClusterError):
    """The NodeProfile is not there: apply it before its status."""


class Cluster(Protocol):
    """The API server, as the agent uses it. All methods raise ClusterError."""

    def node(self, name: str) -> Node:
        """Return the Node."""
        ...

    def apply_profile(self, node: Node) -> None:
        """Create the Node's profile, or make the Node its owner."""
        ...

    def apply_status(self, name: str, status: Mapping[str, Any]) -> None:
        """Apply the agent's part of the status; raises ProfileMissingError without a profile."""
        ...


def profile_body(node: Node) -> dict[str, Any]:
    """Return the NodeProfile without status: named like the Node and deleted with it."""
    owner = {"apiVersion": "v1", "kind": "Node", "name": node.name, "uid": node.uid}
    return {**_header(node.name), "metadata": {"name": node.name, "ownerReferences": [owner]}}


class KubernetesCluster:
    """The real one: with in-cluster credentials, or by a kubeconfig."""

    def __init__(self, kubeconfig: str | None = None) -> None:
        """Read the credentials. Raises ClusterError without any."""
        try:
            self._server = ApiServer.as_agent(kubeconfig)
        except NoCredentialsError as error:
            raise ClusterError(f"no credentials for the API server: {error}") from error

    def node(self, name: str) -> Node:
        """Return the Node. Raises ClusterError."""
        with _asking():
            body = self._server.get(f"/api/v1/nodes/{name}")
        try:
            return Node.from_body(body)
        except (KeyError, ValueError) as error:
            raise ClusterError(f"node {name} has no allocatable resources yet: {error}") from error

    def apply_profile(self, node: Node) -> None:
        """Create the Node's profile, or make the Node its owner. Raises ClusterError."""
        with _asking():
            self._server.apply(_path(node.name), profile_body(node), AGENT_FIELD_MANAGER)

    def apply_status(self, name: str, status: Mapping[str, Any]) -> None:
        """Apply the agent's part of the status. Raises ClusterError, ProfileMissingError."""
        body = {**_header(name), "status": status}
        with _asking():
            self._server.apply(f"{_path(name)}/status", body, AGENT_FIELD_MANAGER)


@contextmanager
def _asking() -> Iterator[None]:
    try:
        yield
    except ApiServerError as error:
        kind = ProfileMissingError if error.is_missing else ClusterError
        status = f"{error.status} " if error.status else ""
        raise kind(f"{error.request}: {status}{error}") from error


def _header(name: str) -> dict[str, Any]:
    return {"apiVersion": API_VERSION, "kind": "NodeProfile", "metadata": {"name": name}}


def _path(name: str) -> str:
    return f"/apis/{GROUP}/{VERSION}/{PLURAL}/{name}"
