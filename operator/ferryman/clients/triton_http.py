"""A Triton server on loopback as the benchmark uses it: ready, described, asked, reloaded.

HTTP, because that is what clients will use; one connection a thread, requests built beforehand,
so that the client takes as little as possible of the CPU that is being measured.
"""

import http.client
import json
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Final, Self

import numpy as np

from ferryman.clients import inference
from ferryman.clients.inference import Request, Signature, Tensor

POLL_S: Final = 0.5
_OK: Final = 200
_MAX_WORDS: Final = 600
#: ONNX Runtime, CUDA, TensorRT, PyTorch, the C++ library and Linux, in this order.
_MEMORY_SIGNS: Final = (
    "failed to allocate memory",
    "out of memory",
    "outofmemory",
    "memoryallocation",
    "bad_alloc",
    "cannot allocate memory",
)
_JSON: Final = {"Content-Type": "application/json"}


class TritonError(Exception):
    """The server did not answer."""


class TritonRefusedError(TritonError):
    """The server answered that it will not; the message is its own."""


class TritonLostError(TritonError):
    """The connection broke: the server went away while it was asked."""


class TritonMemoryError(TritonError):
    """A request did not fit into the memory of the client, the server or its device."""


def is_about_memory(words: str) -> bool:
    """Say whether a refusal speaks of memory, in the words of the libraries that backends use."""
    lowered = words.lower()
    return any(sign in lowered for sign in _MEMORY_SIGNS)


class TritonConnection:
    """One connection that is kept open; not for use by several threads."""

    def __init__(
        self, url: str, timeout_s: float, headers: Mapping[str, str] | None = None
    ) -> None:
        """Prepare a connection to HOST:PORT; ``headers`` go with control calls."""
        self._url = url
        self._timeout_s = timeout_s
        self._control = dict(headers or {})
        self._connection = http.client.HTTPConnection(url, timeout=timeout_s)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def again(self) -> "TritonConnection":
        """Return another connection to the same server."""
        return TritonConnection(self._url, self._timeout_s, self._control)

    def close(self) -> None:
        """Close the connection; the next call opens it again."""
        self._connection.close()

    def wait_ready(self, model: str, timeout_s: float) -> None:
        """Return when the model is ready. Raises TritonError when it is not in time."""
        deadline_s = time.monotonic() + timeout_s
        while True:
            try:
                self._call("GET", f"/v2/models/{model}/ready")
            except TritonError as error:
                if time.monotonic() >= deadline_s:
                    raise TritonError(
                        f"model {model} is not ready after {timeout_s:.0f} s: {error}"
                    ) from error
                time.sleep(POLL_S)
            else:
                return

    def signature(self, model: str) -> Signature:
        """Return the model's inputs and outputs. Raises TritonError."""
        return Signature.from_metadata(json.loads(self._call("GET", f"/v2/models/{model}")))

    def config(self, model: str) -> dict[str, Any]:
        """Return the configuration in force, in its JSON form. Raises TritonError."""
        config: dict[str, Any] = json.loads(
            self._call("GET", f"/v2/models/{model}/config", headers=self._control)
        )
        return config

    def load(self, model: str, config: Mapping[str, Any]) -> None:
        """Load the model with a configuration. Raises TritonError, TritonRefusedError."""
        body = json.dumps({"parameters": {"config": json.dumps(config)}}).encode()
        self._call("POST", f"/v2/repository/models/{model}/load", body, {**_JSON, **self._control})

    def infer(self, model: str, request: Request) -> None:
        """Ask for one inference and read the whole answer.

        Raises TritonError; TritonMemoryError where the server says that memory was too small.
        """
        try:
            self._call("POST", f"/v2/models/{model}/infer", request.body, request.headers)
        except TritonRefusedError as error:
            if is_about_memory(str(error)):
                raise TritonMemoryError(str(error)) from error
            raise

    def _call(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> bytes:
        try:
            self._connection.request(method, path, body, dict(headers or {}))
            answer = self._connection.getresponse()
            data = answer.read()
        except (OSError, http.client.HTTPException) as error:
            self.close()
            lost = isinstance(error, ConnectionError | http.client.HTTPException)
            kind = TritonLostError if lost else TritonError
            raise kind(f"{method} {path}: {type(error).__name__}: {error}") from error
        if answer.status != _OK:
            raise TritonRefusedError(
                f"{method} {path}: {answer.status} {data[:_MAX_WORDS].decode(errors='replace')}"
            )
        return data


def random_request(signature: Signature, batch_size: int | None, seed: int) -> Request:
    """Return a request of random values in every input; other dimensions of any size are 1.

    ``batch_size`` None is a model that takes no batches.
    """
    random = np.random.default_rng(seed)
    arrays = {
        tensor.name: inference.draw(random, tensor, _shape(tensor, batch_size))
        for tensor in signature.inputs
    }
    return inference.build(arrays, [], None)


def _shape(tensor: Tensor, batch_size: int | None) -> list[int]:
    shape = [1 if size == -1 else size for size in tensor.shape]
    if batch_size is not None:
        shape[0] = batch_size
    return shape
