"""A node's own CPU and memory use, read from its cgroup.

The machine's figures would not do: several nodes can share one machine (kind), and each must
answer for itself. The node's cgroup is the one that holds the kubelet's ``kubepods``: it then
covers the pods and the node's own services. In a pod the node's ``/sys/fs/cgroup`` is mounted
read-only by hostPath. Sources: the kernel's cgroup-v1 and cgroup-v2 documentation.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

MAX_DEPTH: Final = 6
MAX_FOLDERS: Final = 4_000
_KUBELET: Final = frozenset({"kubelet", "kubelet.slice"})


class CgroupUnknownError(Exception):
    """The node's cgroup cannot be told; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class NodeCgroup:
    """Where one node's CPU and memory are accounted."""

    cpu: Path
    memory: Path
    version: int
    limits: tuple[Path, ...] = ()
    """The folders whose CPU limits bind the node: its own and those above it."""

    def cpu_usage_ns(self) -> int:
        """Return the CPU time used so far, in nanoseconds. Raises OSError, ValueError."""
        if self.version == 1:
            return int((self.cpu / "cpuacct.usage").read_text())
        return _fields(self.cpu / "cpu.stat")["usage_usec"] * 1_000

    def quota_millicores(self) -> int | None:
        """Return the least CPU limit on the way down to the node; None without any.

        A limit is quota over period. Raises OSError, ValueError.
        """
        quota = _quota_v1 if self.version == 1 else _quota_v2
        return min((q for q in map(quota, self.limits) if q is not None), default=None)

    def working_set_bytes(self) -> int:
        """Return memory in use less inactive file cache, as the kubelet counts it."""
        if self.version == 1:
            usage = int((self.memory / "memory.usage_in_bytes").read_text())
            return max(0, usage - _fields(self.memory / "memory.stat")["total_inactive_file"])
        if (self.memory / "memory.current").exists():
            return _working_set_v2(self.memory)
        # The machine's root cgroup has no memory.current of its own: add up its children.
        parts = [child.parent for child in sorted(self.memory.glob("*/memory.current"))]
        if not parts:
            raise CgroupUnknownError(f"the memory controller is not enabled below {self.memory}")
        return sum(map(_working_set_v2, parts))


def find(root: Path, pod_uid: str = "") -> NodeCgroup:
    """Find the node's cgroup below a mounted cgroup file system.

    ``pod_uid`` (with dashes) decides when several nodes' cgroups are visible. Raises
    CgroupUnknownError when there is none, or no telling which.
    """
    if (root / "cgroup.controllers").exists():
        node = _node_folder(root, pod_uid)
        return NodeCgroup(cpu=node, memory=node, version=2, limits=_upwards(root, node))
    cpu = next((root / name for name in ("cpuacct", "cpu,cpuacct") if (root / name).is_dir()), None)
    if cpu is None or not (root / "memory").is_dir():
        raise CgroupUnknownError(
            f"{root} is not a cgroup file system: mount the node's /sys/fs/cgroup there"
        )
    memory, usage = _node_folder(root / "memory", pod_uid), _node_folder(cpu, pod_uid)
    return NodeCgroup(cpu=usage, memory=memory, version=1, limits=_limits_v1(root, cpu, usage))


def _limits_v1(root: Path, mount: Path, node: Path) -> tuple[Path, ...]:
    """Return the node's folders in the hierarchy ``cpu``; usage may be accounted in another."""
    cpu = next((root / name for name in ("cpu", "cpu,cpuacct") if (root / name).is_dir()), None)
    return () if cpu is None else _upwards(cpu, cpu / node.relative_to(mount))


def _upwards(base: Path, folder: Path) -> tuple[Path, ...]:
    """Return the folder and those above it, up to and with the base."""
    above = [parent for parent in folder.parents if parent == base or base in parent.parents]
    return (folder, *above)


def _node_folder(base: Path, pod_uid: str) -> Path:
    found = list(_kubepods(base))
    own = [folder for folder in found if pod_uid and _holds_pod(folder, pod_uid)]
    candidates = own or found
    if not candidates:
        raise CgroupUnknownError(
            f"no kubepods cgroup below {base}: mount the node's own /sys/fs/cgroup there"
        )
    if len(candidates) > 1:
        raise CgroupUnknownError(
            f"{len(candidates)} kubepods cgroups below {base}, and no telling which is this node's"
        )
    parent = candidates[0].parent
    return parent.parent if parent.name in _KUBELET and parent != base else parent


def _kubepods(base: Path) -> Iterator[Path]:
    """Yield the kubelets' top folders, nearest first, without looking inside them."""
    level, seen = [base], 0
    for _ in range(MAX_DEPTH):
        below: list[Path] = []
        for folder in level:
            for child in _folders(folder):
                seen += 1
                if seen > MAX_FOLDERS:
                    return
                if child.name == "kubepods" or child.name.endswith("kubepods.slice"):
                    yield child
                else:
                    below.append(child)
        level = below


def _holds_pod(kubepods: Path, pod_uid: str) -> bool:
    """Say whether a pod's cgroup lies below: in the folder itself or in a QoS class's."""
    names = (f"pod{pod_uid}", f"pod{pod_uid.replace('-', '_')}.slice")
    inside = [
        *_folders(kubepods),
        *(deep for child in _folders(kubepods) for deep in _folders(child)),
    ]
    return any(folder.name.endswith(names) for folder in inside)


def _folders(folder: Path) -> list[Path]:
    try:
        return sorted(
            child for child in folder.iterdir() if child.is_dir() and not child.is_symlink()
        )
    except OSError:
        return []  # cgroups come and go while one looks


def _quota_v1(folder: Path) -> int | None:
    file = folder / "cpu.cfs_quota_us"
    if not file.exists():
        return None  # the controller's root has none
    quota_us = int(file.read_text())
    period_us = int((folder / "cpu.cfs_period_us").read_text())
    return None if quota_us <= 0 else max(1, quota_us * 1_000 // period_us)


def _quota_v2(folder: Path) -> int | None:
    file = folder / "cpu.max"
    if not file.exists():
        return None  # the machine's root cgroup has none
    quota_us, period_us = file.read_text().split()
    return None if quota_us == "max" else max(1, int(quota_us) * 1_000 // int(period_us))


def _working_set_v2(folder: Path) -> int:
    usage = int((folder / "memory.current").read_text())
    return max(0, usage - _fields(folder / "memory.stat")["inactive_file"])


def _fields(file: Path) -> dict[str, int]:
    """Read a flat-keyed cgroup file: one ``key value`` a line."""
    pairs = (line.split() for line in file.read_text().splitlines())
    return {key: int(value) for key, value in pairs}
