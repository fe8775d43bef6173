"""Triton over HTTP as the server under measurement: requests in a closed loop, in threads."""

import math
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from ferryman.agent.measuring.measurement import Round
from ferryman.clients.inference import Request, Signature
from ferryman.clients.triton_http import (
    TritonConnection,
    TritonError,
    TritonLostError,
    TritonMemoryError,
    random_request,
)

SEED: Final = 1
#: A request is held about three times while it is built; the client may use 1 GiB.
MAX_REQUEST_BYTES: Final = 256 * 2**20
#: A Triton that was killed is started again by the kubelet, and loads the model anew.
RESTART_S: Final = 120.0


class HttpServer:
    """Triton over HTTP: one thread and one connection a worker."""

    def __init__(self, connection: TritonConnection, model: str) -> None:
        """Read what the model takes. Raises TritonError."""
        self._connection = connection
        self._model = model
        self._signature = connection.signature(model)
        self._config = _try_config(connection, model)
        self._request: tuple[int, Request] | None = None

    def largest_batch(self) -> int | None:
        """Return the model's batch size bound, as its configuration or its inputs tell."""
        if self._config is not None:
            return int(self._config.get("max_batch_size", 0))
        batched = all(tensor.shape and tensor.shape[0] == -1 for tensor in self._signature.inputs)
        return None if batched else 0

    def play(
        self,
        batch_size: int,
        *,
        workers: int,
        least_s: float,
        least_requests: int,
        deadline_s: float,
    ) -> Round:
        """Send requests in a closed loop. Raises TritonError, TritonMemoryError.

        A server that goes away and comes back counts as out of memory: that is what the kernel's
        killer looks like from here.
        """
        request = self._request_of(batch_size)
        start_s = time.monotonic()

        def is_over(sent: int) -> bool:
            now_s = time.monotonic()
            return now_s >= deadline_s or (now_s - start_s >= least_s and sent >= least_requests)

        def work(connection: TritonConnection) -> list[float]:
            return list(_closed_loop(lambda: connection.infer(self._model, request), is_over))

        try:
            latencies = work(self._connection) if workers == 1 else self._in_parallel(work, workers)
        except TritonLostError as error:
            self._connection.wait_ready(self._model, RESTART_S)
            raise TritonMemoryError(f"Triton was killed and started again: {error}") from error
        return Round(batch_size * len(latencies), time.monotonic() - start_s, tuple(latencies))

    def set_instances(self, count: int) -> None:
        """Load the model with so many instances and no batcher, which would mix the requests."""
        if self._config is None:
            raise TritonError("the server does not show its configuration")
        self._connection.load(self._model, with_instances(self._config, count))

    def _in_parallel(
        self, work: Callable[[TritonConnection], list[float]], workers: int
    ) -> list[float]:
        connections = [self._connection.again() for _ in range(workers)]
        try:
            with ThreadPoolExecutor(workers) as pool:
                return [latency for part in pool.map(work, connections) for latency in part]
        finally:
            for connection in connections:
                connection.close()

    def _request_of(self, batch_size: int) -> Request:
        """Build the request once per batch size; only one is kept, as they can be large."""
        if self._request is None or self._request[0] != batch_size:
            self._request = None
            size = batch_size * image_bytes(self._signature)
            if size > MAX_REQUEST_BYTES:
                raise TritonMemoryError(f"a request of {size >> 20} MiB is too much for the client")
            batched = self.largest_batch() != 0
            self._request = (
                batch_size,
                random_request(self._signature, batch_size if batched else None, SEED),
            )
        return self._request[1]


def image_bytes(signature: Signature) -> int:
    """Return the size of one image's inputs; dimensions of any size count as 1."""
    return sum(
        math.prod(max(1, size) for size in tensor.shape) * tensor.item_bytes
        for tensor in signature.inputs
    )


def with_instances(config: dict[str, Any], count: int) -> dict[str, Any]:
    """Return a ModelConfig with so many instances in each group and without a batcher."""
    groups = config.get("instance_group") or [{}]
    plain = {key: value for key, value in config.items() if key != "dynamic_batching"}
    return {**plain, "instance_group": [{**group, "count": count} for group in groups]}


def _closed_loop(ask: Callable[[], None], is_over: Callable[[int], bool]) -> Iterator[float]:
    """Ask again and again, at least once; yield each answer's latency in milliseconds."""
    sent = 0
    while sent == 0 or not is_over(sent):
        start_s = time.perf_counter()
        ask()
        yield (time.perf_counter() - start_s) * 1_000
        sent += 1


def _try_config(connection: TritonConnection, model: str) -> dict[str, Any] | None:
    """Return the configuration, or None where the server keeps it to itself."""
    try:
        return connection.config(model)
    except TritonError:
        return None
