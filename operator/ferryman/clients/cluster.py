"""The API server, asked one request after the other: by the agent and by the command line.

Requests are made at the official client's lower level: its generated API classes would cost the
agent 20 MiB. The client itself is imported late: what needs no cluster does without its 15 MiB.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Protocol, Self

from urllib3.exceptions import HTTPError

from ferryman.api import quantity
from ferryman.api.names import AGENT_FIELD_MANAGER, API_VERSION, GROUP, VERSION
from ferryman.api.resources import NODE_PROFILE

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

CONNECT_TIMEOUT_S: Final = 3.0
READ_TIMEOUT_S: Final = 10.0
_APPLY: Final = "application/apply-patch+yaml"  # JSON is YAML
_MERGE: Final = "application/merge-patch+json"
_JSON: Final = "application/json"
_NOT_FOUND: Final = 404
_FIRST_ERROR: Final = 300

Json = dict[str, Any]
Query = Sequence[tuple[str, str]]


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


class ApiServerError(Exception):
    """A request that failed; the text is the API server's own where it gave one."""

    def __init__(self, request: str, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.request = request
        """Method and path."""
        self.status = status
        """None where no answer came."""

    @property
    def is_missing(self) -> bool:
        """Whether what was asked for is not there."""
        return self.status == _NOT_FOUND


class NoCredentialsError(Exception):
    """There is nothing to connect with; the text says what was looked for."""


class ApiServer:
    """Reads and writes objects, each as the JSON values that the API server sends.

    Every method raises ApiServerError.
    """

    def __init__(
        self, api: "ApiClient", namespace: str = "default", *, of_others: bool = False
    ) -> None:
        """``of_others``: objects that anybody wrote are asked for, and read within bounds."""
        from kubernetes.client import ApiException  # noqa: PLC0415

        self._api = api
        self._of_others = of_others
        self._refusal: type[Exception] = ApiException
        self.namespace = namespace
        """That of the kubeconfig's context."""

    @classmethod
    def as_agent(cls, kubeconfig: str | None) -> Self:
        """Connect from a pod, or by a kubeconfig. Raises NoCredentialsError."""
        from kubernetes import client, config  # noqa: PLC0415

        configuration = client.Configuration()
        try:
            if kubeconfig:
                config.load_kube_config(kubeconfig, client_configuration=configuration)  # type: ignore[no-untyped-call]
            else:
                config.load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
        except config.ConfigException as error:
            raise NoCredentialsError(str(error)) from error
        configuration.retries = False  # its loop tries again, and goes on sampling meanwhile
        return cls(client.ApiClient(configuration))

    @classmethod
    def as_kubectl(cls, context: str | None) -> Self:
        """Connect as kubectl would, by a context or the current one. Raises NoCredentialsError."""
        from kubernetes import config  # noqa: PLC0415

        try:
            api = config.new_client_from_config(context=context)  # type: ignore[no-untyped-call]
            contexts, active = config.list_kube_config_contexts()  # type: ignore[no-untyped-call]
        except config.ConfigException as error:
            raise NoCredentialsError(str(error)) from error
        chosen = next((each for each in contexts if each["name"] == context), active)
        namespace = str(chosen.get("context", {}).get("namespace") or "default")
        return cls(api, namespace, of_others=True)

    def get(self, path: str) -> Json:
        """Return an object, or its stub."""
        return self._json("GET", path)

    def items(self, path: str, selector: str = "") -> list[Json]:
        """Return the objects of a list, those with these labels, or their stubs."""
        query = [("labelSelector", selector)] if selector else []
        if not self._of_others:
            found: list[Json] = self._json("GET", path, query=query)["items"]
            return found
        from ferryman.clients.bounded import objects  # noqa: PLC0415  the agent needs no numpy

        return objects.read_items(self._request("GET", path, query=query))

    def text(self, path: str, query: Query) -> str:
        """Return what is no JSON: a container's log."""
        return self._request("GET", path, query=query).decode(errors="replace")

    def merge(self, path: str, body: Mapping[str, Any]) -> Json:
        """Merge fields into an object that is there."""
        return self._json("PATCH", path, body=dict(body), content_type=_MERGE)

    def apply(self, path: str, body: Mapping[str, Any], field_manager: str) -> Json:
        """Create or change an object; what the manager stated before and no longer does goes."""
        query = [("fieldManager", field_manager), ("force", "true")]
        # The client writes bodies as JSON itself where they are called so, and else as they stand.
        text = json.dumps(body)
        return self._json("PATCH", path, query=query, body=text, content_type=_APPLY)

    def _json(self, method: str, path: str, **request: Any) -> Json:  # noqa: ANN401
        data = self._request(method, path, **request)
        try:
            answer: Json = self._read(data)
        except ValueError as error:
            raise ApiServerError(f"{method} {path}", f"the answer is no JSON: {error}") from error
        return answer

    def _read(self, data: bytes) -> Json:
        if not self._of_others:
            own: Json = json.loads(data)
            return own
        from ferryman.clients.bounded import objects  # noqa: PLC0415  the agent needs no numpy

        found: Json = objects.read(data)
        return found

    def _request(
        self,
        method: str,
        path: str,
        *,
        query: Query = (),
        body: Json | str | None = None,
        content_type: str = _JSON,
    ) -> bytes:
        request = self._api.param_serialize(
            method,
            path,
            query_params=list(query),
            header_params={"Accept": f"{_JSON}, */*", "Content-Type": content_type},
            body=body,
            auth_settings=["BearerToken"],
        )
        timeout_s = (CONNECT_TIMEOUT_S, READ_TIMEOUT_S)
        try:
            answer = self._api.call_api(*request, _request_timeout=timeout_s)
            data: bytes = answer.read()  # type: ignore[no-untyped-call]
        except (HTTPError, OSError, self._refusal) as error:
            words = f"{type(error).__name__}: {error}"
            raise ApiServerError(f"{method} {path}", words) from error
        if answer.status >= _FIRST_ERROR:
            words = _words(data, answer.status, answer.reason)
            raise ApiServerError(f"{method} {path}", words, answer.status)
        return data


def _words(data: bytes, status: int, reason: str | None) -> str:
    """Return the API server's own words, which name the object or the missing permission."""
    try:
        return str(json.loads(data)["message"])
    except (ValueError, KeyError, TypeError):
        message = f"the API server answers {status} {reason}"
    # It has words for an object that is missing, but none for a kind that is.
    return f"{message}: are Ferryman's CRDs installed?" if status == _NOT_FOUND else message


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
    return {"apiVersion": API_VERSION, "kind": NODE_PROFILE.kind, "metadata": {"name": name}}


def _path(name: str) -> str:
    return f"/apis/{GROUP}/{VERSION}/{NODE_PROFILE.plural}/{name}"
