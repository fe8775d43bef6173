"""The interface of ``ferryman.processors``: how the agent learns of a node's processors.

A plug-in is an entry point of that group; it names a factory that takes a ``Host`` and returns
an object with ``discover`` and ``sample``. See docs/processors.md for a worked example.
"""

from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from functools import partial
from importlib.metadata import EntryPoint, entry_points
from math import isfinite
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
    ignored_xids: frozenset[int] = frozenset()
    """XID errors that somebody decided are none."""


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
    cpu_model: str | None = None
    """What the machine's CPU is called: likewise."""
    vendors: frozenset[str] = frozenset()
    """PCI vendors (``0x1da3``) whose accelerators the plug-in shows, where it knows: those of
    others are noted as shown by nobody."""


@dataclass(frozen=True, slots=True)
class Utilisation:
    """One class's load over the time since the last sample; fractions from 0 to 1."""

    processor: float | None = None
    """None when unknown; never 0 for unknown."""
    memory: float | None = None
    unavailable: str | None = None
    """Why the class, or some devices of it, must not be used now (a lost device)."""
    unavailable_count: int | None = None
    """How many devices that is; None where nobody said."""
    notes: tuple[str, ...] = ()
    """What is unknown, and why."""


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
        unclaimed: Callable[[AbstractSet[str]], tuple[str, ...]] = lambda _: (),
    ) -> None:
        """Hold the plug-ins; ``notes`` tell of those that did not start.

        ``unclaimed`` notes the accelerators that none shows, those of the given vendors apart.
        """
        self._plugins = dict(sorted(plugins.items()))
        self._notes = notes
        self._unclaimed = unclaimed

    @property
    def whole(self) -> bool:
        """Whether every plug-in started."""
        return not self._notes

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
        found: list[Discovery] = []
        notes = list(self._notes)
        for name, plugin in self._plugins.items():
            try:
                found.append(plugin.discover())
            except Exception as error:  # noqa: BLE001  foreign code: its failure is reported
                notes.append(_failure(name, "discover", error))
                continue
            notes += found[-1].notes
            for processor in found[-1].processors:
                if processor.processor_class in processors:
                    notes.append(
                        f"plug-in {name}: class {processor.processor_class} is already taken"
                    )
                processors.setdefault(processor.processor_class, processor)
        return Discovery(
            processors=tuple(processors.values()),
            devices=tuple(sorted(device for each in found for device in each.devices)),
            notes=(*notes, *self._unshown(found)),
            cpu=next((each.cpu for each in found if each.cpu), None),
            cpu_model=next((each.cpu_model for each in found if each.cpu_model), None),
        )

    def _unshown(self, found: Sequence[Discovery]) -> tuple[str, ...]:
        """Note accelerators that nobody shows; a plug-in that names no vendor may show any."""
        others = [
            each for each in found if {p.processor_class for p in each.processors} - _BUILT_IN
        ]
        if not all(each.vendors for each in others):
            return ()
        return self._unclaimed(frozenset().union(*(each.vendors for each in found)))

    def sample(self, now_s: float) -> tuple[Sample, tuple[str, ...]]:
        """Return each class's utilisation, and why what is unknown is so."""
        merged: dict[str, Utilisation] = {}
        notes: list[str] = []
        for name, plugin in self._plugins.items():
            try:
                for kind, utilisation in plugin.sample(now_s).items():
                    merged.setdefault(kind, _explained(name, kind, utilisation))
            except Exception as error:  # noqa: BLE001  foreign code: its failure is reported
                notes.append(_failure(name, "sample", error))
        notes += [note for utilisation in merged.values() for note in utilisation.notes]
        return merged, tuple(notes)


def _explained(name: str, kind: str, seen: Utilisation) -> Utilisation:
    """Return a sample that can be true; what a plug-in leaves out without a word gets a note."""
    processor, memory = _share(seen.processor), _share(seen.memory)
    notes = seen.notes
    silent = not notes and seen.unavailable is None
    if silent and processor is None:
        notes += (f"utilisation of {kind} is unknown: plug-in {name} does not tell it",)
    if silent and memory is None:
        notes += (f"memory utilisation of {kind} is unknown: plug-in {name} does not tell it",)
    return replace(seen, processor=processor, memory=memory, notes=notes)


def _share(value: float | None) -> float | None:
    """Return a share from 0 to 1; what is no number is unknown."""
    return None if value is None or not isfinite(value) else min(1.0, max(0.0, value))


def _factory(entry: EntryPoint) -> Factory:
    """Import the plug-in only when it is built, where a failure becomes a note."""

    def build(host: Host) -> Processors:
        factory: Factory = entry.load()
        return factory(host)

    return build


def _failure(name: str, action: str, error: Exception) -> str:
    return f"plug-in {name} failed to {action}: {type(error).__name__}: {error}"
