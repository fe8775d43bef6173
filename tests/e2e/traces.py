"""What a cluster could leave on a machine."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from hack.cluster import daemon, host, leftovers
from hack.cluster.shell import run

#: Programs of an engine, a node or their tools; other processes of the machine may come and go.
OURS = (
    "docker",
    "containerd",
    "runc",
    "systemd",
    "kube",
    "etcd",
    "coredns",
    "pause",
    "kind",
    "ctr",
)


@dataclass(frozen=True)
class Traces:
    """What a cluster could leave on a machine."""

    processes: set[str]
    mounts: set[str]
    links: set[str]
    cgroups: set[str]
    firewall: set[str]
    sysctls: set[str]
    files: set[str]

    @classmethod
    def now(cls) -> Traces:
        """Look at the machine."""
        mounts = Path("/proc/self/mountinfo").read_text().splitlines()
        policies = (Path("/usr/sbin/policy-rc.d"), daemon.RUN, Path.home() / ".kube/config")
        return cls(
            {f"{pid} {name}" for pid, name in leftovers.processes() if name.startswith(OURS)},
            {line.split()[4] for line in mounts},
            {link["ifname"] for link in json.loads(run("ip", "-json", "link"))},
            {str(path) for path in leftovers.CGROUP_ROOT.rglob("*") if path.is_dir()},
            {rule for tool in host.FIREWALLS for rule in host.firewall(tool) if _adds(rule)},
            {f"{name}={value.split()}" for name, value in host.sysctls().items()},
            {f"{path} {path.stat().st_mtime}" for path in policies if path.is_file()}
            | {str(path) for path in policies if path.is_dir()},
        )


def _adds(rule: str) -> bool:
    """Leave out empty chains that accept: an untouched table gets them when looked at."""
    return " :" not in rule or not rule.endswith(" ACCEPT")
