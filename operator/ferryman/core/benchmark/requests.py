"""What a person asks for who has a node measured, and what of it is there."""

from collections.abc import Collection, Iterable
from datetime import datetime

from ferryman.api import names
from ferryman.api.inference_runtime import InferenceRuntime
from ferryman.api.node_profile import Benchmark, NodeProfile
from ferryman.core import timestamps

Subject = tuple[str, str, str]
"""Node type, processor class and runtime: what is measured, wherever."""


def requested_at(profile: NodeProfile) -> datetime | None:
    """Return when a person asked for another measurement; what is no time asks for nothing."""
    text = profile.metadata.annotations.get(names.ANNOTATION_BENCHMARK_REQUESTED)
    try:
        return None if text is None else timestamps.parse(text)
    except ValueError:
        return None


def is_open(profile: NodeProfile, measured_at: datetime, now: datetime) -> bool:
    """Say whether there is a request that no measurement has answered yet.

    One for later waits until then: so a clock that is ahead has a node measured late, not for
    ever. A measurement answers by its end.
    """
    asked = requested_at(profile)
    return asked is not None and measured_at < asked <= now


def subjects(runtimes: Iterable[InferenceRuntime], profile: NodeProfile) -> tuple[Subject, ...]:
    """Return what is measured on a node's type, by class and runtime."""
    present = {processor.processor_class for processor in profile.status.processors}
    return tuple(
        sorted(
            (profile.status.node_type, entry.processor_class, runtime.name)
            for runtime in runtimes
            if runtime.spec.benchmark is not None
            for entry in runtime.spec.processors
            if entry.processor_class in present
        )
    )


def tables_of(profile: NodeProfile, wanted: Collection[Subject]) -> tuple[Benchmark, ...]:
    """Return the profile's tables of these subjects."""
    return tuple(table for table in profile.status.benchmarks if subject(table) in wanted)


def outstanding(
    profile: NodeProfile, wanted: Iterable[Subject], at: datetime
) -> tuple[Subject, ...]:
    """Return the subjects that have not been measured since."""
    measured = {
        subject(table)
        for table in profile.status.benchmarks
        if timestamps.parse(table.measured_at) >= at
    }
    return tuple(one for one in wanted if one not in measured)


def subject(table: Benchmark) -> Subject:
    """Return what a table is about."""
    return table.node_type, table.processor_class, table.runtime
