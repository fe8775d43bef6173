"""What the agent publishes, worked out from what it saw: pure functions on frozen values."""

import hashlib
import json
import re
import unicodedata
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from ferryman.agent.processors import Discovery, Utilisation
from ferryman.api.node_profile import CpuTopology, Hardware, NodeProfileStatus, Processor

MAX_NODE_TYPE: Final = 63
MEMORY_STEP_BYTES: Final = 256 * 2**20
MAX_NOTES: Final = 16
MAX_NOTE: Final = 512
_GIB: Final = 2**30
_MIB: Final = 2**20
_HASH: Final = 8
#: Words of a CPU's or device's name that tell nothing.
_NOISE: Final = re.compile(
    r"\((r|tm|c)\)|@.*$|\bwith\b.*$|\b(cpu|processor|\d+-core|nvidia|corporation|genuine)\b",
    re.IGNORECASE,
)


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
        architecture=architecture[:32],
        cpu_model=_printable(cpu_model)[:256],
        cpu_millicores=cpu_millicores,
        memory_bytes=max(1, memory_bytes // MEMORY_STEP_BYTES * MEMORY_STEP_BYTES),
        devices=tuple(sorted(_printable(device)[:256] for device in devices)[:64]),
        cpu=cpu,
    )


def node_type(hardware: Hardware) -> str:
    """Return a readable label value that is the same for equal fingerprints, and only then.

    ``<device>-x<count>-…`` or ``cpu-<model>-…``, then cores, memory and eight hexadecimal
    digits of the fingerprint's SHA-256; at most 63 characters.
    """
    canonical = json.dumps(hardware.with_(cpu=None).as_dict(), sort_keys=True, ensure_ascii=True)
    digest = hashlib.sha256(canonical.encode()).hexdigest()[:_HASH]
    tail = f"{_cores(hardware.cpu_millicores)}-{_memory(hardware.memory_bytes)}-{digest}"
    head = _head(hardware)[: MAX_NODE_TYPE - len(tail) - 1].strip("-")
    return f"{head}-{tail}"


def status(
    hardware: Hardware, processors: Iterable[Processor], notes: Iterable[str]
) -> NodeProfileStatus:
    """Return the agent's part of the status, without the heartbeat."""
    unique = list(dict.fromkeys(note[:MAX_NOTE] for note in notes))
    return NodeProfileStatus(
        node_type=node_type(hardware),
        hardware=hardware,
        processors=tuple(sorted(processors, key=lambda each: each.processor_class)),
        notes=tuple(unique[:MAX_NOTES]),
    )


def with_utilisation(processor: Processor, seen: Utilisation | None) -> Processor:
    """Return the processor with its (quantised) utilisation; without a sample it is unknown."""
    if seen is None:
        return processor.with_(utilisation=None, memory_utilisation=None)
    return processor.with_(
        utilisation=seen.processor,
        memory_utilisation=seen.memory,
        unavailable=(seen.unavailable or processor.unavailable or "")[:256] or None,
    )


def processors_of(discovery: Discovery, seen: Mapping[str, Utilisation]) -> tuple[Processor, ...]:
    """Return the discovered processors with what was sampled for their classes."""
    return tuple(
        with_utilisation(each, seen.get(each.processor_class)) for each in discovery.processors
    )


def wire(observed: NodeProfileStatus, heartbeat: datetime) -> dict[str, Any]:
    """Return the JSON that the agent applies: its own fields alone, never the benchmarks."""
    stamped = observed.with_(heartbeat_time=rfc3339(heartbeat)).as_dict()
    stamped.pop("benchmarks", None)
    return stamped


def rfc3339(moment: datetime) -> str:
    """Return a time as RFC 3339 in UTC with whole seconds."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _head(hardware: Hardware) -> str:
    if not hardware.devices:
        return f"cpu-{_slug(hardware.cpu_model)}"
    kind, _, rest = hardware.devices[0].partition(" ")
    product = _slug(rest.rpartition(" ")[0] or rest or kind)
    return f"{product}-x{len(hardware.devices)}"


def _slug(text: str) -> str:
    """Return lower-case ASCII letters and digits joined by single dashes; never empty."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    words = re.sub(r"[^a-z0-9]+", "-", _NOISE.sub(" ", plain).lower()).strip("-")
    return words or "unknown"


def _printable(text: str) -> str:
    """Drop what JSON or a terminal cannot carry: control characters and lone surrogates."""
    return "".join(c for c in text if unicodedata.category(c) not in {"Cc", "Cs"})


def _cores(millicores: int) -> str:
    return f"{millicores // 1_000}c" if millicores % 1_000 == 0 else f"{millicores}m"


def _memory(memory_bytes: int) -> str:
    return f"{memory_bytes // _GIB}gi" if memory_bytes >= _GIB else f"{memory_bytes // _MIB}mi"
