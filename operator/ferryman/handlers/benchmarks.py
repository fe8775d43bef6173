"""Reference benchmarks: start the Jobs that are due, collect results, label nodes.

What the operator knows of nodes is published in their profiles: load performance tables, prices.

What is due, and which profile gets which table, is decided in ``core.benchmark``.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Final

from ferryman.api import names
from ferryman.api.inference_runtime import InferenceRuntime
from ferryman.api.node_profile import Benchmark, NodeProfile
from ferryman.clients import pbtxt
from ferryman.clients.kubernetes import Kubernetes
from ferryman.clients.kubernetes_errors import ConflictError, KubernetesError, NotFoundError
from ferryman.core.benchmark import job as benchmark_job
from ferryman.core.benchmark import result as benchmark_result
from ferryman.core.benchmark import schedule as benchmarking
from ferryman.core.benchmark import shortage
from ferryman.core.benchmark import tables as benchmark_tables
from ferryman.core.benchmark.schedule import Measurement
from ferryman.core.benchmark.shortage import ResourceShortage
from ferryman.core.manifests import Manifest
from ferryman.handlers.benchmark_jobs import (
    BenchmarkJob,
    read,
    termination_message,
    why_without_result,
)
from ferryman.handlers.cache import Cache, trim_node, trim_profile
from ferryman.handlers.gather import Nodes

_log = logging.getLogger(__name__)

PERIOD_S: Final = 10.0
#: Events come in bursts; a look at all profiles a second is enough.
LEAST_PAUSE_S: Final = 1.0
#: No pod is bound before its node has its label, and a cluster may have a thousand nodes.
WRITES_AT_ONCE: Final = 16
_SELECTOR: Final = f"{names.LABEL_BENCHMARK},{names.LABEL_MANAGED_BY}={names.MANAGED_BY}"


@dataclass(frozen=True, slots=True)
class Settings:
    """Where benchmark Jobs run, and in which image; without an image nothing is measured."""

    namespace: str
    image: str


class Benchmarks:
    """Polls runtimes, profiles and Jobs every few seconds, and after events."""

    def __init__(
        self,
        kubernetes: Kubernetes,
        cache: Cache,
        nodes: Nodes,
        settings: Settings,
        *,
        now: Callable[[], datetime],
        seconds: Callable[[], float],
    ) -> None:
        self._kubernetes = kubernetes
        self._cache = cache
        self._nodes = nodes
        self._settings = settings
        self._now = now
        self._seconds = seconds
        self._wanted = asyncio.Event()

    def poll_soon(self) -> None:
        """Poll again soon: a runtime, profile or node changed."""
        self._wanted.set()

    async def run(self) -> None:
        """Poll until cancelled; what fails is tried again at the next poll."""
        while True:
            try:
                await self.poll()
            except KubernetesError as error:
                extra = {"why": str(error), "fault": error.fault}
                _log.warning("benchmarks wait for the API server", extra=extra)
            except Exception:  # noqa: BLE001  logged with its trace; the next poll may succeed
                _log.exception("the look at the benchmarks failed")
            await asyncio.sleep(LEAST_PAUSE_S)
            await self._pause()

    async def poll(self) -> None:
        """Label nodes, collect finished Jobs, publish tables, start what is due."""
        profiles = self._profiles()
        await self._label_nodes(profiles)
        runtimes = [
            runtime
            for manifest in self._cache.runtimes()
            if (runtime := self._cache.parse(InferenceRuntime, manifest)) is not None
        ]
        jobs = await self._jobs() if self._measures(runtimes) else []
        finished = [job for job in jobs if job.ended]
        measured = [await self._result(job, profiles) for job in finished]
        profiles = await self._publish(runtimes, profiles, measured)
        for job in finished:
            await self._kubernetes.delete_job(self._settings.namespace, job.name)
        shortages = self._shortages()
        running = await self._give_way(jobs, runtimes, shortages)
        await self._start(runtimes, profiles, running, shortages)

    async def _pause(self) -> None:
        try:
            async with asyncio.timeout(PERIOD_S):
                await self._wanted.wait()
        except TimeoutError:
            return
        finally:
            self._wanted.clear()

    def _measures(self, runtimes: Iterable[InferenceRuntime]) -> bool:
        asked = any(runtime.spec.benchmark is not None for runtime in runtimes)
        return asked and bool(self._settings.image)

    def _profiles(self) -> list[NodeProfile]:
        """Return the profiles that can be read, of nodes that exist, by name."""
        parsed = (self._cache.parse(NodeProfile, manifest) for manifest in self._cache.profiles())
        there = [p for p in parsed if p is not None and self._cache.node(p.metadata.name)]
        return sorted(there, key=lambda profile: profile.metadata.name)

    async def _label_nodes(self, profiles: Iterable[NodeProfile]) -> None:
        nodes = ((self._cache.node(p.metadata.name), p.status.node_type) for p in profiles)
        missing = [
            (node, kind) for node, kind in nodes if node and kind and kind != _labelled(node)
        ]
        await _few_at_once([partial(self._label, node, node_type) for node, node_type in missing])

    async def _label(self, node: Manifest, node_type: str) -> None:
        name = node["metadata"]["name"]
        try:
            answer = await self._kubernetes.label_node(
                name, node["metadata"]["uid"], {names.LABEL_NODE_TYPE: node_type}
            )
        except (ConflictError, NotFoundError) as error:
            _log.info("the node went away", extra={"node": name, "why": str(error)})
        else:
            self._cache.remember("nodes", name, trim_node(answer))
            _log.info("node labelled", extra={"node": name, "node_type": node_type})

    async def _jobs(self) -> list[BenchmarkJob]:
        manifests = await self._kubernetes.list_jobs(self._settings.namespace, _SELECTOR)
        return [job for manifest in manifests if (job := read(manifest)) is not None]

    async def _result(self, job: BenchmarkJob, profiles: Sequence[NodeProfile]) -> Benchmark:
        selector = f"batch.kubernetes.io/job-name={job.name}"
        pods = await self._kubernetes.list_pods(self._settings.namespace, selector)
        text = next(filter(None, map(termination_message, pods)), "")
        measurement, now = job.measurement, self._now()
        extra = {"job": job.name, "measurement": str(measurement)}
        try:
            table = benchmark_result.succeeded(measurement, text, now)
        except ValueError as error:
            why = str(error) if text else why_without_result(job.manifest, pods) or str(error)
            _log.warning("benchmark failed", extra=extra | {"why": why})
            known = benchmark_tables.newest(profiles, measurement.subject, measurement.image)
            return benchmark_result.failed(measurement, why, now, known)
        _log.info("benchmark finished", extra=extra)
        return table

    def _shortages(self) -> list[ResourceShortage]:
        """Return what serving pods lack that no node has room for."""
        subjects = ((key, self._cache.subject(key) or {}) for key in self._cache.subject_keys())
        placed = (
            (key, (subject.get("status", {}).get("placement") or {}).get("nodeType"))
            for key, subject in subjects
        )
        return [
            found
            for key, node_type in placed
            if node_type
            for found in shortage.shortages(node_type, self._cache.labelled_pods(key))
        ]

    async def _give_way(
        self,
        jobs: Iterable[BenchmarkJob],
        runtimes: Iterable[InferenceRuntime],
        shortages: Sequence[ResourceShortage],
    ) -> list[Measurement]:
        """Delete the Jobs that hold what serving pods wait for; return what still runs.

        Nothing is recorded of them: they are due again once nobody waits.
        """
        running = {job.measurement: job.name for job in jobs if not job.ended}
        for measurement in benchmarking.given_up(running, runtimes, shortages):
            name = running.pop(measurement)
            await self._kubernetes.delete_job(self._settings.namespace, name)
            extra = {"job": name, "measurement": str(measurement)}
            _log.info("benchmark gave way to a serving pod", extra=extra)
        return list(running)

    async def _publish(
        self,
        runtimes: Sequence[InferenceRuntime],
        profiles: Sequence[NodeProfile],
        measured: Sequence[Benchmark],
    ) -> list[NodeProfile]:
        """Write the tables and prices that differ; return the profiles as they are then."""
        wanted = benchmark_tables.published(runtimes, profiles, measured, self._nodes.prices)
        differing = [new for new, old in zip(wanted, profiles, strict=True) if new is not old]
        await _few_at_once([partial(self._write, profile) for profile in differing])
        return wanted

    async def _write(self, profile: NodeProfile) -> None:
        name, status = profile.metadata.name, profile.status
        try:
            answer = await self._kubernetes.apply_benchmarks(
                name, [table.as_dict() for table in status.benchmarks], status.price_per_hour
            )
        except (ConflictError, NotFoundError) as error:
            _log.info("the profile went away", extra={"node": name, "why": str(error)})
        else:
            self._cache.remember("profiles", name, trim_profile(answer))

    async def _start(
        self,
        runtimes: Sequence[InferenceRuntime],
        profiles: Sequence[NodeProfile],
        running: Sequence[Measurement],
        shortages: Sequence[ResourceShortage],
    ) -> None:
        if not self._measures(runtimes):
            return
        nodes = self._nodes.views((), self._seconds())
        by_name = {runtime.name: runtime for runtime in runtimes}
        due = benchmarking.due(runtimes, profiles, nodes, running, self._now(), shortages=shortages)
        created = [await self._create(m, by_name[m.runtime], profiles) for m in due]
        impossible = [failure for failure in created if failure is not None]
        if impossible:
            await self._publish(runtimes, profiles, impossible)

    async def _create(
        self, measurement: Measurement, runtime: InferenceRuntime, profiles: Sequence[NodeProfile]
    ) -> Benchmark | None:
        """Create the Job; return the record of a failure where the runtime allows none."""
        try:
            manifest = benchmark_job.job(
                measurement,
                runtime,
                namespace=self._settings.namespace,
                image=self._settings.image,
                encode=pbtxt.encode,
            )
        except ValueError as error:
            extra = {"runtime": runtime.name, "why": str(error)}
            _log.warning("the runtime's benchmark cannot be run", extra=extra)
            known = benchmark_tables.newest(profiles, measurement.subject, measurement.image)
            why = f"the runtime's benchmark cannot be run: {error}"
            return benchmark_result.failed(measurement, why, self._now(), known)
        await self._kubernetes.create_job(manifest)
        _log.info("benchmark started", extra={"measurement": str(measurement)})
        return None


async def _few_at_once(writes: Sequence[Callable[[], Awaitable[None]]]) -> None:
    """Make all writes, some of them at the same time; the first error ends it."""
    for first in range(0, len(writes), WRITES_AT_ONCE):
        await asyncio.gather(*(write() for write in writes[first : first + WRITES_AT_ONCE]))


def _labelled(node: Manifest) -> str | None:
    """Return the node type that a node's label says."""
    label: str | None = node["metadata"].get("labels", {}).get(names.LABEL_NODE_TYPE)
    return label
