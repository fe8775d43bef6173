"""What our engine changes in the host, recorded before and put back after.

dockerd, kubelet and kube-proxy set sysctls and firewall rules of the host.
"""

from __future__ import annotations

import json
import shlex
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from hack.cluster.leftovers import POOL, processes
from hack.cluster.shell import ClusterError, run

#: Host-wide settings: dockerd touches forwarding, kubelet, systemd and kube-proxy the rest.
SYSCTLS = (
    "net/ipv4/ip_forward", "net/ipv4/conf/all/forwarding", "net/ipv4/conf/default/forwarding",
    "net/ipv6/conf/all/forwarding", "net/ipv6/conf/default/forwarding",
    "net/bridge/bridge-nf-call-iptables", "net/bridge/bridge-nf-call-ip6tables",
    "vm/overcommit_memory", "vm/panic_on_oom", "kernel/panic", "kernel/panic_on_oops",
    "kernel/keys/root_maxkeys", "kernel/keys/root_maxbytes", "kernel/core_pattern",
    "kernel/printk", "fs/file-max", "fs/nr_open", "fs/inotify/max_user_instances",
    "fs/inotify/max_user_watches", "net/netfilter/nf_conntrack_max",
)  # fmt: skip
FIREWALLS = ("iptables", "ip6tables")


@dataclass(frozen=True)
class Before:
    """The sysctls and firewall rules from before our engine started."""

    sysctls: dict[str, str]
    rules: dict[str, list[str]]

    @classmethod
    def record(cls, path: Path) -> Before:
        """Record the machine's state unless an earlier, uncleaned run already did."""
        if not path.exists():
            now = cls(sysctls(), {tool: firewall(tool) for tool in FIREWALLS})
            scratch = path.with_suffix(".part")
            scratch.write_text(json.dumps(asdict(now)))
            scratch.rename(path)
        return cls(**json.loads(path.read_text()))

    def restore(self) -> None:
        """Put the sysctls back and take our firewall rules out, leaving everything else."""
        for name, value in self.sysctls.items():
            path = Path("/proc/sys", name)
            with suppress(OSError):
                if path.read_text() != value:
                    path.write_text(value)
        for tool, rules in self.rules.items():
            remove_rules(tool, keep=rules)


def sysctls() -> dict[str, str]:
    """Read the settings of `SYSCTLS` that this kernel has."""
    found = {}
    for name in SYSCTLS:
        with suppress(OSError):
            found[name] = Path("/proc/sys", name).read_text()
    return found


def firewall(tool: str) -> list[str]:
    """Return chains, policies and rules as `TABLE -A CHAIN …` or `TABLE :CHAIN POLICY`."""
    try:
        text = run(f"{tool}-save")
    except ClusterError:
        return []  # no such tool, or no such protocol
    table, found = "", []
    for line in text.splitlines():
        if line.startswith("*"):
            table = line[1:]
        elif line.startswith("-A"):
            found.append(f"{table} {line}")
        elif line.startswith(":"):
            found.append(f"{table} {line.partition(' [')[0]}")
    return found


def remove_rules(tool: str, keep: list[str]) -> None:
    """Delete the rules and chains that dockerd added, and restore the policies it changed.

    With another dockerd on the machine the shared DOCKER chains stay: they are its as well.
    """
    shared = other_engine_runs()
    now = [line for line in firewall(tool) if line not in keep]
    for line in now:
        table, _, rule = line.partition(" ")
        if rule.startswith("-A") and _is_ours(rule, shared=shared):
            _firewall(tool, table, "-D", *shlex.split(rule)[1:])
    for line in now:
        table, chain, policy = line.split(" ")[:3]
        if not chain.startswith(":") or shared:
            continue
        if chain.startswith(":DOCKER"):
            _firewall(tool, table, "-F", chain[1:])
            _firewall(tool, table, "-X", chain[1:])
        elif policy == "DROP":  # dockerd's doing: the recorded policy was another
            _firewall(tool, table, "-P", chain[1:], "ACCEPT")


def _firewall(tool: str, table: str, *arguments: str) -> None:
    with suppress(
        ClusterError
    ):  # a rule that went with its interface or chain is as good as deleted
        run(tool, "-t", table, *arguments)


def _is_ours(rule: str, *, shared: bool) -> bool:
    pool = str(POOL).removesuffix(".0.0/16")
    return f" {pool}." in rule or "ferryman" in rule or (not shared and _mentions_docker(rule))


def _mentions_docker(rule: str) -> bool:
    return "DOCKER" in rule or " br-" in rule


def other_engine_runs() -> bool:
    """Tell whether a dockerd runs here; ours has been stopped when this is asked."""
    return any(name == "dockerd" for _, name in processes())
