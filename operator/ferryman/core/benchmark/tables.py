"""Which profiles get which load performance tables: all nodes of a type share them."""

from collections.abc import Iterable, Mapping, Sequence

from ferryman.api.inference_runtime import InferenceRuntime
from ferryman.api.node_profile import Benchmark, NodeProfile
from ferryman.core.benchmark.requests import Subject, subject
from ferryman.core.placement import load_tables

#: What NodeProfileStatus.benchmarks may hold.
MAX_TABLES = 32


def newest(profiles: Iterable[NodeProfile], about: Subject, image: str) -> Benchmark | None:
    """Return the newest table of (node type, processor class, runtime) with this image."""
    return load_tables.newest(
        table
        for profile in profiles
        for table in profile.status.benchmarks
        if subject(table) == about and table.image == image
    )


def published(
    runtimes: Iterable[InferenceRuntime],
    profiles: Sequence[NodeProfile],
    measured: Iterable[Benchmark],
    prices: Mapping[str, float],
) -> list[NodeProfile]:
    """Return the profiles with what the operator writes to them: tables, and their type's price.

    Those that have it are returned as they are.
    """
    wanted = tables(runtimes, profiles, measured)
    return [
        _with(profile, wanted.get(profile.metadata.name), prices.get(profile.status.node_type))
        for profile in profiles
    ]


def _with(
    profile: NodeProfile, wanted: tuple[Benchmark, ...] | None, price: float | None
) -> NodeProfile:
    status = profile.status
    if wanted is None and price == status.price_per_hour:
        return profile
    own = status.benchmarks if wanted is None else wanted
    return profile.with_(status=status.with_(benchmarks=own, price_per_hour=price))


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
    best: dict[Subject, Benchmark] = {}
    for table in known:
        rival = best.get(subject(table))
        if rival is None or _precedence(table, images) > _precedence(rival, images):
            best[subject(table)] = table
    wanted = {
        profile.metadata.name: _for_type(profile.status.node_type, best, images)
        for profile in profiles
    }
    return {
        profile.metadata.name: wanted[profile.metadata.name]
        for profile in profiles
        if wanted[profile.metadata.name] != profile.status.benchmarks
    }


def _precedence(table: Benchmark, images: dict[tuple[str, str], str]) -> tuple[object, ...]:
    """Order tables of one subject: those of the runtime's present image come first."""
    present = images.get((table.runtime, table.processor_class)) == table.image
    return present, *load_tables.precedence(table)


def _for_type(
    node_type: str,
    best: dict[Subject, Benchmark],
    images: dict[tuple[str, str], str],
) -> tuple[Benchmark, ...]:
    own = [table for table in best.values() if table.node_type == node_type]
    own.sort(key=lambda table: _precedence(table, images), reverse=True)
    return tuple(sorted(own[:MAX_TABLES], key=lambda table: (table.processor_class, table.runtime)))
