"""The operator: sessions one after the other, for as long as the process is to run."""

import asyncio
import gc
import logging
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import yaml

from ferryman.api import names
from ferryman.clients import triton
from ferryman.clients.kubernetes import Kubernetes, KubernetesApi
from ferryman.clients.kubernetes_errors import ConflictError, KubernetesError
from ferryman.clients.kubernetes_transport import Configuration, Transport, load_configuration
from ferryman.handlers import health, session
from ferryman.handlers.health import Health
from ferryman.handlers.metrics import Metrics
from ferryman.handlers.reconcile import Clocks
from ferryman.handlers.servers import Connect
from ferryman.handlers.session import Dependencies, Scope
from ferryman.handlers.work_queue import Backoff

_log = logging.getLogger(__name__)

WAIT_FOR_KINDS_S: Final = 2.0
#: A decision makes thousands of values that no cycle keeps; looking for cycles after every 700 of
#: them, as Python does, takes longer than the decision where nodes are many.
COLLECT_AFTER: Final = 50_000
#: A session that lasted so long was a good one: the next failure starts with a short pause.
GOOD_SESSION_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line says."""

    scope: Scope
    kubeconfig: str | None = None
    context: str | None = None
    runtimes: Path | None = None
    """A folder with InferenceRuntimes to apply at start."""
    host: str = ""
    """Where probes and metrics are answered; empty: everywhere, as probes come from the node."""
    port: int = 8080


def connect_to_triton(clock: Callable[[], float]) -> Connect:
    """Return how servers are connected to."""
    return lambda ip, model, control_key: triton.connect(ip, model, control_key, clock=clock)


async def run(options: Options) -> None:
    """Run until SIGTERM or SIGINT. Raises ConfigException without credentials."""
    gc.set_threshold(COLLECT_AFTER)
    configuration = await load_configuration(options.kubeconfig, options.context)
    metrics, state = Metrics(), Health(time.monotonic)
    async with AsyncExitStack() as stack:
        transport = Transport(configuration, on_write=metrics.write)
        kubernetes = KubernetesApi(await stack.enter_async_context(transport))
        serving = health.serve(state, metrics, host=options.host, port=options.port)
        port = await stack.enter_async_context(serving)
        _log.info("started", extra={"port": port, "namespaces": options.scope.namespaces or "all"})
        checking = asyncio.create_task(state.check(kubernetes), name="health check")
        stack.callback(checking.cancel)
        await Supervisor(options, kubernetes, state, metrics).run()
    _log.info("stopped")


@dataclass
class Supervisor:
    """Holds one session after the other until told to stop."""

    options: Options
    kubernetes: Kubernetes
    health: Health
    metrics: Metrics
    stop: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self) -> None:
        """Return after SIGTERM or SIGINT; whatever else ends a session starts another."""
        backoff, failures = Backoff(1.0, 30.0), 0
        self._own_signals()
        while not self.stop.is_set():
            started_s = time.monotonic()
            try:
                await self._hold_session()
            except Exception as error:  # noqa: BLE001  said, and started over
                self._own_signals()
                failures = 1 if time.monotonic() - started_s > GOOD_SESSION_S else failures + 1
                pause_s = backoff.pause_s(failures)
                extra = {"why": f"{type(error).__name__}: {error}", "pause_s": pause_s}
                _log.warning("watching the cluster ended; it starts over", extra=extra)
                await self._wait(pause_s)

    async def _hold_session(self) -> None:
        """Wait for our kinds, make everything ready, and hold one session."""
        if not await self._kinds_are_served():
            return
        for manifest in _shipped(self.options.runtimes):
            await _apply_runtime(self.kubernetes, manifest)
        namespace = self.options.scope.operator_namespace
        dependencies = Dependencies(
            self.kubernetes,
            connect_to_triton(time.monotonic),
            Clocks(now=lambda: datetime.now(UTC), seconds=time.monotonic),
            self.health,
            self.metrics,
            await self.kubernetes.ensure_master_key(namespace),
        )
        await session.run(
            dependencies, self.options.scope, self._login, self.stop, self._own_signals
        )
        if not self.stop.is_set():
            raise RuntimeError("kopf ended without an error and without being told to")

    async def _kinds_are_served(self) -> bool:
        """Wait for the CustomResourceDefinitions; return False when told to stop meanwhile."""
        told = False
        while not await self.kubernetes.serves_kinds():
            if not told:
                _log.warning(
                    "the CustomResourceDefinitions of %s are not installed: waiting for them; "
                    "what serves keeps serving",
                    names.GROUP,
                )
                told = True
            if await self._wait(WAIT_FOR_KINDS_S):
                return False
        return True

    async def _login(self) -> Configuration:
        return await load_configuration(self.options.kubeconfig, self.options.context)

    def _own_signals(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, self.stop.set)

    async def _wait(self, seconds: float) -> bool:
        """Wait, but not past the order to stop; return whether it came."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.stop.wait()
        return self.stop.is_set()


def _shipped(folder: Path | None) -> Iterator[dict[str, Any]]:
    for path in sorted(folder.glob("*.yaml")) if folder else ():
        yield from (document for document in yaml.safe_load_all(path.read_text()) if document)


async def _apply_runtime(kubernetes: Kubernetes, manifest: dict[str, Any]) -> None:
    """Apply a runtime, unless somebody changed one of its fields: then it is theirs."""
    extra = {"runtime": manifest["metadata"]["name"]}
    try:
        await kubernetes.apply(manifest, force=False)
    except ConflictError as error:
        _log.info("the runtime was edited and stays as it is", extra=extra | {"why": str(error)})
    except KubernetesError as error:
        if error.fault == "cluster":
            raise
        _log.warning("the runtime was not applied", extra=extra | {"why": str(error)})
