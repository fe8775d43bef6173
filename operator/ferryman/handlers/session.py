"""One session with the API server: kopf's watches feed a work queue of models.

A session ends when the operator is to stop, or when kopf gives up watching: the
CustomResourceDefinitions were deleted, permissions were withdrawn. It keeps nothing that cannot
be read anew, so that the next session simply starts over.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any, Final

import kopf

from ferryman.api.resources import INFERENCE_MODEL, Key
from ferryman.clients.kubernetes import Kubernetes
from ferryman.clients.kubernetes_errors import KubernetesError
from ferryman.clients.kubernetes_transport import Configuration, proxy_of
from ferryman.core.manifests import Manifest
from ferryman.core.plan import Environment
from ferryman.handlers import audit, benchmarks, watch
from ferryman.handlers.benchmarks import Benchmarks
from ferryman.handlers.cache import SERVING, Cache, Index, owner_key
from ferryman.handlers.execute import Applied, Executor
from ferryman.handlers.gather import Nodes
from ferryman.handlers.health import Health
from ferryman.handlers.metrics import Metrics
from ferryman.handlers.nodes.silence import Silence
from ferryman.handlers.placement_cache import PlacementCache
from ferryman.handlers.rebalance import Rebalancing
from ferryman.handlers.reconcile import Clocks, Parts, Reconciler, RunInExecutor
from ferryman.handlers.reservations import Reservations
from ferryman.handlers.sampling import Tuning
from ferryman.handlers.servers import Connect, Servers
from ferryman.handlers.work_queue import WorkQueue

_log = logging.getLogger(__name__)

WORKERS: Final = 16
#: kopf waits 5 s for watches that were still listing when the operator was told to stop.
PATIENCE_S: Final = 2.0
#: Only peers would read it. Without one kopf asks for the user's name, which has none in a pod.
IDENTITY: Final[Any] = "ferryman"
_SERVING: Final = {index: kind for kind, index in SERVING.items()}


class StaleError(Exception):
    """kopf's indices hold objects that the cluster does not: only a new session helps."""


@dataclass(frozen=True, slots=True)
class Scope:
    """What the operator is responsible for."""

    operator_namespace: str
    image: str
    """Ferryman's own image, in which benchmarks run; empty: nothing is measured."""
    namespaces: tuple[str, ...] = ()
    """The namespaces whose models are served; empty for all."""
    prices: Mapping[str, float] = field(default_factory=dict)
    """By node type, per hour; a label on a node comes first."""


@dataclass(frozen=True, slots=True)
class Dependencies:
    """What lives longer than a session."""

    kubernetes: Kubernetes
    connect: Connect
    clocks: Clocks
    health: Health
    metrics: Metrics
    master_key: bytes
    run_in_executor: RunInExecutor = asyncio.to_thread


@dataclass
class Session:
    """All that one session is made of."""

    dependencies: Dependencies
    scope: Scope
    over: asyncio.Event = field(default_factory=asyncio.Event)
    """To be set to end the session."""
    missed_deletions: int = 0
    """Objects that only the indices know: the next session reads everything anew."""
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)
    _closing: AsyncExitStack = field(default_factory=AsyncExitStack)

    def begin(self, indices: Mapping[str, Index]) -> Callable[[str, Manifest, bool], None]:
        """Start the workers; return what to call for every watch event."""
        dependencies, clocks = self.dependencies, self.dependencies.clocks
        cache, reservations = Cache(indices), Reservations()
        placements, applied = PlacementCache(), Applied()
        servers = Servers(dependencies.connect)

        def look_at_all() -> None:
            placements.invalidate()
            for key in cache.subject_keys():
                queue.add(key)

        silence = Silence(
            dependencies.kubernetes, cache, servers, clock=clocks.seconds, on_change=look_at_all
        )
        nodes = Nodes(cache, reservations, self.scope.prices, silence.nodes)
        queue: WorkQueue[Key] = WorkQueue(
            lambda key: reconcilers[key.kind].reconcile(key),  # made below
            workers=WORKERS,
            on_failure=self._failed,
        )
        tuning = Tuning(servers.statistics, queue.add, clock=clocks.seconds)
        executor = Executor(
            dependencies.kubernetes, cache, applied, dependencies.metrics, clock=clocks.now
        )
        rebalancing = Rebalancing(
            cache,
            nodes,
            clocks,
            run_in_executor=dependencies.run_in_executor,
            wake=queue.add,
        )
        models = Reconciler(
            Parts(
                cache,
                nodes,
                reservations,
                placements,
                servers,
                tuning,
                executor,
                applied,
                dependencies.metrics,
                rebalancing.advice,
            ),
            clocks,
            master_key=dependencies.master_key,
            environment=Environment(operator_namespace=self.scope.operator_namespace),
            run_in_executor=dependencies.run_in_executor,
        )
        reconcilers = {INFERENCE_MODEL.kind: models}
        measuring = Benchmarks(
            dependencies.kubernetes,
            cache,
            nodes,
            benchmarks.Settings(self.scope.operator_namespace, self.scope.image),
            now=clocks.now,
            seconds=clocks.seconds,
        )
        self._tasks = [
            asyncio.create_task(queue.run(), name="work queue"),
            asyncio.create_task(measuring.run(), name="benchmarks"),
            asyncio.create_task(rebalancing.run(), name="rebalancing"),
            asyncio.create_task(silence.run(), name="silent nodes"),
            asyncio.create_task(self._audit(indices), name="audit"),
        ]
        self._closing.push_async_callback(servers.close_all)
        self._closing.push_async_callback(tuning.close)
        dependencies.health.queue, dependencies.health.ready = queue, True
        mapper = watch.EventMapper(cache)

        def on_event(index: str, body: Manifest, deleted: bool) -> None:  # noqa: FBT001
            dependencies.health.answered()
            cache.note_event(index)
            _note(
                index,
                body,
                cache=cache,
                reservations=reservations,
                applied=applied,
                deleted=deleted,
            )
            concern = mapper.map(index, body, deleted=deleted)
            if concern.placements:
                placements.invalidate()
            if concern.benchmarks:
                measuring.poll_soon()
            for key in concern.keys:
                queue.add(key, first=concern.first)

        return on_event

    async def end(self) -> None:
        """Stop the workers and close all connections to Triton."""
        self.dependencies.health.queue, self.dependencies.health.ready = None, False
        for task in self._tasks:
            task.cancel()
        for outcome in await asyncio.gather(*self._tasks, return_exceptions=True):
            if isinstance(outcome, Exception):
                _log.error("a task had ended", exc_info=outcome)
        self.dependencies.metrics.forget_all()
        await self._closing.aclose()

    async def _audit(self, indices: Mapping[str, Index]) -> None:
        stale = await audit.wait_for_stale_objects(self.dependencies.kubernetes, indices)
        _log.warning("deletions were missed", extra={"objects": sorted(map("/".join, stale))})
        self.missed_deletions = len(stale)
        self.over.set()

    def _failed(self, key: Key, error: Exception, pause_s: float) -> None:
        self.dependencies.metrics.reconciles.labels("error").inc()
        extra: dict[str, Any] = {**key.in_log(), "pause_s": pause_s, "why": str(error)}
        # What the API server answers needs no trace; anything else is a fault of ours.
        trace = None if isinstance(error, KubernetesError) else error
        _log.warning("the reconcile failed and is tried again", extra=extra, exc_info=trace)


def _note(
    index: str,
    body: Manifest,
    *,
    cache: Cache,
    reservations: Reservations,
    applied: Applied,
    deleted: bool,
) -> None:
    """Take note of what only an event tells."""
    if deleted:
        cache.forget(index, body)
    key = owner_key(body)
    if key is None:
        return
    if index == "pods":
        reservations.update(key, cache.pods(key))
    elif deleted and index in _SERVING:
        applied.forget(key, _SERVING[index], str(body["metadata"].get("uid", "")))


def configure(settings: kopf.OperatorSettings) -> None:
    """Set what kopf leaves open or sets for other kinds of operators (facts in its docs)."""
    settings.networking.request_timeout = 30
    settings.networking.connect_timeout = 10
    settings.networking.error_backoffs = (0.5, 1, 2, 4, 8)
    settings.watching.server_timeout = 300
    settings.watching.client_timeout = 330
    settings.watching.inactivity_timeout = 70
    settings.queueing.idle_timeout = 1
    settings.queueing.exit_timeout = 0.5
    settings.posting.enabled = False
    settings.scanning.disabled = True
    settings.peering.standalone = True
    settings.process.ultimate_exiting_timeout = None
    watch.select(settings)


async def connection(configuration: Configuration) -> kopf.ConnectionInfo:
    """Return kubernetes_asyncio's credentials in kopf's form."""
    header = await configuration.get_api_key_with_prefix("BearerToken") or ""
    scheme, _, token = header.rpartition(" ")
    return kopf.ConnectionInfo(
        server=configuration.host or "",
        ca_path=configuration.ssl_ca_cert,
        insecure=not configuration.verify_ssl,
        username=configuration.username or None,
        password=configuration.password or None,
        scheme=scheme or None,
        token=token or None,
        certificate_path=configuration.cert_file,
        private_key_path=configuration.key_file,
        proxy_url=proxy_of(configuration),
    )


async def run(
    dependencies: Dependencies,
    scope: Scope,
    login: Callable[[], Any],
    stop: asyncio.Event,
    own_signals: Callable[[], None],
) -> None:
    """Run one session until ``stop`` is set or kopf gives up, whose error is then raised.

    Raises StaleError when what kopf keeps is no longer what the cluster has.

    ``login`` returns the credentials (an awaitable Configuration); ``own_signals`` is called
    after kopf has installed signal handlers that would end the session only.
    """
    registry, session = kopf.OperatorRegistry(), Session(dependencies, scope)
    handle: Callable[[str, Manifest, bool], None]

    @kopf.on.login(registry=registry, retries=3)
    async def log_in(**_: object) -> kopf.ConnectionInfo:
        return await connection(await login())

    @kopf.on.startup(registry=registry)
    async def begin(settings: kopf.OperatorSettings, **indices: Any) -> None:  # noqa: ANN401
        nonlocal handle
        configure(settings)
        handle = session.begin({name: indices[name] for name in watch.WATCHED})

    @kopf.on.cleanup(registry=registry)
    async def end(**_: object) -> None:
        await session.end()

    def on_event(index: str, body: Manifest, deleted: bool) -> None:  # noqa: FBT001
        handle(index, body, deleted)

    watch.register(registry, on_event)

    async def pass_on() -> None:
        await stop.wait()
        session.over.set()
        await asyncio.sleep(PATIENCE_S)
        for task in asyncio.all_tasks() - others:
            task.cancel()

    others: set[asyncio.Task[Any]] = set()
    passing = asyncio.create_task(pass_on(), name="stop")
    others |= asyncio.all_tasks()
    where: dict[str, Any] = (
        {"namespaces": scope.namespaces} if scope.namespaces else {"clusterwide": True}
    )
    try:
        tasks = await kopf.spawn_tasks(
            registry=registry, stop_flag=session.over, standalone=True, identity=IDENTITY, **where
        )
        own_signals()
        await kopf.run_tasks(tasks, ignored=others)
    except asyncio.CancelledError:
        if not stop.is_set():
            raise
    finally:
        passing.cancel()
        await session.end()
    if session.missed_deletions:
        raise StaleError(f"{session.missed_deletions} deletions were missed")
