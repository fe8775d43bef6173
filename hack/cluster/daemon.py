"""A dockerd of our own: installed, started beside any other, and taken away again.

It has its own socket, pid file, bridge, addresses and cgroup. Only its image store is kept
between runs (in the cache); `remove()` takes away everything else, also what a killed run left.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from hack.cluster import host, leftovers, oci_runtime
from hack.cluster.shell import ClusterError, Progress, run, succeeds, to_stderr, wait_until
from hack.images.cache import cache_root, locked

RUN = Path("/run/ferryman")
ADDRESS = f"unix://{RUN}/docker.sock"
BRIDGE = "ferryman0"
BRIDGE_ADDRESS = "10.211.0.1/24"
#: Networks of containers are cut out of the upper half of `leftovers.POOL`.
NETWORKS = "base=10.211.128.0/17,size=24"
POLICY = Path("/usr/sbin/policy-rc.d")
START_TIMEOUT_S = 60
DEATH_SHOWS_AFTER_S = 3


def lock() -> Path:
    """Where processes queue to start or remove the engine."""
    return cache_root() / ".engine.lock"


def data_root() -> Path:
    """Where the engine keeps images: in the cache, so that they outlive it."""
    return cache_root() / "engine"


def answers(address: str) -> bool:
    """Tell whether an engine answers at this address."""
    env = {**os.environ, "DOCKER_HOST": address}
    return succeeds("docker", "version", "--format={{.Server.Version}}", timeout_s=5, env=env)


def install(progress: Progress = to_stderr) -> None:
    """Install Debian's engine and what it needs, where missing."""
    needed = {
        "dockerd": "docker.io",
        "docker": "docker.io",
        "iptables": "iptables",
        "ip": "iproute2",
    }
    install_packages({p: n for p, n in needed.items() if not shutil.which(p)}, progress)


def install_packages(packages: dict[str, str], progress: Progress = to_stderr) -> None:
    """Install the Debian packages of these programs without starting any service."""
    if not packages:
        return
    names = sorted(set(packages.values()))
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        raise ClusterError(
            f"{', '.join(packages)} missing: install them (Debian: {', '.join(names)})."
        )
    progress(f"installing {', '.join(names)}")
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    command = ("apt-get", "install", "--yes", "--no-install-recommends", *names)
    with _no_services():
        run("apt-get", "update", env=env, timeout_s=120)
        run(*command, env=env, timeout_s=300)
        if "docker.io" in names:  # nor at the next boot: the engine that runs is ours
            succeeds("systemctl", "disable", "docker.socket", "docker", "containerd", timeout_s=30)


@contextmanager
def _no_services() -> Iterator[None]:
    """Let invoke-rc.d refuse to start services for a while (Debian's own mechanism)."""
    if POLICY.exists():  # a container's image has one already: not ours to change
        yield
        return
    POLICY.write_text("#!/bin/sh\nexit 101\n")
    POLICY.chmod(0o755)
    try:
        yield
    finally:
        POLICY.unlink()


def start(progress: Progress = to_stderr) -> None:
    """Start our dockerd and wait until it answers; what a killed one left is removed first.

    One that runs is given time to answer: where others take both cores, it may be late.
    """
    if _engine_pids("dockerd") and _answers_at_last():
        return
    if RUN.exists():
        progress("removing what an earlier engine left")
        _clean()
    RUN.mkdir(parents=True, exist_ok=True)
    host.Before.record(RUN / "before.json")
    run("ip", "link", "add", BRIDGE, "type", "bridge")
    run("ip", "address", "add", BRIDGE_ADDRESS, "dev", BRIDGE)
    run("ip", "link", "set", BRIDGE, "up")
    progress("starting our own dockerd")
    # By way of setsid it is nobody's child: it outlives this program, and leaves no zombie in it.
    with (RUN / "docker.log").open("wb") as log:
        subprocess.run(
            ["setsid", "--fork", *_command()],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, check=True, timeout=10,
        )  # fmt: skip
    started_s = time.monotonic()
    wait_until(lambda: _ready(started_s), timeout_s=START_TIMEOUT_S, what="Our dockerd's answer")


def _answers_at_last() -> bool:
    try:
        wait_until(lambda: answers(ADDRESS), timeout_s=START_TIMEOUT_S, what="Our dockerd's answer")
    except ClusterError:
        return False
    return True


def _ready(started_s: float) -> bool:
    if answers(ADDRESS):
        return True
    if time.monotonic() - started_s > DEATH_SHOWS_AFTER_S and not _engine_pids():
        words = (RUN / "docker.log").read_text()[-400:].strip()
        raise ClusterError(f"dockerd ended at once; its last words: {words}")
    return False


def _command() -> list[str]:
    options = {
        "host": ADDRESS,
        "data-root": data_root(),
        "exec-root": RUN / "exec",
        "pidfile": RUN / "docker.pid",
        "bridge": BRIDGE,
        "default-address-pool": NETWORKS,
        "cgroup-parent": f"/{leftovers.CGROUP}",
        "exec-opt": "native.cgroupdriver=cgroupfs",
        "storage-driver": "overlay2",
        "oom-score-adjust": 0,
    }
    if oci_runtime.missing_capabilities(Path("/proc/self/status").read_text()):
        options |= {"add-runtime": f"stripped={_install_runtime()}", "default-runtime": "stripped"}
    # A configuration file of Debian's engine is not ours: an empty one takes its place.
    config = RUN / "daemon.json"
    config.write_text("{}")
    return ["dockerd", f"--config-file={config}", *(f"--{k}={v}" for k, v in options.items())]


def _install_runtime() -> Path:
    """Put the runtime that strips capabilities where dockerd can call it as one program."""
    program = RUN / "oci-runtime"
    source = Path(oci_runtime.__file__)
    shutil.copy(source, RUN / source.name)
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -IS {RUN / source.name} "$@"\n')
    program.chmod(0o755)
    return program


def remove(progress: Progress = to_stderr) -> None:
    """Stop our engine, if it runs, and take away everything it made but its image store."""
    if os.geteuid() != 0 or not RUN.exists():
        return
    with locked(lock()):
        progress("removing our engine")
        if answers(ADDRESS):
            _remove_containers()
        _clean()
        shutil.rmtree(RUN)


def _remove_containers() -> None:
    env = {**os.environ, "DOCKER_HOST": ADDRESS}
    with suppress(ClusterError):
        if containers := run("docker", "ps", "--all", "--quiet", env=env).split():
            run("docker", "rm", "--force", "--volumes", *containers, env=env, timeout_s=120)
        run("docker", "network", "prune", "--force", env=env)
        run("docker", "volume", "prune", "--force", env=env)


def _clean() -> None:
    """Remove processes, mounts, links, cgroups and rules of our engine, alive or dead."""
    leftovers.kill(_engine_pids())
    leftovers.kill(leftovers.container_pids())
    leftovers.unmount_below(RUN, data_root())
    leftovers.remove_bridges()
    leftovers.remove_cgroups()
    before = RUN / "before.json"
    if before.exists():
        host.Before.record(before).restore()
        before.unlink()
    for name in ("docker.pid", "docker.sock"):
        (RUN / name).unlink(missing_ok=True)
    shutil.rmtree(RUN / "exec", ignore_errors=True)


def _engine_pids(*names: str) -> set[int]:
    """Find our dockerd, its containerd and shims by our folder on their command lines."""
    names = names or ("dockerd", "docker-proxy", "containerd")
    return {
        pid
        for pid, name in leftovers.processes()
        if name.startswith(names) and f"{RUN}/" in leftovers.command_line(pid)
    }
