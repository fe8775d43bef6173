"""A node's own CPU and memory use, read from its cgroup.

The machine's figures would not do: several nodes can share one machine (kind), and each must
answer for itself. The node's cgroup is the one that holds the kubelet's ``kubepods``: it then
covers the pods and the node's own services. In a pod the node's ``/sys/fs/cgroup`` is mounted
read-only by hostPath. Sources: the kernel's cgroup-v1 and cgroup-v2 documentation.
"""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ferryman.agent import reading

MAX_DEPTH: Final = 6
MAX_FOLDERS: Final = 4_000
_NUMBER: Final = re.compile(r"-?[0-9]{1,20}", re.ASCII)
_KUBELET: Final = frozenset({"kubelet", "kubelet.slice"})
#: What cgroup v1 calls the hierarchies, by the order of the controllers at the mount.
_ACCOUNTING: Final = ("cpuacct", "cpu,cpuacct", "cpuacct,cpu")
_LIMITING: Final = ("cpu", "cpu,cpuacct", "cpuacct,cpu")


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
        """Return the CPU time used so far, in nanoseconds. Raises CgroupUnknownError."""
        if self.version == 1:
            return _number(self.cpu / "cpuacct.usage")
        return _field(self.cpu / "cpu.stat", "usage_usec") * 1_000

    def quota_millicores(self) -> int | None:
        """Return the least CPU limit on the way down to the node; None without any.

        A limit is quota over period. Raises CgroupUnknownError.
        """
        quota = _quota_v1 if self.version == 1 else _quota_v2
        return min((q for q in map(quota, self.limits) if q is not None), default=None)

    def working_set_bytes(self) -> int:
        """Return memory in use less inactive file cache, as the kubelet counts it.

        Raises CgroupUnknownError.
        """
        if self.version == 1:
            usage = _number(self.memory / "memory.usage_in_bytes")
            return max(0, usage - _field(self.memory / "memory.stat", "total_inactive_file"))
        if _is_there(self.memory / "memory.current"):
            return _working_set_v2(self.memory)
        # The machine's root cgroup has no memory.current of its own: add up its children.
        parts = [each for each in _folders(self.memory) if _is_there(each / "memory.current")]
        if not parts:
            raise CgroupUnknownError(f"the memory controller is not enabled below {self.memory}")
        return sum(map(_working_set_v2, parts))


def find(root: Path, pod_uid: str = "") -> NodeCgroup:
    """Find the node's cgroup below a mounted cgroup file system.

    ``pod_uid`` (with dashes) decides when several nodes' cgroups are visible. Raises
    CgroupUnknownError when there is none, or no telling which.
    """
    if _is_there(root / "cgroup.controllers"):
        node = _node_folder(root, pod_uid)
        return NodeCgroup(cpu=node, memory=node, version=2, limits=_upwards(root, node))
    cpu = next((root / name for name in _ACCOUNTING if _is_folder(root / name)), None)
    if cpu is None or not _is_folder(root / "memory"):
        raise CgroupUnknownError(
            f"{root} is not a cgroup file system: mount the node's /sys/fs/cgroup there"
        )
    memory, usage = _node_folder(root / "memory", pod_uid), _node_folder(cpu, pod_uid)
    return NodeCgroup(cpu=usage, memory=memory, version=1, limits=_limits_v1(root, cpu, usage))


def _limits_v1(root: Path, mount: Path, node: Path) -> tuple[Path, ...]:
    """Return the node's folders in the hierarchy ``cpu``; usage may be accounted in another."""
    cpu = next((root / name for name in _LIMITING if _is_folder(root / name)), None)
    return () if cpu is None else _upwards(cpu, cpu / node.relative_to(mount))


def _upwards(base: Path, folder: Path) -> tuple[Path, ...]:
    """Return the folder and those above it, up to and with the base."""
    above = [parent for parent in folder.parents if parent == base or base in parent.parents]
    return (folder, *above)


def _node_folder(base: Path, pod_uid: str) -> Path:
    # A hierarchy can be mounted into itself (a node in a container): what is one counts once.
    found = list({_identity(folder): folder for folder in reversed(list(_kubepods(base)))}.values())
    own = [folder for folder in found if pod_uid and _pods(folder, pod_uid)]
    if len(own) > 1:
        # A node that was started anew can leave its old cgroups behind, with those of pods that it
        # still has; what runs, runs in one of them.
        own = [folder for folder in own if any(map(_is_alive, _pods(folder, pod_uid)))] or own
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


def _pods(kubepods: Path, pod_uid: str) -> list[Path]:
    """Return a pod's cgroup: below in the folder itself or in a QoS class's."""
    names = (f"pod{pod_uid}", f"pod{pod_uid.replace('-', '_')}.slice")
    inside = [
        *_folders(kubepods),
        *(deep for child in _folders(kubepods) for deep in _folders(child)),
    ]
    return [folder for folder in inside if folder.name.endswith(names)]


def _is_alive(pod: Path) -> bool:
    """Whether a process runs in a pod's cgroup: the pod's own, or one of its containers'."""
    return any(
        reading.text(folder / "cgroup.procs")
        for folder in (pod, *_folders(pod), *(x for each in _folders(pod) for x in _folders(each)))
    )


def _folders(folder: Path) -> list[Path]:
    """Return the cgroups right below one; they come and go while one looks."""
    return [
        child
        for child in reading.children(folder)
        if _is_folder(child) and not os.path.islink(child)  # noqa: PTH114  never raises
    ]


def _identity(folder: Path) -> tuple[object, ...]:
    """Return what tells a folder from others, by whatever way one came to it."""
    try:
        status = folder.stat()
    except OSError:
        return (folder,)
    return status.st_dev, status.st_ino


def _is_folder(path: Path) -> bool:
    return os.path.isdir(path)  # noqa: PTH112  pathlib's raises where the kernel refuses to say


def _is_there(path: Path) -> bool:
    return os.path.exists(path)  # noqa: PTH110  likewise


def _quota_v1(folder: Path) -> int | None:
    file = folder / "cpu.cfs_quota_us"
    if not _is_there(file):
        return None  # the controller's root has none
    return _millicores(_number(file), _number(folder / "cpu.cfs_period_us"))


def _quota_v2(folder: Path) -> int | None:
    file = folder / "cpu.max"
    if not _is_there(file):
        return None  # the machine's root cgroup has none
    words = _text(file).split()
    if words[:1] == ["max"]:
        return None
    # A period that is not written is the kernel's default of 100 ms.
    quota_us, period_us = (*words, "100000")[:2] if words else ("", "")
    return _millicores(_whole(quota_us, file), _whole(period_us, file))


def _millicores(quota_us: int, period_us: int) -> int | None:
    if quota_us <= 0 or period_us <= 0:
        return None
    return max(1, quota_us * 1_000 // period_us)


def _working_set_v2(folder: Path) -> int:
    usage = _number(folder / "memory.current")
    return max(0, usage - _field(folder / "memory.stat", "inactive_file"))


def _field(file: Path, key: str) -> int:
    """Read one value of a flat-keyed cgroup file: one ``key value`` a line."""
    for line in _text(file).splitlines():
        words = line.split()
        if words[:1] == [key] and len(words) > 1:
            return _whole(words[1], file)
    raise CgroupUnknownError(f"{file} has no {key}: the kernel does not count it")


def _number(file: Path) -> int:
    return _whole(_text(file), file)


def _whole(text: str, file: Path) -> int:
    """Return a count that the kernel can have written: it has 64 bits. -1 is no limit."""
    if _NUMBER.fullmatch(text) is None:
        raise CgroupUnknownError(f"{file} holds {text[:40]!r}, which is no number")
    return int(text)


def _text(file: Path) -> str:
    found = reading.text(file)
    if found is None:
        raise CgroupUnknownError(f"{file} cannot be read: mount the node's own /sys/fs/cgroup")
    return found
