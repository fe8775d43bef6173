"""What the agent publishes, worked out from what it saw: pure functions on frozen values."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from ferryman.agent.cpu_model import printable
from ferryman.agent.naming import node_type
from ferryman.agent.processors import Discovery, Utilisation
from ferryman.api.node_profile import CpuTopology, Hardware, NodeProfileStatus, Processor

MEMORY_STEP_BYTES: Final = 256 * 2**20
MAX_NOTES: Final = 16
MAX_NOTE: Final = 512
MAX_PROCESSORS: Final = 16
#: What a profile may hold (``Hardware``).
_MOST_MILLICORES: Final = 10_000_000
_MOST_BYTES: Final = 2**50


def fingerprint(
    *,
    architecture: str,
    cpu_model: str,
    cpu_millicores: int,
    memory_bytes: int,
    devices: Iterable[str] = (),
    cpu: CpuTopology | None = None,
) -> Hardware:
    """Return the hardware; memory is rounded down to 256 MiB so that twins agree.

    ``cpu`` is for people to read: it is no part of the fingerprint (see ``agent/topology.py``).
    """
    return Hardware(
        architecture=printable(architecture)[:32],
        cpu_model=printable(cpu_model)[:256],
        cpu_millicores=min(max(1, cpu_millicores), _MOST_MILLICORES),
        memory_bytes=min(
            max(1, memory_bytes // MEMORY_STEP_BYTES * MEMORY_STEP_BYTES), _MOST_BYTES
        ),
        devices=tuple(sorted(printable(device)[:256] for device in devices)[:64]),
        cpu=cpu,
    )


def status(
    hardware: Hardware, processors: Iterable[Processor], notes: Iterable[str]
) -> NodeProfileStatus:
    """Return the agent's part of the status, without the heartbeat."""
    unique = list(dict.fromkeys(printable(note)[:MAX_NOTE] for note in notes))
    return NodeProfileStatus(
        node_type=node_type(hardware),
        hardware=hardware,
        processors=tuple(
            sorted(processors, key=lambda each: each.processor_class)[:MAX_PROCESSORS]
        ),
        notes=tuple(unique[:MAX_NOTES]),
    )


def with_utilisation(processor: Processor, seen: Utilisation | None) -> Processor:
    """Return the processor with its (quantised) utilisation; without a sample it is unknown."""
    if seen is None:
        return processor.with_(utilisation=None, memory_utilisation=None)
    latest = seen.unavailable is not None
    unavailable = seen.unavailable if latest else processor.unavailable
    count = seen.unavailable_count if latest else processor.unavailable_count
    return processor.with_(
        utilisation=seen.processor,
        memory_utilisation=seen.memory,
        unavailable=(unavailable or "")[:256] or None,
        unavailable_count=count if unavailable else None,
    )


def processors_of(discovery: Discovery, seen: Mapping[str, Utilisation]) -> tuple[Processor, ...]:
    """Return the discovered processors with what was sampled for their classes."""
    return tuple(
        with_utilisation(each, seen.get(each.processor_class)) for each in discovery.processors
    )


def unexplained(processors: Iterable[Processor], notes: Iterable[str]) -> tuple[str, ...]:
    """Return a note for the classes that were found, are unknown, and of which nobody said why."""
    said = " ".join(notes)
    return tuple(
        f"utilisation of {each.processor_class} is unknown: no plug-in has told it yet"
        for each in processors
        if each.utilisation is None
        and each.unavailable is None
        and "utilisation" not in said
        and "failed to sample" not in said
    )


def wire(observed: NodeProfileStatus, heartbeat: datetime) -> dict[str, Any]:
    """Return the JSON that the agent applies: its own fields alone, never the benchmarks."""
    stamped = observed.with_(heartbeat_time=rfc3339(heartbeat)).as_dict()
    stamped.pop("benchmarks", None)
    return stamped


def rfc3339(moment: datetime) -> str:
    """Return a time as RFC 3339 in UTC with whole seconds."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
