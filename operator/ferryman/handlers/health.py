"""What Kubernetes and Prometheus ask the operator: /healthz, /readyz and /metrics.

Health is freshness: work is being handled or there is none. A process that merely answers a probe
may long have lost its workers, or hold one session after the other that fails. An API server that
is silent keeps the operator from its work, but a new start would wait for it as well, and have
forgotten what was learned of the models.
"""

import asyncio
import contextlib
import errno
import logging
import socket
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Final, Protocol

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from ferryman.clients.kubernetes import Kubernetes
from ferryman.clients.kubernetes_errors import KubernetesError
from ferryman.handlers.metrics import Metrics

_log = logging.getLogger(__name__)

#: An API server that was silent, or work that lay untouched, for so long is a failure.
STALE_AFTER_S: Final = 60.0
CHECK_PERIOD_S: Final = 15.0
#: So long may the operator not be at work, while the API server answers, before it starts anew.
UNREADY_AFTER_S: Final = 180.0
#: A session that lasts less was none: one that fails is ready for a moment before it does.
STEADY_S: Final = 30.0


class Queue(Protocol):
    """What of the work queue tells about health."""

    @property
    def depth(self) -> int:
        """Keys that wait for a worker."""
        ...

    def stuck_s(self) -> float:
        """Return for how many seconds work has waited while none was handled."""
        ...


@dataclass
class Health:
    """What was last known to work; times are of ``clock``, in seconds."""

    clock: Callable[[], float]
    queue: Queue | None = None
    """None while no session is held."""
    left_behind: int = 0
    """Sessions of which something could not be ended."""
    stands_by: bool = False
    """Whether another operator leads."""
    answered_at_s: float = field(init=False)
    asked_at_s: float = field(init=False)
    """When it was last asked for a sign of life, answered or not."""

    _ready_at_s: float | None = field(init=False, default=None)
    """Since when work is taken up; None where it is not."""
    _well_at_s: float = field(init=False)
    """When it last was, for long enough, or need not be."""

    def __post_init__(self) -> None:
        self.answered_at_s = self.asked_at_s = self._well_at_s = self.clock()

    @property
    def ready(self) -> bool:
        """Whether work is taken up."""
        return self._ready_at_s is not None

    @ready.setter
    def ready(self, ready: bool) -> None:
        if ready and self._ready_at_s is None:
            self._ready_at_s = self.clock()
        if not ready:
            self._unready_s()
            self._ready_at_s = None

    def waits(self) -> None:
        """Take note that there is nothing to do: the definitions are missing, another one leads."""
        self._well_at_s = self.clock()

    def answered(self) -> None:
        """Take note that the API server answered now."""
        self.answered_at_s = self.clock()

    def problem(self) -> str | None:
        """Return what only a new start mends, or None."""
        unasked_s = self.clock() - self.asked_at_s
        if unasked_s > STALE_AFTER_S:
            return f"the API server was not asked for {unasked_s:.0f} s"
        if self.left_behind:
            return f"of {self.left_behind} sessions with the API server something did not end"
        unready_s = self._unready_s()
        if unready_s > UNREADY_AFTER_S and self._silence() is None:
            return f"the operator has not been at work for {unready_s:.0f} s"
        stuck_s = self.queue.stuck_s() if self.queue else 0.0
        # While the API server is silent, work waits for it.
        if stuck_s > STALE_AFTER_S and self._silence() is None:
            return f"work has waited for {stuck_s:.0f} s and none was handled"
        return None

    def hindrance(self) -> str | None:
        """Return what keeps the operator from its work, or None."""
        at_work = self.ready or self.stands_by
        listed = None if at_work else "waiting for the watches to list everything"
        return self._silence() or listed or self.problem()

    def _unready_s(self) -> float:
        """Return for how many seconds no session has lasted."""
        now_s = self.clock()
        if self._ready_at_s is not None and now_s - self._ready_at_s >= STEADY_S:
            self._well_at_s = now_s
        return now_s - self._well_at_s

    def _silence(self) -> str | None:
        silent_s = self.clock() - self.answered_at_s
        if silent_s <= STALE_AFTER_S:
            return None
        return f"the API server has not answered for {silent_s:.0f} s"

    async def check(self, kubernetes: Kubernetes) -> None:
        """Ask the API server for a sign of life now and then, until cancelled."""
        while True:
            try:
                await kubernetes.ping()
            except KubernetesError as error:
                _log.warning("the API server does not answer", extra={"why": str(error)})
            else:
                self.answered()
            self.asked_at_s = self.clock()
            await asyncio.sleep(CHECK_PERIOD_S)


@contextlib.asynccontextmanager
async def serve(health: Health, metrics: Metrics, *, host: str, port: int) -> AsyncIterator[int]:
    """Serve while the block runs; yields the port (another one than asked for if that is 0).

    An empty host is every address of this machine, of both families where it has both.
    """
    # No keep-alive: an open connection must not hold up the operator's end.
    runner = web.AppRunner(
        _app(health, metrics), access_log=None, keepalive_timeout=0, shutdown_timeout=1.0
    )
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port) if host else web.SockSite(runner, _anywhere(port))
        await site.start()
        yield int(runner.addresses[0][1])
    finally:
        await runner.cleanup()


def _anywhere(port: int) -> socket.socket:
    """Return a listening socket for both families: the kubelet asks at a pod's first address."""
    try:
        if socket.has_dualstack_ipv6():
            return socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True)
    except OSError as error:  # the kernel knows IPv6, but it is switched off
        if error.errno == errno.EADDRINUSE:
            raise
    return socket.create_server(("", port))


def _app(health: Health, metrics: Metrics) -> web.Application:
    async def healthz(_: web.Request) -> web.Response:
        return _told(health.problem())

    async def readyz(_: web.Request) -> web.Response:
        return _told(health.hindrance())

    async def page(_: web.Request) -> web.Response:
        depth = health.queue.depth if health.queue else 0
        ready = health.hindrance() is None
        metrics.of_operator(ready=ready, leads=health.ready, queue_depth=depth)
        body = generate_latest(metrics.registry)
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_LATEST})

    app = web.Application()
    app.add_routes(
        [web.get("/healthz", healthz), web.get("/readyz", readyz), web.get("/metrics", page)]
    )
    return app


def _told(problem: str | None) -> web.Response:
    return web.Response(text=problem or "ok", status=503 if problem else 200)
