"""When node types are measured, on which node, and which profiles get the result.

The reference model is measured once per node type, processor class, runtime and image; all
nodes of the type share the table.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from ferryman.api import names
from ferryman.api.inference_runtime import InferenceRuntime, RuntimeProcessor
from ferryman.api.node_profile import Benchmark, NodeProfile, Processor
from ferryman.core import times
from ferryman.core.filters import is_fresh
from ferryman.core.fit import misfit
from ferryman.core.snapshot import NodeView
from ferryman.core.workload import share

#: A failed measurement is tried again after so long, times the failures in a row …
BACK_OFF = timedelta(minutes=10)
#: … but not later than this.
LONGEST_BACK_OFF = timedelta(hours=1)
#: What NodeProfileStatus.benchmarks may hold.
MAX_TABLES = 32


@dataclass(frozen=True, slots=True, order=True)
class Measurement:
    """One benchmark: of which processor class of which node type, in what, on which node."""

    node_type: str
    processor: str
    runtime: str
    image: str
    node: str

    @property
    def subject(self) -> tuple[str, str, str]:
        """What is measured, wherever: one measurement at a time."""
        return self.node_type, self.processor, self.runtime


def due(
    runtimes: Iterable[InferenceRuntime],
    profiles: Sequence[NodeProfile],
    nodes: Iterable[NodeView],
    running: Collection[Measurement],
    now: datetime,
) -> tuple[Measurement, ...]:
    """Return what to measure now.

    Profiles and nodes belong together by name. At most one measurement runs per subject and
    per node; the least utilised node of a type is taken. A type whose nodes are all busy
    measuring, not ready, silent or too full waits.
    """
    views = {node.name: node for node in nodes}
    busy = {measurement.node for measurement in running}
    subjects = {measurement.subject for measurement in running}
    started: list[Measurement] = []
    for runtime, entry in _measured(runtimes):
        for node_type in sorted({p.status.node_type for p in profiles if p.status.node_type}):
            twins = [p for p in profiles if p.status.node_type == node_type]
            subject = (node_type, entry.processor_class, runtime.name)
            if subject in subjects or not _is_wanted(runtime, entry, twins, now):
                continue
            free = [p for p in twins if p.metadata.name not in busy]
            node = _least_utilised(entry, free, views, now)
            if node is not None:
                busy.add(node)
                started.append(Measurement(*subject, entry.image, node))
    return tuple(started)


def _measured(
    runtimes: Iterable[InferenceRuntime],
) -> list[tuple[InferenceRuntime, RuntimeProcessor]]:
    return [
        (runtime, entry)
        for runtime in sorted(runtimes, key=lambda r: r.name)
        if runtime.spec.benchmark is not None
        for entry in runtime.spec.processors
    ]


def _is_wanted(
    runtime: InferenceRuntime,
    entry: RuntimeProcessor,
    twins: Sequence[NodeProfile],
    now: datetime,
) -> bool:
    node_type = twins[0].status.node_type
    table = newest(twins, (node_type, entry.processor_class, runtime.name), entry.image)
    if table is None:
        return True
    measured_at = times.parse(table.measured_at)
    if any(_requested_after(profile, measured_at) for profile in twins):
        return True
    if table.points:
        return False
    return now - measured_at >= min(LONGEST_BACK_OFF, BACK_OFF * max(1, table.failures))


def _requested_after(profile: NodeProfile, measured_at: datetime) -> bool:
    """Whether a person asked for another measurement; what is not a time asks for nothing."""
    text = profile.metadata.annotations.get(names.ANNOTATION_BENCHMARK_REQUESTED)
    if text is None:
        return False
    try:
        return times.parse(text) > measured_at
    except ValueError:
        return False


def _least_utilised(
    entry: RuntimeProcessor,
    profiles: Sequence[NodeProfile],
    views: dict[str, NodeView],
    now: datetime,
) -> str | None:
    usable = [
        (share(processor.utilisation), share(processor.memory_utilisation), profile.metadata.name)
        for profile in profiles
        for processor in profile.status.processors
        if processor.processor_class == entry.processor_class
        and _can_measure(entry, processor, profile, views.get(profile.metadata.name), now)
    ]
    return min(usable)[-1] if usable else None


def _can_measure(
    entry: RuntimeProcessor,
    processor: Processor,
    profile: NodeProfile,
    node: NodeView | None,
    now: datetime,
) -> bool:
    return (
        node is not None
        and node.ready
        and not node.untolerated_taints
        and is_fresh(profile.status, now)
        and processor.unavailable is None
        and misfit(node, None, entry) is None
    )


def newest(
    profiles: Iterable[NodeProfile], subject: tuple[str, str, str], image: str
) -> Benchmark | None:
    """Return the newest table of (node type, processor class, runtime) with this image."""
    tables = (
        table
        for profile in profiles
        for table in profile.status.benchmarks
        if _subject(table) == subject and table.image == image
    )
    return max(tables, key=lambda table: times.parse(table.measured_at), default=None)


def _subject(table: Benchmark) -> tuple[str, str, str]:
    return table.node_type, table.processor_class, table.runtime


def tables(
    runtimes: Iterable[InferenceRuntime],
    profiles: Sequence[NodeProfile],
    measured: Iterable[Benchmark] = (),
) -> dict[str, tuple[Benchmark, ...]]:
    """Return the tables that profiles ought to have, for those that have others.

    Every node of a type gets the same: the newest per processor class and runtime, of the
    runtime's present image where there is one. Tables of runtimes that are gone stay as long
    as there is room: a runtime that is replaced must not be measured afresh for that.
    """
    images = {(r.name, e.processor_class): e.image for r in runtimes for e in r.spec.processors}
    known = [*measured, *(table for p in profiles for table in p.status.benchmarks)]
    best: dict[tuple[str, str, str], Benchmark] = {}
    for table in known:
        rival = best.get(_subject(table))
        if rival is None or _standing(table, images) > _standing(rival, images):
            best[_subject(table)] = table
    wanted = {
        profile.metadata.name: _for_type(profile.status.node_type, best, images)
        for profile in profiles
    }
    return {
        profile.metadata.name: wanted[profile.metadata.name]
        for profile in profiles
        if wanted[profile.metadata.name] != profile.status.benchmarks
    }


def _standing(
    table: Benchmark, images: dict[tuple[str, str], str]
) -> tuple[bool, datetime, str, str]:
    """Order tables of one subject; the last two parts only make equal times come out alike."""
    present = images.get((table.runtime, table.processor_class)) == table.image
    return present, times.parse(table.measured_at), table.measured_on, table.image


def _for_type(
    node_type: str,
    best: dict[tuple[str, str, str], Benchmark],
    images: dict[tuple[str, str], str],
) -> tuple[Benchmark, ...]:
    own = [table for table in best.values() if table.node_type == node_type]
    own.sort(key=lambda table: _standing(table, images), reverse=True)
    return tuple(sorted(own[:MAX_TABLES], key=lambda table: (table.processor_class, table.runtime)))
