"""The processor class ``cpu``: its model, and how busy the node's own share of it is."""

import re
from functools import cache
from pathlib import Path
from typing import Final

from ferryman.agent.cgroup import CgroupUnknownError, NodeCgroup, find
from ferryman.agent.processors import Discovery, Host, Sample, Utilisation
from ferryman.api.node_profile import Processor

CLASS: Final = "cpu"
UNKNOWN_MODEL: Final = "unknown"
_MODEL_KEYS: Final = ("model name", "cpu model", "Processor", "cpu", "Model", "Hardware")
_ARM_KEYS: Final = ("CPU implementer", "CPU part", "CPU variant")
_MAX_MODEL: Final = 256


def cpu_model(cpuinfo: str) -> str:
    """Return the CPU's model from the text of ``/proc/cpuinfo``, or ``unknown``.

    Arm names no model there: implementer, part and variant stand for it.
    """
    fields: dict[str, str] = {}
    for line in cpuinfo.splitlines():
        key, separator, value = line.partition(":")
        if separator and value.strip():
            fields.setdefault(key.strip(), value.strip())
    named = next((fields[key] for key in _MODEL_KEYS if key in fields), None)
    arm = " ".join(
        f"{key.removeprefix('CPU ')} {fields[key]}" for key in _ARM_KEYS if key in fields
    )
    text = named or (f"Arm {arm}" if arm else UNKNOWN_MODEL)
    return re.sub(r"\s+", " ", text)[:_MAX_MODEL]


@cache
def read_cpu_model(proc: Path = Path("/proc")) -> str:
    """Return the model of this machine's CPU, read once. Raises OSError without a /proc."""
    return cpu_model((proc / "cpuinfo").read_text(errors="replace"))


class CpuProcessors:
    """The node's CPU; use is its cgroup's, divided by what the Node can allocate."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._cgroup: NodeCgroup | None = None
        self._last: tuple[float, int] | None = None

    def discover(self) -> Discovery:
        """Return the one processor of class ``cpu``."""
        processor = Processor(
            processor_class=CLASS,
            product=read_cpu_model(self._host.proc),
            memory_bytes=self._host.memory_bytes,
        )
        return Discovery((processor,))

    def sample(self, now_s: float) -> Sample:
        """Return CPU and memory use since the last call; unknown, with a note, when unreadable."""
        try:
            cgroup = self._cgroup or find(self._host.cgroup_root, self._host.pod_uid)
            cpu = self._cpu_share(cgroup.cpu_usage_ns(), now_s)
            memory = min(1.0, cgroup.working_set_bytes() / self._host.memory_bytes)
        except (CgroupUnknownError, OSError, KeyError, ValueError) as error:
            self._cgroup = self._last = None
            return {CLASS: Utilisation(notes=(f"CPU utilisation is unknown: {error}",))}
        self._cgroup = cgroup
        return {CLASS: Utilisation(cpu, memory)}

    def _cpu_share(self, usage_ns: int, now_s: float) -> float | None:
        """Return used over allocatable CPU since the last call; None the first time."""
        last, self._last = self._last, (now_s, usage_ns)
        if last is None or now_s <= last[0] or usage_ns < last[1]:
            return None
        cores = (usage_ns - last[1]) / 1e9 / (now_s - last[0])
        return min(1.0, cores / (self._host.cpu_millicores / 1_000))
