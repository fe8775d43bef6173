"""When node types are measured, and on which node.

The reference model is measured once per node type, processor class, runtime and image; all
nodes of the type share the table. It is measured again when the driver that it was measured under
is on no node of the type any more, and when a person asks for it. Serving comes first: see
``given_up``, ``Measurement.cpu_limit_millicores`` and ``IDLE`` (docs/decisions/0013).
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from ferryman.api.inference_runtime import InferenceRuntime, RuntimeProcessor
from ferryman.api.node_profile import Benchmark, NodeProfile, Processor
from ferryman.core import timestamps
from ferryman.core.benchmark.requests import Subject, is_open
from ferryman.core.benchmark.shortage import ResourceShortage
from ferryman.core.benchmark.tables import newest
from ferryman.core.placement.filters import is_fresh
from ferryman.core.placement.fit import free, misfit
from ferryman.core.placement.nodes.out_of_use import why_not
from ferryman.core.placement.nodes.taints import untolerated
from ferryman.core.placement.workload import share
from ferryman.core.snapshot import NodeView

#: A failed measurement is tried again after so long, times the failures in a row …
BACK_OFF = timedelta(minutes=10)
#: … but not later than this.
LONGEST_BACK_OFF = timedelta(hours=1)
#: What the client beside Triton requests.
CLIENT_MILLICORES = 100
CLIENT_MIB = 256
#: A table that has rows is renewed where the processor's utilisation is no more than this.
IDLE = 0.5


@dataclass(frozen=True, slots=True, order=True)
class Measurement:
    """One benchmark: of which processor class of which node type, in what, on which node."""

    node_type: str
    processor: str
    runtime: str
    image: str
    node: str
    driver: str = ""
    """The device driver's version on the node; "" where none is known."""
    sharing: str = ""
    """How a device there is divided among pods; "" where it is not."""
    cpu_limit_millicores: int = 0
    """What serving models leave of the node's CPU; 0 where they have reserved none."""

    @property
    def subject(self) -> Subject:
        """What is measured, wherever: one measurement at a time."""
        return self.node_type, self.processor, self.runtime


@dataclass(frozen=True, slots=True)
class _Scene:
    """What a choice of nodes looks at."""

    views: Mapping[str, NodeView]
    busy: Collection[str]
    """Nodes that are measuring."""
    now: datetime


def due(
    runtimes: Iterable[InferenceRuntime],
    profiles: Sequence[NodeProfile],
    nodes: Iterable[NodeView],
    running: Collection[Measurement],
    now: datetime,
    *,
    shortages: Collection[ResourceShortage] = (),
) -> tuple[Measurement, ...]:
    """Return what to measure now.

    Profiles and nodes belong together by name. At most one measurement runs per subject and
    per node. Of the nodes of a type one that was asked for is taken first, then one where no
    model has reserved anything, then the least utilised. A type whose nodes are all busy
    measuring, not ready, silent or too full waits, and so does one that a serving pod finds no
    room on.
    """
    busy = {measurement.node for measurement in running}
    scene = _Scene({node.name: node for node in nodes}, busy, now)
    subjects = {measurement.subject for measurement in running}
    started: list[Measurement] = []
    for runtime, entry in _measured(runtimes):
        for node_type in sorted({p.status.node_type for p in profiles if p.status.node_type}):
            peers = [p for p in profiles if p.status.node_type == node_type]
            about = (node_type, entry.processor_class, runtime.name)
            if about in subjects or _is_short(node_type, entry, shortages):
                continue
            found = _choose(runtime, entry, peers, scene)
            if found is not None:
                busy.add(found.node)
                started.append(found)
    return tuple(started)


def given_up(
    running: Iterable[Measurement],
    runtimes: Iterable[InferenceRuntime],
    shortages: Collection[ResourceShortage],
) -> tuple[Measurement, ...]:
    """Return the measurements that hold what a serving pod of the same node type waits for."""
    entries = {(r.name, e.processor_class): e for r in runtimes for e in r.spec.processors}
    return tuple(
        one
        for one in running
        if _is_short(one.node_type, entries.get((one.runtime, one.processor)), shortages)
    )


def _is_short(
    node_type: str, entry: RuntimeProcessor | None, shortages: Collection[ResourceShortage]
) -> bool:
    """Whether a serving pod waits for something that a measurement takes: CPU, memory, a device."""
    taken = {"cpu", "memory"}
    if entry is not None and entry.resource_name is not None:
        taken.add(entry.resource_name)
    return any(one.node_type == node_type and one.resources & taken for one in shortages)


def _measured(
    runtimes: Iterable[InferenceRuntime],
) -> list[tuple[InferenceRuntime, RuntimeProcessor]]:
    return [
        (runtime, entry)
        for runtime in sorted(runtimes, key=lambda r: r.name)
        if runtime.spec.benchmark is not None
        for entry in runtime.spec.processors
    ]


def _choose(
    runtime: InferenceRuntime,
    entry: RuntimeProcessor,
    peers: Sequence[NodeProfile],
    scene: _Scene,
) -> Measurement | None:
    """Return the measurement of one subject, or None where none is due or possible now."""
    node_type, kind = peers[0].status.node_type, entry.processor_class
    about = (node_type, kind, runtime.name)
    table = newest(peers, about, entry.image)
    measured_at = timestamps.parse(table.measured_at) if table else None
    asked = {
        peer.metadata.name
        for peer in peers
        if measured_at is not None and is_open(peer, measured_at, scene.now)
    }
    if table is not None and not asked and not _is_outdated(table, peers, scene.now):
        return None
    only_idle = table is not None and bool(table.points) and not asked
    ranked = [
        (
            peer.metadata.name not in asked,
            scene.views[peer.metadata.name].reserved_cpu_millicores > 0,
            share(processor.utilisation),
            share(processor.memory_utilisation),
            peer.metadata.name,
            processor.driver or "",
            _sharing(processor),
        )
        for peer in peers
        for processor in peer.status.processors
        if processor.processor_class == kind
        and _can_measure(entry, processor, peer, scene)
        and not (only_idle and _is_at_work(processor))
    ]
    if not ranked:
        return None
    *_, node, driver, sharing = min(ranked)
    return Measurement(*about, entry.image, node, driver, sharing, _cpu_limit(scene.views[node]))


def _sharing(processor: Processor) -> str:
    if processor.sharing == "none":
        return ""
    return processor.sharing + (f" among {processor.replicas}" if processor.replicas else "")


def _is_outdated(table: Benchmark, peers: Sequence[NodeProfile], now: datetime) -> bool:
    """Whether a table is to be made anew without anybody having asked for it.

    It has no rows, or its driver is on no peer any more; while drivers are being rolled out, the
    table of either will do. After a failure the next try waits.
    """
    drivers = {
        processor.driver
        for peer in peers
        for processor in peer.status.processors
        if processor.processor_class == table.processor_class and processor.driver is not None
    }
    if table.points and (not drivers or table.driver in drivers):
        return False
    # A table without rows is a failure, whatever its count says.
    failures = table.failures if table.points else max(1, table.failures)
    return now - timestamps.parse(table.measured_at) >= min(LONGEST_BACK_OFF, BACK_OFF * failures)


def _is_at_work(processor: Processor) -> bool:
    """Whether it is known to be busy; a device whose use is unknown is had by a request alone."""
    return processor.utilisation is not None and processor.utilisation > IDLE


def _cpu_limit(node: NodeView) -> int:
    """Return what serving models leave of the CPU, or 0 where they have reserved none."""
    return free(node, "cpu") if node.reserved_cpu_millicores else 0


def _can_measure(
    entry: RuntimeProcessor, processor: Processor, profile: NodeProfile, scene: _Scene
) -> bool:
    node = scene.views.get(profile.metadata.name)
    return (
        node is not None
        and node.name not in scene.busy
        and node.ready
        and not untolerated(node.taints, entry.tolerations)
        and is_fresh(profile.status, scene.now)
        and why_not(node, processor, entry) is None
        and misfit(_with_client(node), None, entry) is None
    )


def _with_client(node: NodeView) -> NodeView:
    """Return the node as it is for Triton, with the client beside it."""
    return node.with_(
        reserved_cpu_millicores=node.reserved_cpu_millicores + CLIENT_MILLICORES,
        reserved_memory_bytes=node.reserved_memory_bytes + CLIENT_MIB * 2**20,
    )
