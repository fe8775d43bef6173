"""Requests to the API server: credentials, deadlines, and bounded retries with back-off.

The generated classes of kubernetes_asyncio would turn every answer into model objects; its
lower level, used here, handles credentials and TLS and leaves JSON as it is.
"""

import asyncio
import json
import math
import os
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self

import aiohttp
from kubernetes_asyncio import client, config

from ferryman.clients.bounded.answers import read_list, read_object
from ferryman.clients.kubernetes_errors import KubernetesError, TemporaryError, from_status
from ferryman.clients.proxy import proxy_for

REQUEST_TIMEOUT_S: Final = 15.0
#: Pauses between tries, each stretched by up to half at random: about 5 s altogether.
BACKOFF_S: Final = (0.2, 0.5, 1.0, 2.0)
#: A server that asks for more patience than this gets it from the work queue instead.
LONGEST_RETRY_AFTER_S: Final = 5.0
APPLY: Final = "application/apply-patch+yaml"  # JSON is YAML
MERGE: Final = "application/merge-patch+json"
STEPS: Final = "application/json-patch+json"
_FIRST_ERROR: Final = 300
_OF_LISTS: Final = ("fieldSelector", "labelSelector", "limit")

Json = dict[str, Any]
Configuration = client.Configuration
"""Where the API server is, and the credentials for it."""
ConfigException = config.ConfigException
"""There are no credentials."""
#: Called after every accepted write with its verb and the kind (or plural) it was about.
OnWrite = Callable[[str, str], None]


@dataclass(frozen=True, slots=True)
class Request:
    """One request: ``kind`` is for counting and for messages."""

    method: str
    path: str
    kind: str
    query: tuple[tuple[str, str], ...] = ()
    body: Json | list[Json] | None = None
    content_type: str = "application/json"
    accept: str = "application/json"

    @property
    def is_list(self) -> bool:
        """Whether it is answered with many objects: such requests say which, or how many."""
        names = {name for name, _ in self.query}
        return self.method == "GET" and not names.isdisjoint(_OF_LISTS)

    @property
    def verb(self) -> str:
        """The verb as RBAC names it."""
        if self.content_type == APPLY:
            return "apply"
        return {"GET": "get", "POST": "create", "PATCH": "patch", "DELETE": "delete"}[self.method]


async def load_configuration(
    kubeconfig: str | None = None, context: str | None = None
) -> Configuration:
    """Return the credentials: in-cluster where there are such, else from a kubeconfig.

    Raises ConfigException when there are none.
    """
    configuration = Configuration()
    if kubeconfig is None and context is None and "KUBERNETES_SERVICE_HOST" in os.environ:
        config.load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
    else:
        await config.load_kube_config(
            config_file=kubeconfig, context=context, client_configuration=configuration
        )
    return configuration


def proxy_of(configuration: Configuration) -> str | None:
    """Return the proxy to the API server: a kubeconfig's own, else the environment's, or none."""
    return configuration.proxy or proxy_for(configuration.host or "", os.environ)


class Transport:
    """A connection pool to the API server; use it as an asynchronous context manager."""

    def __init__(
        self,
        configuration: client.Configuration,
        *,
        on_write: OnWrite = lambda _verb, _kind: None,
        may_write_for_s: Callable[[], float] = lambda: math.inf,
        backoff_s: Sequence[float] = BACKOFF_S,
    ) -> None:
        self._api = client.ApiClient(configuration)
        # The proxy is stated: aiohttp's own reading of the environment knows no networks.
        self._api.rest_client.proxy = proxy_of(configuration) or ""
        self._api.rest_client.pool_manager._trust_env = False  # noqa: SLF001
        self._on_write = on_write
        self._may_write_for_s = may_write_for_s
        self._backoff_s = tuple(backoff_s)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close all connections."""
        await self._api.close()

    async def send(self, request: Request, *, tries: int | None = None) -> Json:
        """Return the answer's JSON. Raises a KubernetesError after the last try.

        Every request here may be repeated: what was created or deleted by a try whose answer
        was lost shows as a ConflictError or a NotFoundError of the next.
        """
        pauses = self._backoff_s if tries is None else self._backoff_s[: tries - 1]
        for pause_s in pauses:
            try:
                return await self._send_once(request)
            except TemporaryError as error:
                if not _worth_another_try(error):
                    raise
                await asyncio.sleep(_stretched(max(pause_s, error.retry_after_s)))
        return await self._send_once(request)

    def _timeout_s(self, request: Request) -> float:
        """Return how long the request may take: no write outlasts the permission to write."""
        if request.method == "GET":
            return REQUEST_TIMEOUT_S
        left_s = self._may_write_for_s()
        if left_s <= 0:
            raise TemporaryError(f"{_what(request)}: not sent: this operator does not lead now")
        return min(REQUEST_TIMEOUT_S, left_s)

    async def _send_once(self, request: Request) -> Json:
        timeout_s = self._timeout_s(request)
        try:
            response = await self._api.call_api(
                request.path,
                request.method,
                query_params=list(request.query),
                header_params={"Accept": request.accept, "Content-Type": request.content_type},
                body=request.body,
                auth_settings=["BearerToken"],
                _preload_content=False,
                _request_timeout=timeout_s,
            )
            async with response:
                if request.is_list and response.status < _FIRST_ERROR:
                    return await read_list(response.content)
                data = await read_object(response.content)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            words = str(error) or type(error).__name__
            raise TemporaryError(f"{_what(request)}: the API server: {words}") from error
        if response.status >= _FIRST_ERROR:
            after = response.headers.get("Retry-After", "")
            raise _refusal(request, response.status, data, after)
        if request.method != "GET":
            self._on_write(request.verb, request.kind)
        answer: Json = json.loads(data)
        return answer


def _what(request: Request) -> str:
    return f"{request.verb} {request.kind} at {request.path}"


def _refusal(request: Request, status: int, data: bytes, retry_after: str) -> KubernetesError:
    """Return the error; ``retry_after`` is the header's seconds, or empty."""
    seconds = float(retry_after) if retry_after.isdigit() else 0.0
    return from_status(
        status, f"{_what(request)}: {status} {_message(data)}", min(seconds, LONGEST_RETRY_AFTER_S)
    )


def _message(data: bytes) -> str:
    """Return the message of a Status object, or the beginning of whatever came instead."""
    try:
        return str(json.loads(data)["message"])
    except (ValueError, KeyError, TypeError):
        return data[:200].decode(errors="replace")


def _worth_another_try(error: TemporaryError) -> bool:
    """Whether the request never reached a decision: a conflict is an answer."""
    return error.status is None or error.status == 429 or error.status >= 500  # noqa: PLR2004


def _stretched(pause_s: float) -> float:
    return pause_s * random.uniform(1.0, 1.5)  # noqa: S311  jitter, not cryptography
