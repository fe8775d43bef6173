"""The processor class ``cpu``: its model, what it can do, and how busy the node keeps it."""

from pathlib import Path
from typing import Final

from ferryman.agent import topology
from ferryman.agent.cgroup import CgroupUnknownError, NodeCgroup, find
from ferryman.agent.cpu_model import cpu_model, read_cpu_model
from ferryman.agent.processors import Discovery, Host, Sample, Utilisation
from ferryman.api.node_profile import Processor

__all__ = ["CLASS", "CpuProcessors", "cpu_model"]

CLASS: Final = "cpu"
#: What a profile may hold (``CpuTopology.quota_millicores``): more is no limit.
_MOST_MILLICORES: Final = 10_000_000
#: What it may hold of memory.
_MOST_BYTES: Final = 2**50


class CpuProcessors:
    """The node's CPU; use is its cgroup's, divided by what the Node can allocate."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._cgroup: NodeCgroup | None = None
        self._counted: Path | None = None
        self._last: tuple[float, int] | None = None
        self._topology: topology.Topology | None = None
        self._quota_millicores: int | None = None

    def discover(self) -> Discovery:
        """Return the one processor of class ``cpu``, and what is known of the machine's CPU."""
        model = read_cpu_model(self._host.proc, self._host.sys)
        processor = Processor(
            processor_class=CLASS,
            product=model,
            memory_bytes=min(max(0, self._host.memory_bytes), _MOST_BYTES),
        )
        seen = self._topology
        if seen is None or not seen.complete:  # what could not be seen may be there by now
            seen = topology.read(self._host.proc, self._host.sys, self._host.labels)
            self._topology = seen
        quota_notes = self._look_again()
        return Discovery(
            (processor,),
            notes=seen.notes + quota_notes,
            cpu=seen.cpu.with_(quota_millicores=self._quota_millicores),
            cpu_model=model,
        )

    def sample(self, now_s: float) -> Sample:
        """Return CPU and memory use since the last call; what is unknown has a note that says why.

        After a failure the node's cgroup is looked for anew: it may have moved.
        """
        try:
            cgroup = self._find()
        except CgroupUnknownError as error:
            note = f"utilisation of CPU and memory is unknown: {error}"
            return {CLASS: Utilisation(notes=(note,))}
        cpu, cpu_notes = self._cpu(cgroup, now_s)
        memory, memory_notes = self._memory(cgroup)
        return {CLASS: Utilisation(cpu, memory, notes=cpu_notes + memory_notes)}

    def _cpu(self, cgroup: NodeCgroup, now_s: float) -> tuple[float | None, tuple[str, ...]]:
        try:
            return self._cpu_share(cgroup.cpu_usage_ns(), now_s), ()
        except CgroupUnknownError as error:
            self._cgroup = None
            return None, _why(error)

    def _memory(self, cgroup: NodeCgroup) -> tuple[float | None, tuple[str, ...]]:
        try:
            return min(1.0, cgroup.working_set_bytes() / max(1, self._host.memory_bytes)), ()
        except CgroupUnknownError as error:
            self._cgroup = None
            return None, (f"memory utilisation of the CPU is unknown: {error}",)

    def _find(self) -> NodeCgroup:
        """Return the node's cgroup. Raises CgroupUnknownError."""
        return self._cgroup or self._use(find(self._host.cgroup_root, self._host.pod_uid))

    def _use(self, found: NodeCgroup) -> NodeCgroup:
        """Take a cgroup for the node's; what another one counted is no beginning."""
        if found.cpu != self._counted:
            self._last = None
        self._cgroup, self._counted = found, found.cpu
        return found

    def _look_again(self) -> tuple[str, ...]:
        """Look where the node's cgroup is now, and at its CPU limit; note one that is too low.

        The old cgroup of a node that was started anew can be there still, and count no more.
        """
        try:
            found = find(self._host.cgroup_root, self._host.pod_uid)
            quota = found.quota_millicores()
        except CgroupUnknownError:
            self._quota_millicores = None
            return ()  # a note of each sample
        self._use(found)
        known = quota is not None and quota <= _MOST_MILLICORES
        self._quota_millicores = quota if known else None
        if quota is None or quota >= self._host.cpu_millicores:
            return ()
        note = (
            f"the node's cgroup allows {quota} millicores, but the Node offers "
            f"{self._host.cpu_millicores} to pods: let the kubelet reserve the rest (kubeReserved)"
        )
        return (note,)

    def _cpu_share(self, usage_ns: int, now_s: float) -> float:
        """Return the share in use since the last call. Raises CgroupUnknownError.

        It is used over allocatable CPU, or over the cgroup's limit where that is less: a node at
        its limit is busy whatever it was said to have.
        """
        last, self._last = self._last, (now_s, usage_ns)
        if last is None:
            raise CgroupUnknownError("it takes two looks, and this was the first")
        if now_s <= last[0] or usage_ns < last[1]:
            raise CgroupUnknownError("its counter fell back, so it is counted from here")
        if usage_ns == last[1]:  # the agent itself runs there
            raise CgroupUnknownError("its counter stands still, so another cgroup is looked for")
        cores = (usage_ns - last[1]) / 1e9 / (now_s - last[0])
        usable = min(self._host.cpu_millicores, self._quota_millicores or self._host.cpu_millicores)
        return min(1.0, cores / (max(1, usable) / 1_000))


def _why(error: CgroupUnknownError) -> tuple[str, ...]:
    return (f"CPU utilisation is unknown: {error}",)
