"""The agent's three requests to the API server: read its Node, apply its NodeProfile, its status.

The generated API classes would cost 20 MiB for their models; the client's lower level does not.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, Self

from urllib3.exceptions import HTTPError

from ferryman.api import quantity
from ferryman.api.names import AGENT_FIELD_MANAGER, API_VERSION, GROUP, VERSION

CONNECT_TIMEOUT_S: Final = 3.0
READ_TIMEOUT_S: Final = 10.0
PLURAL: Final = "nodeprofiles"
_APPLY: Final = "application/apply-patch+yaml"  # JSON is YAML
_NOT_FOUND: Final = 404
_FIRST_ERROR: Final = 300


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
    """The official client: in-cluster credentials, or a kubeconfig."""

    def __init__(self, kubeconfig: str | None = None) -> None:
        """Read the credentials. Raises ClusterError without any."""
        from kubernetes import client, config  # noqa: PLC0415  15 MiB: `discover` does without

        configuration = client.Configuration()
        try:
            if kubeconfig:
                config.load_kube_config(kubeconfig, client_configuration=configuration)  # type: ignore[no-untyped-call]
            else:
                config.load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
        except config.ConfigException as error:
            raise ClusterError(f"no credentials for the API server: {error}") from error
        configuration.retries = False  # the loop tries again, and goes on sampling meanwhile
        self._api = client.ApiClient(configuration)
        self._refusal: type[Exception] = client.ApiException

    def node(self, name: str) -> Node:
        """Return the Node. Raises ClusterError."""
        body = self._request("GET", f"/api/v1/nodes/{name}")
        try:
            return Node.from_body(body)
        except (KeyError, ValueError) as error:
            raise ClusterError(f"node {name} has no allocatable resources yet: {error}") from error

    def apply_profile(self, node: Node) -> None:
        """Create the Node's profile, or make the Node its owner. Raises ClusterError."""
        self._apply(_path(node.name), profile_body(node))

    def apply_status(self, name: str, status: Mapping[str, Any]) -> None:
        """Apply the agent's part of the status. Raises ClusterError, ProfileMissingError."""
        self._apply(f"{_path(name)}/status", {**_header(name), "status": status})

    def _apply(self, path: str, body: Mapping[str, Any]) -> None:
        query = [("fieldManager", AGENT_FIELD_MANAGER), ("force", "true")]
        self._request("PATCH", path, query=query, body=json.dumps(body), content_type=_APPLY)

    def _request(
        self,
        method: str,
        path: str,
        *,
        query: list[tuple[str, str]] | None = None,
        body: str | None = None,
        content_type: str = "application/json",
    ) -> Any:  # noqa: ANN401  JSON
        headers = {"Accept": "application/json", "Content-Type": content_type}
        request = self._api.param_serialize(
            method,
            path,
            query_params=query,
            header_params=headers,
            body=body,
            auth_settings=["BearerToken"],
        )
        try:
            answer = self._api.call_api(
                *request, _request_timeout=(CONNECT_TIMEOUT_S, READ_TIMEOUT_S)
            )
            data = answer.read()  # type: ignore[no-untyped-call]
        except (HTTPError, OSError, self._refusal) as error:
            raise ClusterError(f"{method} {path}: {type(error).__name__}: {error}") from error
        if answer.status >= _FIRST_ERROR:
            kind = ProfileMissingError if answer.status == _NOT_FOUND else ClusterError
            raise kind(f"{method} {path}: {answer.status} {_message(data)}")
        try:
            return json.loads(data)
        except ValueError as error:
            raise ClusterError(f"{method} {path}: the answer is no JSON: {error}") from error


def _header(name: str) -> dict[str, Any]:
    return {"apiVersion": API_VERSION, "kind": "NodeProfile", "metadata": {"name": name}}


def _path(name: str) -> str:
    return f"/apis/{GROUP}/{VERSION}/{PLURAL}/{name}"


def _message(data: bytes) -> str:
    """Return the message of a Status object, or the beginning of whatever came instead."""
    try:
        return str(json.loads(data)["message"])
    except (ValueError, KeyError, TypeError):
        return data[:200].decode(errors="replace")
