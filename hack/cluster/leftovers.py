"""Processes, mounts, links and cgroups of our engine, found on the machine itself.

A killed dockerd leaves all of these. Nothing here relies on what an earlier run wrote
down: each is known by a folder, an address range or a cgroup that only our engine uses.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from ipaddress import ip_interface, ip_network
from pathlib import Path

from hack.cluster.shell import ClusterError, run

#: Every address of our engine's bridges lies in this network, which tells them from others.
POOL = ip_network("10.211.0.0/16")
#: Every container of our engine lives below this cgroup, which tells its processes from others.
CGROUP = "ferryman"
CGROUP_ROOT = Path("/sys/fs/cgroup")
KILL_GRACE_S = 5


def processes() -> Iterator[tuple[int, str]]:
    """Yield every process that is not a zombie as (pid, name)."""
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and _alive(int(folder.name)):
            with suppress(OSError):
                yield int(folder.name), (folder / "comm").read_text().strip()


def command_line(pid: int) -> str:
    """Return a process's arguments in one line, empty if it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""


def kill(pids: set[int]) -> None:
    """End these processes: asked first, forced after a few seconds."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, number)
        deadline = time.monotonic() + KILL_GRACE_S
        while any(_alive(pid) for pid in pids) and time.monotonic() < deadline:
            time.sleep(0.1)


def _alive(pid: int) -> bool:
    """Tell whether it still holds anything: a zombie does not, its parent just has to reap it."""
    with suppress(OSError, IndexError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def container_pids() -> set[int]:
    """Return the processes in containers of our engine, wherever they were re-parented to."""
    found = set()
    for folder in _cgroups():
        for procs in folder.rglob("cgroup.procs"):
            with suppress(OSError):
                found |= {int(line) for line in procs.read_text().split()}
    return found


def remove_cgroups() -> None:
    """Remove our empty cgroups, innermost first."""
    for top in _cgroups():
        for folder in sorted((p for p in top.rglob("*") if p.is_dir()), reverse=True):
            with suppress(OSError):
                folder.rmdir()
        with suppress(OSError):
            top.rmdir()


def _cgroups() -> list[Path]:
    """Our top cgroup in each hierarchy (one for version 2, one a controller for version 1)."""
    roots = [CGROUP_ROOT, *(path for path in CGROUP_ROOT.iterdir() if path.is_dir())]
    return [root / CGROUP for root in roots if (root / CGROUP).is_dir()]


def unmount_below(*folders: Path) -> None:
    """Unmount, last first, everything mounted at or below the folders."""
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    for point in reversed([Path(line.split()[4].replace("\\040", " ")) for line in lines]):
        if any(point == folder or folder in point.parents for folder in folders):
            with suppress(ClusterError):
                run("umount", "--lazy", point)


def remove_bridges() -> None:
    """Delete the bridges whose address lies in our pool."""
    try:
        links = json.loads(run("ip", "-json", "address", "show", "type", "bridge") or "[]")
    except ClusterError:
        return
    for link in links:
        addresses = [each["local"] for each in link.get("addr_info", ())]
        if any(ip_interface(address).ip in POOL for address in addresses if ":" not in address):
            with suppress(ClusterError):
                run("ip", "link", "delete", link["ifname"])
