"""A container engine: one that runs already, or a dockerd of our own beside any other."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from hack.cluster import daemon, rootfs
from hack.cluster.shell import ClusterError, Progress, run, succeeds, to_stderr
from hack.images.cache import cache_root, locked

DEFAULT_ADDRESS = "unix:///var/run/docker.sock"
#: Pulled to find out whether a registry can be reached: also our images' default base's parent.
PROBE_IMAGE = "debian:bookworm-slim"
PROBE_TIMEOUT_S = 20
BASE_TAG = "ferryman-base:bookworm-1"
#: The first release whose command line needs the buildx plug-in to build by BuildKit.
BUILDX_SINCE = 23


@dataclass(frozen=True)
class Engine:
    """A reachable engine; `ours` if we started it."""

    docker_host: str
    ours: bool

    def environment(self) -> dict[str, str]:
        """Return the process environment with which docker and kind reach this engine."""
        env = {**os.environ, "DOCKER_HOST": self.docker_host}
        env["DOCKER_CONFIG"] = str(cache_root() / "docker-config")  # never the user's ~/.docker
        env.pop("DOCKER_CONTEXT", None)
        if _needs_legacy_builder():
            env["DOCKER_BUILDKIT"] = "0"
        return env

    def docker(self, *arguments: str | Path, timeout_s: float = 60) -> str:
        """Run a docker command and return its output."""
        return run("docker", *arguments, env=self.environment(), timeout_s=timeout_s)

    def has_image(self, tag: str) -> bool:
        """Tell whether the engine already holds an image of this name."""
        return succeeds("docker", "image", "inspect", tag, env=self.environment())

    def build(
        self,
        context_dir: Path,
        dockerfile: Path,
        tag: str,
        build_args: dict[str, str] | None = None,
        timeout_s: float = 900,
    ) -> None:
        """Build an image; `base_args()` says what to pass where no registry is reachable."""
        options = [f"--build-arg={name}={value}" for name, value in (build_args or {}).items()]
        self.docker(
            "build", f"--file={dockerfile}", f"--tag={tag}", *options, context_dir,
            timeout_s=timeout_s,
        )  # fmt: skip

    def save(self, tag: str, archive_path: Path) -> None:
        """Write the image to an archive, whole or not at all."""
        archive_path.parent.mkdir(parents=True, exist_ok=True)
        scratch = archive_path.with_name(f".{archive_path.name}.part")
        self.docker("save", f"--output={scratch}", tag, timeout_s=300)
        scratch.rename(archive_path)

    def import_rootfs(self, tar: Path, tag: str, *changes: str) -> None:
        """Make an image of a root file system; changes are Dockerfile instructions."""
        options = [f"--change={change}" for change in changes]
        self.docker("import", *options, tar, tag, timeout_s=300)

    def registry_reachable(self) -> bool:
        """Tell whether this engine can pull from the default registry (asked once a process)."""
        return _registry_reachable(self)

    def base_image(self) -> str:
        """Return the tag of a Debian base with Python 3.11, made without any registry."""
        if not self.has_image(BASE_TAG):
            self.import_rootfs(rootfs.base_archive(), BASE_TAG, 'CMD ["bash"]')
        return BASE_TAG

    def base_args(self) -> dict[str, str]:
        """Return `{}` where Dockerfiles can pull their default BASE, else BASE=our own."""
        return {} if self.registry_reachable() else {"BASE": self.base_image()}


def ensure(progress: Progress = to_stderr) -> Engine:
    """Return a running engine, starting our own where there is none."""
    if found := running():
        return found
    if os.geteuid() != 0:
        raise ClusterError("No container engine answers: start Docker, or set DOCKER_HOST.")
    with locked(daemon.lock()):
        if not (found := running()):
            daemon.install(progress)
            daemon.start(progress)
            found = Engine(daemon.ADDRESS, ours=True)
    return found


def running() -> Engine | None:
    """Return the engine that answers: DOCKER_HOST's, the default one, or our own."""
    for address in (os.environ.get("DOCKER_HOST"), DEFAULT_ADDRESS, daemon.ADDRESS):
        if address and daemon.answers(address):
            return Engine(address, ours=address == daemon.ADDRESS)
    return None


@cache
def _registry_reachable(engine: Engine) -> bool:
    """Try a real pull: it goes by whatever proxy or mirror the engine is set up with."""
    try:
        engine.docker("pull", "--quiet", PROBE_IMAGE, timeout_s=PROBE_TIMEOUT_S)
    except ClusterError:
        return False
    return True


@cache
def _needs_legacy_builder() -> bool:
    """Tell whether this is a newer command line without the buildx plug-in it builds with."""
    version = re.search(r"\d+", run("docker", "--version"))
    newer = version is not None and int(version.group()) >= BUILDX_SINCE
    return newer and not succeeds("docker", "buildx", "version")
