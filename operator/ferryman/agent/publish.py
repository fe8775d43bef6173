"""The agent's loop: sample every few seconds, write as ``pacing`` says."""

import logging
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Final

from ferryman.agent import profile
from ferryman.agent.blindness import Blindness
from ferryman.agent.cpu_model import UNKNOWN_MODEL, read_cpu_model
from ferryman.agent.pacing import REFILL_SHARE, Allowance, Written, is_due
from ferryman.agent.processors import Discovery, Host, Inventory, Sample, Utilisation
from ferryman.agent.smoothing import quantise, smooth
from ferryman.api.node_profile import NodeProfileStatus
from ferryman.clients.cluster import Cluster, ClusterError, Node, ProfileMissingError

LOG: Final = logging.getLogger("ferryman.agent")
BACKOFF_S: Final = (1.0, 2.0, 4.0, 8.0, 15.0)
JITTER: Final = 0.1


@dataclass(frozen=True, slots=True)
class Settings:
    """How the agent runs; durations in seconds."""

    node_name: str
    cgroup_root: Path = Path("/sys/fs/cgroup")
    pod_uid: str = ""
    sample_interval_s: float = 5.0
    heartbeat_s: float = 60.0
    """The operator takes a profile for stale when it is older than ``core.filters.STALE_AFTER``."""
    time_constant_s: float = 30.0
    ignored_xids: frozenset[int] = frozenset()
    """XID errors of NVIDIA GPUs that take nothing out of use and are not noted."""


def retry_delay_s(failures: int) -> float:
    """Return how long to wait after that many failures in a row; at most 15 s."""
    return BACKOFF_S[min(failures, len(BACKOFF_S)) - 1]


@dataclass(slots=True)
class Smoothed:
    """Running means per class, and the quantised values last shown."""

    time_constant_s: float
    at_s: float = 0.0
    means: dict[str, Utilisation] = field(default_factory=dict)
    shown: dict[str, Utilisation] = field(default_factory=dict)

    def update(self, sample: Sample, now_s: float) -> dict[str, Utilisation]:
        """Take a sample in and return what to show for each class."""
        elapsed_s, self.at_s = now_s - self.at_s, now_s
        means, shown = {}, {}
        for kind, seen in sample.items():
            old, was = self.means.get(kind, Utilisation()), self.shown.get(kind, Utilisation())
            step = {"elapsed_s": elapsed_s, "time_constant_s": self.time_constant_s}
            mean = Utilisation(
                smooth(old.processor, seen.processor, **step),
                smooth(old.memory, seen.memory, **step),
            )
            means[kind] = mean
            shown[kind] = Utilisation(
                quantise(mean.processor, was.processor),
                quantise(mean.memory, was.memory),
                seen.unavailable,
                seen.unavailable_count,
            )
        self.means, self.shown = means, shown
        return shown


class Agent:
    """Keeps one node's profile true, one ``tick`` every few seconds.

    A tick never raises for what the cluster, a plug-in or the node's kernel does: it samples, tells
    the API server what is due, and on failure tries again later while sampling goes on.
    """

    def __init__(
        self,
        settings: Settings,
        cluster: Cluster,
        *,
        rng: random.Random,
        inventory: Callable[[Host], Inventory] = Inventory.load,
    ) -> None:
        self._settings = settings
        self._cluster = cluster
        self._rng = rng
        self._build = inventory
        self._node: Node | None = None
        self._node_read_s = 0.0
        self._inventory = Inventory({})
        self._discovery = Discovery()
        self._smoothed = Smoothed(settings.time_constant_s)
        self._sample_notes: tuple[str, ...] = ()
        self._blindness = Blindness()
        self._written: Written | None = None
        self._heartbeat_s = settings.heartbeat_s
        self._allowance = Allowance(REFILL_SHARE * settings.heartbeat_s)
        self._failures = 0
        self._retry_at_s = 0.0

    def tick(self, now_s: float, now: datetime) -> None:
        """Look at the node once and write what is due. ``now_s`` is monotonic, ``now`` the date."""
        self._sample(now_s)
        if self._failures and now_s < self._retry_at_s:
            return
        try:
            self._synchronise(now_s, now)
        except ClusterError as error:
            self._failed("the API server fails; sampling goes on", error, now_s)
        except Exception as error:  # noqa: BLE001  whatever a node says of itself, its agent goes on
            self._failed("what was seen cannot be published; sampling goes on", error, now_s)
        else:
            self._succeeded()

    def interval_s(self) -> float:
        """Return the time until the next tick, jittered so that nodes do not move in step."""
        return self._settings.sample_interval_s * self._rng.uniform(1 - JITTER, 1 + JITTER)

    def _sample(self, now_s: float) -> None:
        sample, self._sample_notes = self._inventory.sample(now_s)
        self._smoothed.update(sample, now_s)
        classes = {each.processor_class for each in self._discovery.processors}
        unknown = any(
            kind not in sample or None in {sample[kind].processor, sample[kind].memory}
            for kind in classes
        )
        self._blindness = self._blindness.seen(now_s, unknown=unknown or not self._inventory.whole)

    def _synchronise(self, now_s: float, now: datetime) -> None:
        """Refresh the Node when it is old; write the profile when that is due."""
        node = self._node
        if node is None or now_s - self._node_read_s >= self._settings.heartbeat_s / 2:
            node = self._refresh(now_s)
        current = observed(node, self._discovery, self._smoothed.shown, self._sample_notes)
        self._allowance = self._allowance.at(now_s)
        if is_due(
            self._written,
            current,
            now_s,
            heartbeat_s=self._heartbeat_s,
            allowance=self._allowance,
        ):
            self._write(node, current, now_s, now)

    def _refresh(self, now_s: float) -> Node:
        """Read the Node; build the plug-ins anew when what they may know of it changed.

        So they are when they cannot see: what they hold on to may be gone since.
        """
        node, before = self._cluster.node(self._settings.node_name), self._node
        self._node, self._node_read_s = node, now_s
        if before is None:
            self._inventory = self._build(self._host(node))
            self._sample(now_s)
        elif self._host(before) != self._host(node) or self._blindness.is_due(now_s):
            self._inventory = self._build(self._host(node))
            self._inventory.sample(now_s)  # the first sees no rate: what was shown stays till then
            self._blindness = self._blindness.looked(now_s)
        self._discovery = self._inventory.discover()
        return node

    def _host(self, node: Node) -> Host:
        return Host(
            cpu_millicores=node.cpu_millicores,
            memory_bytes=node.memory_bytes,
            labels=node.labels,
            cgroup_root=self._settings.cgroup_root,
            pod_uid=self._settings.pod_uid,
            ignored_xids=self._settings.ignored_xids,
        )

    def _write(self, node: Node, current: NodeProfileStatus, now_s: float, now: datetime) -> None:
        before = self._written
        if before is None or before.node_uid != node.uid:
            self._cluster.apply_profile(node)
        body = profile.wire(current, now)
        try:
            self._cluster.apply_status(node.name, body)
        except ProfileMissingError:  # somebody deleted it
            self._cluster.apply_profile(node)
            self._cluster.apply_status(node.name, body)
        if before is None or before.status.node_type != current.node_type:
            LOG.info("published", extra={"node": node.name, "node_type": current.node_type})
        self._written, self._allowance = Written(current, node.uid, now_s), self._allowance.spent()
        self._heartbeat_s = self._settings.heartbeat_s * self._rng.uniform(1 - JITTER, 1)

    def _failed(self, what: str, error: Exception, now_s: float) -> None:
        """Say once what fails, and wait before the next attempt."""
        self._failures += 1
        delay_s = retry_delay_s(self._failures) * self._rng.uniform(1 - JITTER, 1 + JITTER)
        self._retry_at_s = now_s + delay_s
        if self._failures == 1:
            LOG.warning(what, extra={"error": str(error) or type(error).__name__})

    def _succeeded(self) -> None:
        if self._failures:
            LOG.info("the API server answers again", extra={"failures": self._failures})
        self._failures = 0


def observed(
    node: Node, discovery: Discovery, shown: Sample, notes: tuple[str, ...] = ()
) -> NodeProfileStatus:
    """Return the status of a node from what was discovered and sampled."""
    hardware = profile.fingerprint(
        architecture=node.architecture,
        cpu_model=_cpu_model(node, discovery),
        cpu_millicores=node.cpu_millicores,
        memory_bytes=node.memory_bytes,
        devices=discovery.devices,
        cpu=discovery.cpu,
    )
    processors = profile.processors_of(discovery, shown)
    said = discovery.notes + notes
    return profile.status(hardware, processors, said + profile.unexplained(processors, said))


def _cpu_model(node: Node, discovery: Discovery) -> str:
    """Return the CPU's model; a CPU that nothing names is no twin of another such one."""
    model = discovery.cpu_model or read_cpu_model()
    return f"{UNKNOWN_MODEL} CPU of node {node.name}" if model == UNKNOWN_MODEL else model
