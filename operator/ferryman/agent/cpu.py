"""The processor class ``cpu``: its model, what it can do, and how busy the node keeps it."""

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Final

from ferryman.agent import topology
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

    Arm names no model there: implementer, part and variant stand for it. Some virtual machines
    name no generation (``AMD EPYC``): family and model, which are the CPU's own and so the same
    under every kernel, are added where the name has no number.
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
    return (re.sub(r"\s+", " ", text) + _generation(text, fields))[:_MAX_MODEL]


def _generation(name: str, fields: Mapping[str, str]) -> str:
    """Return family and model of an x86 CPU whose name, clock rate apart, has no number."""
    numbered = any(letter.isdigit() for letter in name.partition("@")[0])
    if numbered or "cpu family" not in fields or "model" not in fields:
        return ""
    return f" (family {fields['cpu family']} model {fields['model']})"


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
        self._topology: topology.Topology | None = None
        self._quota_millicores: int | None = None

    def discover(self) -> Discovery:
        """Return the one processor of class ``cpu``, and what is known of the machine's CPU."""
        processor = Processor(
            processor_class=CLASS,
            product=read_cpu_model(self._host.proc),
            memory_bytes=self._host.memory_bytes,
        )
        seen = self._topology or topology.read(self._host.proc, self._host.sys, self._host.labels)
        self._topology = seen
        quota_notes = self._read_quota()
        return Discovery(
            (processor,),
            notes=seen.notes + quota_notes,
            cpu=seen.cpu.with_(quota_millicores=self._quota_millicores),
        )

    def sample(self, now_s: float) -> Sample:
        """Return CPU and memory use since the last call; unknown, with a note, when unreadable."""
        try:
            cgroup = self._find()
            cpu = self._cpu_share(cgroup.cpu_usage_ns(), now_s)
            memory = min(1.0, cgroup.working_set_bytes() / self._host.memory_bytes)
        except (CgroupUnknownError, OSError, KeyError, ValueError) as error:
            self._cgroup = self._last = None
            return {CLASS: Utilisation(notes=(f"CPU utilisation is unknown: {error}",))}
        return {CLASS: Utilisation(cpu, memory)}

    def _find(self) -> NodeCgroup:
        """Return the node's cgroup. Raises CgroupUnknownError."""
        self._cgroup = self._cgroup or find(self._host.cgroup_root, self._host.pod_uid)
        return self._cgroup

    def _read_quota(self) -> tuple[str, ...]:
        """Read the node's CPU limit; return a note where it is below what the Node can allocate."""
        try:
            quota = self._find().quota_millicores()
        except (CgroupUnknownError, OSError, ValueError):
            quota = None  # an unknown cgroup is a note of each sample
        self._quota_millicores = quota
        if quota is None or quota >= self._host.cpu_millicores:
            return ()
        note = (
            f"the node's cgroup allows {quota} millicores, but the Node offers "
            f"{self._host.cpu_millicores} to pods: let the kubelet reserve the rest (kubeReserved)"
        )
        return (note,)

    def _cpu_share(self, usage_ns: int, now_s: float) -> float | None:
        """Return the share in use since the last call; None the first time.

        It is used over allocatable CPU, or over the cgroup's limit where that is less: a node at
        its limit is busy whatever it was said to have.
        """
        last, self._last = self._last, (now_s, usage_ns)
        if last is None or now_s <= last[0] or usage_ns < last[1]:
            return None
        cores = (usage_ns - last[1]) / 1e9 / (now_s - last[0])
        usable = min(self._host.cpu_millicores, self._quota_millicores or self._host.cpu_millicores)
        return min(1.0, cores / (usable / 1_000))
