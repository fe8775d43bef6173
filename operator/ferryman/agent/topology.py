"""What the machine's CPU consists of and can do: sockets, NUMA nodes, cores, instruction sets.

None of it is part of the hardware fingerprint. A kernel names only the instruction sets that it
knows, firmware settings change the number of NUMA nodes, and virtual machines of one kind come
with different sockets: each would split twins by accident. Sources: the kernel's
``Documentation/ABI/stable/sysfs-devices-system-cpu`` and ``sysfs-devices-node``.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ferryman.agent import reading
from ferryman.api.node_profile import CpuTopology

#: The instruction sets that inference libraries choose their kernels by, as the kernel names them,
#: and the name that node feature discovery gives them where it is another.
INSTRUCTION_SETS: Final[Mapping[str, str]] = {
    "avx2": "AVX2",
    "avx512f": "AVX512F",
    "avx512_vnni": "AVX512VNNI",
    "avx512_bf16": "AVX512BF16",
    "avx512_fp16": "AVX512FP16",
    "avx_vnni": "AVXVNNI",
    "amx_tile": "AMXTILE",
    "amx_int8": "AMXINT8",
    "amx_bf16": "AMXBF16",
    "asimd": "ASIMD",
    "asimddp": "ASIMDDP",
    "sve": "SVE",
    "sve2": "SVE2",
    "i8mm": "I8MM",
    "bf16": "BF16",
}
CPUID_LABEL: Final = "feature.node.kubernetes.io/cpu-cpuid."
_FLAG_KEYS: Final = ("flags", "Features")
#: What a profile may hold (``CpuTopology``): more is no machine but a mistake.
MOST_SOCKETS: Final = 1_024
MOST_NUMA_NODES: Final = 4_096
MOST_THREADS: Final = 65_536


@dataclass(frozen=True, slots=True)
class Topology:
    """What was found, and what could not be seen."""

    cpu: CpuTopology
    notes: tuple[str, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether there is nothing left to look for another time."""
        return None not in {self.cpu.sockets, self.cpu.cores, self.cpu.threads}


def read(proc: Path, sys: Path, labels: Mapping[str, str]) -> Topology:
    """Return the machine's topology; what cannot be read is absent, with a note."""
    sockets, cores, threads = _online(sys / "devices/system/cpu")
    named, labelled = _flags(proc / "cpuinfo"), _labelled(labels)
    sets = (named or frozenset()) | labelled
    cpu = CpuTopology(
        sockets=_within(sockets, MOST_SOCKETS),
        numa_nodes=_within(_numa_nodes(sys / "devices/system/node", threads), MOST_NUMA_NODES),
        cores=_within(cores, MOST_THREADS),
        threads=_within(threads, MOST_THREADS),
        instruction_sets=tuple(name for name in INSTRUCTION_SETS if name in sets),
    )
    return Topology(cpu, tuple(_notes(cpu, named, labelled)))


def _within(count: int, most: int) -> int | None:
    """Return a count that can be true, else None: 0 is what nobody told."""
    return count if 1 <= count <= most else None


def _online(cpus: Path) -> tuple[int, int, int]:
    """Return how many packages, cores and threads are online; 0 where the kernel does not say.

    A core is a set of threads: the numbers of cores begin anew in each package.
    """
    online = [cpu for cpu in reading.numbered(cpus, "cpu") if _is_online(cpu)]
    packages = {reading.text(cpu / "topology/physical_package_id") for cpu in online}
    cores = {_siblings(cpu / "topology") for cpu in online}
    return len(packages - {None, ""}), len(cores - {None, ""}), len(online)


def _is_online(cpu: Path) -> bool:
    """Whether a CPU works: most kernels take an offline one's topology away, and some leave it.

    The first CPU of many machines cannot be taken offline, and has no file that would say so.
    """
    return reading.text(cpu / "online") != "0" and bool(reading.children(cpu / "topology"))


def _siblings(topology: Path) -> str | None:
    """Return the threads of a CPU's core; the older name of the file is the longer lived one."""
    return reading.text(topology / "thread_siblings_list") or reading.text(
        topology / "core_cpus_list"
    )


def _numa_nodes(nodes: Path, threads: int) -> int:
    """Return how many NUMA nodes have processors: some have memory alone (CXL, a GPU's).

    A kernel built without NUMA shows no node: all memory is near all cores.
    """
    found = reading.numbered(nodes, "node")
    if not found:
        return 1 if threads else 0
    # An empty list names no CPU; without a list there is no telling, and the node counts.
    return sum(reading.text(node / "cpulist") != "" for node in found)


def _flags(cpuinfo: Path) -> frozenset[str] | None:
    """Return the instruction sets of the first CPU; None where it is not told."""
    for line in (reading.text(cpuinfo) or "").splitlines():
        key, _, value = line.partition(":")
        if key.strip() in _FLAG_KEYS:
            return frozenset(value.split()) & INSTRUCTION_SETS.keys()
    return None


def _labelled(labels: Mapping[str, str]) -> frozenset[str]:
    """Return the instruction sets that node feature discovery labelled the Node with."""
    return frozenset(
        name
        for name, feature in INSTRUCTION_SETS.items()
        if labels.get(CPUID_LABEL + feature) == "true"
    )


def _notes(
    cpu: CpuTopology, named: frozenset[str] | None, labelled: frozenset[str]
) -> Iterator[str]:
    counts = {"sockets": cpu.sockets, "cores": cpu.cores, "threads": cpu.threads}
    missing = [name for name, count in counts.items() if count is None]
    if missing:
        yield (f"the CPU's {', '.join(missing)} are unknown: the kernel does not list them in /sys")
    if named is None and not labelled:
        yield "the CPU's instruction sets are unknown: /proc/cpuinfo does not name them"
    if named is not None and labelled - named:
        yield (
            f"node feature discovery labels {', '.join(sorted(labelled - named))}, which "
            "/proc/cpuinfo does not name: the label counts"
        )
