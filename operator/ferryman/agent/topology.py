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


@dataclass(frozen=True, slots=True)
class Topology:
    """What was found, and what could not be seen."""

    cpu: CpuTopology
    notes: tuple[str, ...] = ()


def read(proc: Path, sys: Path, labels: Mapping[str, str]) -> Topology:
    """Return the machine's topology; what cannot be read is absent, with a note."""
    sockets, cores, threads = _online(sys / "devices/system/cpu")
    numa_nodes = len(list((sys / "devices/system/node").glob("node[0-9]*")))
    named, labelled = _flags(proc / "cpuinfo"), _labelled(labels)
    sets = (named or frozenset()) | labelled
    cpu = CpuTopology(
        sockets=sockets or None,
        # A kernel built without NUMA shows no node: all memory is near all cores.
        numa_nodes=numa_nodes or (1 if threads else None),
        cores=cores or None,
        threads=threads or None,
        instruction_sets=tuple(name for name in INSTRUCTION_SETS if name in sets),
    )
    return Topology(cpu, tuple(_notes(cpu, named, labelled)))


def _online(cpus: Path) -> tuple[int, int, int]:
    """Return how many packages, cores and threads are online; 0 where the kernel does not say.

    A core is a set of threads: the numbers of cores begin anew in each package.
    """
    packages: set[str] = set()
    cores: set[str] = set()
    threads = 0
    for topology in cpus.glob("cpu[0-9]*/topology"):  # an offline CPU has no such folder
        try:
            packages.add((topology / "physical_package_id").read_text().strip())
            cores.add((topology / "thread_siblings_list").read_text().strip())
        except OSError:
            continue  # it went offline meanwhile
        threads += 1
    return len(packages), len(cores), threads


def _flags(cpuinfo: Path) -> frozenset[str] | None:
    """Return the instruction sets of the first CPU; None where it is not told."""
    try:
        lines = cpuinfo.read_text(errors="replace").splitlines()
    except OSError:
        return None
    for line in lines:
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
    if cpu.threads is None:
        yield "the CPU's sockets and cores are unknown: the kernel does not list them in /sys"
    if named is None and not labelled:
        yield "the CPU's instruction sets are unknown: /proc/cpuinfo does not name them"
    if named is not None and labelled - named:
        yield (
            f"node feature discovery labels {', '.join(sorted(labelled - named))}, which "
            "/proc/cpuinfo does not name: the label counts"
        )
