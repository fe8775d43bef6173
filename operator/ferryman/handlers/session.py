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
from typing import Any, Final, Protocol

import kopf

from ferryman.api.access import AccessSpec
from ferryman.api.resources import INFERENCE_MODEL, INFERENCE_PIPELINE, Key
from ferryman.clients.bounded.objects import Guard
from ferryman.clients.kubernetes import Kubernetes
from ferryman.clients.kubernetes_errors import KubernetesError
from ferryman.clients.tracing import Changes
from ferryman.core.manifests import Manifest
from ferryman.core.placement.reservations import created
from ferryman.core.plan import Environment
from ferryman.handlers import audit, benchmarks, watch
from ferryman.handlers.apply import Applied, Writer
from ferryman.handlers.benchmarks import Benchmarks
from ferryman.handlers.cache import SERVING, Cache, Index, owner_key
from ferryman.handlers.execute import Executor
from ferryman.handlers.gather import Nodes
from ferryman.handlers.health import Health
from ferryman.handlers.metrics import Metrics
from ferryman.handlers.nodes.silence import Silence
from ferryman.handlers.pipelines.calls import CallMeter
from ferryman.handlers.pipelines.execute import PipelineExecutor
from ferryman.handlers.pipelines.gather import PipelineLooks
from ferryman.handlers.pipelines.reconcile import PipelineParts, PipelineReconciler
from ferryman.handlers.pipelines.sampling import PipelineTuning
from ferryman.handlers.placement_cache import PlacementCache
from ferryman.handlers.rebalance import Rebalancing
from ferryman.handlers.reconcile import Parts, Reconciler
from ferryman.handlers.reconciling.common import Clocks, Common, RunInExecutor
from ferryman.handlers.reservations import Reservations
from ferryman.handlers.running.connection import connection
from ferryman.handlers.running.teardown import CutOffError, run_to_end, wait_for_end
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


class Reconciles(Protocol):
    """Brings objects of one kind to where they should be."""

    async def reconcile(self, key: Key) -> float | None:
        """Return when to look again, in seconds; raises KubernetesError to be tried again."""
        ...


class StaleError(Exception):
    """kopf's indices hold objects that the cluster does not: only a new session helps."""


@dataclass(frozen=True, slots=True)
class Scope:
    """What the operator is responsible for."""

    operator_namespace: str
    image: str
    """Ferryman's own image, in which benchmarks run and models' files are fetched; empty: neither
    is done."""
    namespaces: tuple[str, ...] = ()
    """The namespaces whose models are served; empty for all."""
    prices: Mapping[str, float] = field(default_factory=dict)
    """By node type, per hour; a label on a node comes first."""
    ipv6: bool = False
    """Whether pods have IPv6 addresses first."""
    access: AccessSpec = field(default_factory=AccessSpec)
    """Who may send requests to every model."""
    monitoring_namespace: str = ""
    """Whose pods may read the metrics of serving pods."""

    @property
    def environment(self) -> Environment:
        """What of it decisions use."""
        return Environment(
            self.operator_namespace,
            self.ipv6,
            self.access,
            self.monitoring_namespace,
            self.image,
        )


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
            group_of=lambda key: key.namespace,
            share=WORKERS // 2,
        )
        tuning = Tuning(servers.statistics, queue.add, clock=clocks.seconds)
        writer = Writer(dependencies.kubernetes, cache, applied)
        rebalancing = Rebalancing(
            cache,
            nodes,
            clocks,
            run_in_executor=dependencies.run_in_executor,
            wake=queue.add,
        )
        common = Common(
            cache=cache,
            reservations=reservations,
            placements=placements,
            servers=servers,
            writer=writer,
            applied=applied,
            metrics=dependencies.metrics,
            clocks=clocks,
            master_key=dependencies.master_key,
            environment=self.scope.environment,
            run_in_executor=dependencies.run_in_executor,
            aside=queue.aside,
            changes=Changes(),
        )
        models = Reconciler(Parts(common, nodes, tuning, Executor(common), rebalancing.advice))
        observing = PipelineTuning(servers.statistics, queue.add, clock=clocks.seconds)
        pipelines = PipelineReconciler(
            PipelineParts(
                common,
                PipelineLooks(cache, nodes, servers),
                CallMeter(dependencies.connect, clock=clocks.seconds),
                observing,
                PipelineExecutor(common),
            )
        )
        reconcilers: Mapping[str, Reconciles] = {
            INFERENCE_MODEL.kind: models,
            INFERENCE_PIPELINE.kind: pipelines,
        }
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
        self._closing.push_async_callback(observing.close)
        dependencies.health.queue, dependencies.health.ready = queue, True
        mapper = watch.EventMapper(cache)

        def on_event(index: str, body: Manifest, deleted: bool) -> None:  # noqa: FBT001
            dependencies.health.answered()
            cache.note_event(index)
            if index == "profiles":
                dependencies.metrics.show_node(body, deleted=deleted)
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
        await wait_for_end(self._tasks)
        self.dependencies.metrics.forget_all()
        await self._closing.aclose()

    async def _audit(self, indices: Mapping[str, Index]) -> None:
        kubernetes, namespaces = self.dependencies.kubernetes, self.scope.namespaces
        stale = await audit.wait_for_stale_objects(kubernetes, indices, namespaces)
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
        # Whosever they are, they hold what they request.
        reservations.update(key, cache.labelled_pods(key))
    if index == "deployments":
        reservations.exist(key, created(cache.deployment(key)))
    if deleted and index in _SERVING:
        applied.forget(key, _SERVING[index], str(body["metadata"].get("uid", "")))


def configure(settings: kopf.OperatorSettings) -> None:
    """Set what kopf leaves open or sets for other kinds of operators (facts in its docs)."""
    settings.networking.request_timeout = 30
    settings.networking.connect_timeout = 10
    settings.networking.error_backoffs = (0.5, 1, 2, 4, 8)
    settings.watching.server_timeout = 300
    settings.watching.client_timeout = 330
    settings.watching.inactivity_timeout = 70
    # Each as large as may be, the items of one answer are to fit into the operator's memory.
    settings.watching.chunk_size = 50
    settings.queueing.idle_timeout = 1
    settings.queueing.exit_timeout = 0.5
    settings.posting.enabled = False
    settings.scanning.disabled = True
    settings.peering.standalone = True
    settings.process.ultimate_exiting_timeout = None
    watch.select(settings)


async def run(
    dependencies: Dependencies,
    scope: Scope,
    login: Callable[[], Any],
    stop: asyncio.Event,
    own_signals: Callable[[], None],
) -> None:
    """Run one session until ``stop`` is set or kopf gives up, whose error is then raised.

    Raises StaleError when what kopf keeps is no longer what the cluster has, and HungError when
    something of the session could not be ended.

    ``login`` returns the credentials (an awaitable Configuration); ``own_signals`` is called
    after kopf has installed signal handlers that would end the session only.
    """
    registry, session = kopf.OperatorRegistry(), Session(dependencies, scope)
    guard = Guard(dependencies.metrics.unread)
    handle: Callable[[str, Manifest, bool], None]

    @kopf.on.login(registry=registry, retries=3)
    async def log_in(**_: object) -> kopf.AiohttpSession:
        return await connection(await login(), guard)

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
        await run_to_end(tasks, others, session.over)
    except CutOffError:
        if not stop.is_set():
            raise
    finally:
        passing.cancel()
        await session.end()
    if session.missed_deletions:
        raise StaleError(f"{session.missed_deletions} deletions were missed")
