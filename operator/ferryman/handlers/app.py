"""The operator: sessions one after the other, for as long as the process is to run."""

import asyncio
import gc
import logging
import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import yaml

from ferryman.api import names
from ferryman.clients import tracing, triton
from ferryman.clients.kubernetes import Kubernetes, KubernetesApi
from ferryman.clients.kubernetes_errors import ConflictError, KubernetesError
from ferryman.clients.kubernetes_transport import Configuration, Transport, load_configuration
from ferryman.clients.leases import Leases
from ferryman.handlers import health, session
from ferryman.handlers.health import Health
from ferryman.handlers.metrics import Metrics
from ferryman.handlers.reconciling.common import Clocks
from ferryman.handlers.running import leadership
from ferryman.handlers.running.fenced import FencedServer
from ferryman.handlers.running.leadership import Leadership
from ferryman.handlers.running.teardown import HungError
from ferryman.handlers.servers import Connect
from ferryman.handlers.session import Dependencies, Scope
from ferryman.handlers.work_queue import Backoff

_log = logging.getLogger(__name__)

WAIT_FOR_KINDS_S: Final = 2.0
LOOK_AT_TURN_S: Final = 0.2
#: A decision makes thousands of values that no cycle keeps; looking for cycles after every 700 of
#: them, as Python does, takes longer than the decision where nodes are many.
COLLECT_AFTER: Final = 50_000
#: A session that lasted so long was a good one: the next failure starts with a short pause.
GOOD_SESSION_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line says."""

    scope: Scope
    identity: str
    """How the operator calls itself in the Lease of whoever leads."""
    kubeconfig: str | None = None
    context: str | None = None
    runtimes: Path | None = None
    """A folder with InferenceRuntimes to apply at start."""
    host: str = ""
    """Where probes and metrics are answered; empty: everywhere, as probes come from the node."""
    port: int = 8080


def connect_to_triton(clock: Callable[[], float], may_write_for_s: Callable[[], float]) -> Connect:
    """Return how servers are connected to: whoever does not lead changes none of them."""
    return lambda ip, model, control_key: FencedServer(
        triton.connect(ip, model, control_key, clock=clock), may_write_for_s
    )


async def run(options: Options) -> None:
    """Run until SIGTERM or SIGINT. Raises ConfigException without credentials."""
    gc.set_threshold(COLLECT_AFTER)
    configuration = await load_configuration(options.kubeconfig, options.context)
    metrics, state = Metrics(), Health(time.monotonic)
    async with AsyncExitStack() as stack:
        if tracing.collector():
            # What sends is loaded only then. It begins first, so that it ends last.
            from ferryman.clients.tracing import export  # noqa: PLC0415

            about = {
                "service.instance.id": options.identity,
                "k8s.namespace.name": options.scope.operator_namespace,
            }
            stack.enter_context(export.to_collector(about, metrics.spans))
        # A connection of its own: it writes while the others may not.
        electing = await stack.enter_async_context(Transport(configuration))
        leases = Leases(electing, options.scope.operator_namespace, leadership.LEASE)
        leading = Leadership(
            leases, options.identity, clock=time.monotonic, now=lambda: datetime.now(UTC)
        )
        transport = Transport(
            configuration, on_write=metrics.write, may_write_for_s=leading.may_write_for_s
        )
        kubernetes = KubernetesApi(await stack.enter_async_context(transport))
        serving = health.serve(state, metrics, host=options.host, port=options.port)
        port = await stack.enter_async_context(serving)
        _log.info("started", extra={"port": port, "namespaces": options.scope.namespaces or "all"})
        checking = asyncio.create_task(state.check(kubernetes), name="health check")
        stack.callback(checking.cancel)
        await stack.enter_async_context(leading.taking_part())
        await Supervisor(options, kubernetes, state, metrics, leading).run()
    _log.info("stopped")
    if state.left_behind:
        # asyncio would wait for what does not end before it lets the process go.
        logging.shutdown()
        os._exit(os.EX_OK)


@dataclass
class Supervisor:
    """Holds one session after the other until told to stop."""

    options: Options
    kubernetes: Kubernetes
    health: Health
    metrics: Metrics
    leadership: Leadership
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
                self.health.left_behind += isinstance(error, HungError)
                failures = 1 if time.monotonic() - started_s > GOOD_SESSION_S else failures + 1
                pause_s = backoff.pause_s(failures)
                extra = {"why": f"{type(error).__name__}: {error}", "pause_s": pause_s}
                _log.warning("watching the cluster ended; it starts over", extra=extra)
                await self._wait(pause_s)

    async def _hold_session(self) -> None:
        """Wait for our turn and our kinds, make everything ready, and hold one session."""
        if not (await self._leads() and await self._kinds_are_served()):
            return
        for manifest in _shipped(self.options.runtimes):
            await _apply_runtime(self.kubernetes, manifest)
        namespace = self.options.scope.operator_namespace
        dependencies = Dependencies(
            self.kubernetes,
            connect_to_triton(time.monotonic, self.leadership.may_write_for_s),
            Clocks(now=lambda: datetime.now(UTC), seconds=time.monotonic),
            self.health,
            self.metrics,
            await self.kubernetes.ensure_master_key(namespace),
        )
        over = asyncio.Event()
        # All there before the session begins: it ends only when every task that came later has.
        ends = [asyncio.create_task(e.wait()) for e in (self.stop, self.leadership.lost)]
        ending = asyncio.create_task(_end_of_turn(ends, over), name="end of the turn")
        try:
            await session.run(
                dependencies, self.options.scope, self._login, over, self._own_signals
            )
        finally:
            ending.cancel()
        if not (over.is_set() or self.stop.is_set()):
            raise RuntimeError("kopf ended without an error and without being told to")

    async def _leads(self) -> bool:
        """Wait until it is our turn; return False when told to stop meanwhile."""
        while not self.leadership.leads.is_set():
            self.health.stands_by = self.leadership.hindrance is None
            if self.health.stands_by:
                self.health.waits()
            if await self._wait(LOOK_AT_TURN_S):
                break
        self.health.stands_by = False
        return not self.stop.is_set()

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
            self.health.waits()
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


async def _end_of_turn(ends: Sequence[asyncio.Task[bool]], over: asyncio.Event) -> None:
    """Set ``over`` when one of the tasks is done: told to stop, or another operator leads."""
    try:
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for end in ends:
            end.cancel()
    over.set()


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
