"""The interface of ``ferryman.processors``: how the agent learns of a node's processors.

A plug-in is an entry point of that group; it names a factory that takes a ``Host`` and returns
an object with ``discover`` and ``sample``. See docs/processors.md for a worked example.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Final, Protocol

from ferryman.agent import pci
from ferryman.api.node_profile import CpuTopology, Processor

GROUP: Final = "ferryman.processors"
_BUILT_IN: Final = frozenset({"cpu", "gpu"})


@dataclass(frozen=True, slots=True)
class Host:
    """What a plug-in may know about the node it runs on."""

    cpu_millicores: int
    """Allocatable CPU of the Node object."""
    memory_bytes: int
    """Allocatable memory of the Node object."""
    labels: Mapping[str, str] = field(default_factory=dict)
    """The Node's labels: device plugins say there how they share a device."""
    cgroup_root: Path = Path("/sys/fs/cgroup")
    """Where the node's cgroup file system is mounted in the agent's pod."""
    pod_uid: str = ""
    """The agent's own pod, which tells this node's cgroups from another's; empty if unknown."""
    proc: Path = Path("/proc")
    sys: Path = Path("/sys")


@dataclass(frozen=True, slots=True)
class Discovery:
    """The processors that a plug-in found, and what it could not see."""

    processors: tuple[Processor, ...] = ()
    """At most one per class, without utilisation: that is what ``sample`` is for."""
    devices: tuple[str, ...] = ()
    """One ``CLASS PRODUCT MEMORY_MiB`` per device: part of the hardware fingerprint."""
    notes: tuple[str, ...] = ()
    """What could not be seen and why, for people."""
    cpu: CpuTopology | None = None
    """What is known of the machine's CPU: the built-in plug-in ``cpu`` alone fills it."""


@dataclass(frozen=True, slots=True)
class Utilisation:
    """One class's load over the time since the last sample; fractions from 0 to 1."""

    processor: float | None = None
    """None when unknown; never 0 for unknown."""
    memory: float | None = None
    unavailable: str | None = None
    """Why the class must not be used now (a lost device)."""
    notes: tuple[str, ...] = ()


Sample = Mapping[str, Utilisation]
"""Processor class -> utilisation."""


class Processors(Protocol):
    """One plug-in: the processors of one or more classes on this node.

    Both methods may raise: the agent turns an exception into a note and goes on.
    """

    def discover(self) -> Discovery:
        """Look for processors; called at the start and about twice a minute."""
        ...

    def sample(self, now_s: float) -> Sample:
        """Return the load since the last call; ``now_s`` is monotonic. Must not block."""
        ...


Factory = Callable[[Host], Processors]


class Inventory:
    """All plug-ins of the node; the failure of one is a note and hides no other."""

    def __init__(
        self,
        plugins: Mapping[str, Processors],
        notes: tuple[str, ...] = (),
        unclaimed: Callable[[], tuple[str, ...]] = tuple,
    ) -> None:
        """Hold the plug-ins; ``unclaimed`` notes the accelerators that none might show."""
        self._plugins = dict(sorted(plugins.items()))
        self._notes = notes
        self._unclaimed = unclaimed

    @classmethod
    def load(cls, host: Host) -> "Inventory":
        """Build every installed plug-in of the group ``ferryman.processors``."""
        return cls.build({entry.name: _factory(entry) for entry in entry_points(group=GROUP)}, host)

    @classmethod
    def build(cls, factories: Mapping[str, Factory], host: Host) -> "Inventory":
        """Call the factories; one that raises becomes a note."""
        plugins: dict[str, Processors] = {}
        notes: list[str] = []
        for name, factory in sorted(factories.items()):
            try:
                plugins[name] = factory(host)
            except Exception as error:  # noqa: BLE001  foreign code: its failure is reported
                notes.append(_failure(name, "start", error))
        return cls(plugins, tuple(notes), partial(pci.unclaimed, host.sys))

    def discover(self) -> Discovery:
        """Return what all plug-ins found; of two with the same class, the first by name counts."""
        processors: dict[str, Processor] = {}
        devices: list[str] = []
        notes = list(self._notes)
        cpu: CpuTopology | None = None
        for name, plugin in self._plugins.items():
            try:
                found = plugin.discover()
            except Exception as error:  # noqa: BLE001  foreign code: its failure is reported
                notes.append(_failure(name, "discover", error))
                continue
            notes += found.notes
            devices += found.devices
            cpu = cpu or found.cpu
            for processor in found.processors:
                if processor.processor_class in processors:
                    notes.append(
                        f"plug-in {name}: class {processor.processor_class} is already taken"
                    )
                processors.setdefault(processor.processor_class, processor)
        if not processors.keys() - _BUILT_IN:
            notes += self._unclaimed()
        return Discovery(tuple(processors.values()), tuple(sorted(devices)), tuple(notes), cpu)

    def sample(self, now_s: float) -> tuple[Sample, tuple[str, ...]]:
        """Return each class's utilisation, and the notes of plug-ins that failed."""
        merged: dict[str, Utilisation] = {}
        notes: list[str] = []
        for name, plugin in self._plugins.items():
            try:
                for kind, utilisation in plugin.sample(now_s).items():
                    merged.setdefault(kind, utilisation)
            except Exception as error:  # noqa: BLE001  foreign code: its failure is reported
                notes.append(_failure(name, "sample", error))
        notes += [note for utilisation in merged.values() for note in utilisation.notes]
        return merged, tuple(notes)


def _factory(entry: EntryPoint) -> Factory:
    """Import the plug-in only when it is built, where a failure becomes a note."""

    def build(host: Host) -> Processors:
        factory: Factory = entry.load()
        return factory(host)

    return build


def _failure(name: str, action: str, error: Exception) -> str:
    return f"plug-in {name} failed to {action}: {type(error).__name__}: {error}"
