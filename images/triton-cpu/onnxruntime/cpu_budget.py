"""How many threads a model instance may use: the container's CPU quota, rounded up.

ONNX Runtime by itself counts the machine's cores, so that a container with one core's quota
on a machine of 64 would run 64 threads and be throttled most of the time.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CGROUPS = Path("/sys/fs/cgroup")
OWN_CGROUPS = Path("/proc/self/cgroup")


@dataclass(frozen=True)
class Threads:
    """ONNX Runtime's two pools: within one operator, and between operators."""

    intra_op: int
    inter_op: int

    @classmethod
    def of(cls, parameters: Mapping[str, Any]) -> Threads:
        """Take the counts from the model's config parameters, else from the CPU quota."""
        return cls(
            _parameter(parameters, "intra_op_thread_count") or available_cpus(),
            _parameter(parameters, "inter_op_thread_count") or 1,
        )


def _parameter(parameters: Mapping[str, Any], key: str) -> int:
    """Read a thread count; 0 or less, or absent, means unset, as in Triton's own backend."""
    text = parameters.get(key, {}).get("string_value", "0")
    try:
        return max(0, int(text))
    except ValueError:
        raise ValueError(f"parameter '{key}' must be a whole number, not '{text}'") from None


def available_cpus(cgroups: Path = CGROUPS, own: Path = OWN_CGROUPS) -> int:
    """Return the smallest of the CPUs we may run on and the quotas above us, at least 1."""
    usable = len(os.sched_getaffinity(0))
    limits = [math.ceil(quota) for quota in _quotas(cgroups, own)]
    return max(1, min([usable, *limits]))


def _quotas(cgroups: Path, own: Path) -> Iterator[float]:
    """Yield the quota, in CPUs, of our cgroup and of each one above it that we can see."""
    for folder in _folders(cgroups, own):
        v2, v1 = _read(folder / "cpu.max"), _read(folder / "cpu.cfs_quota_us")
        if v2 and v2[0] != "max":
            yield int(v2[0]) / int(v2[1])
        elif v1 and int(v1[0]) > 0:
            yield int(v1[0]) / int(_read(folder / "cpu.cfs_period_us")[0])


def _folders(cgroups: Path, own: Path) -> Iterator[Path]:
    """Yield the folders of our cgroup upward, in both hierarchies.

    In a container they often show as the root of the mount, whatever /proc/self/cgroup says;
    folders that are not there simply have no quota.
    """
    for line in own.read_text().splitlines() if own.exists() else []:
        _, controllers, path = line.split(":", 2)
        names = controllers.split(",")
        if controllers == "" or "cpu" in names:
            mount = cgroups / "cpu" if "cpu" in names else cgroups
            below = Path(path.lstrip("/"))
            yield from (mount / part for part in (below, *below.parents) if ".." not in part.parts)
    yield from (cgroups, cgroups / "cpu")


def _read(file: Path) -> list[str]:
    try:
        return file.read_text().split()
    except OSError:
        return []
