"""Debian root file systems by debootstrap, cached as archives."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from hack.cluster import daemon, leftovers
from hack.cluster.shell import Progress, run, to_stderr
from hack.images.cache import cache_root, digest, entry

SUITE = "bookworm"
BASE_PACKAGES = ("ca-certificates", "libpython3.11", "python3.11", "python3-minimal")
DEBOOTSTRAP_TIMEOUT_S = 600
TAR_TIMEOUT_S = 180
#: Nothing of these is of use in a container; sysctl.d would change the host's settings.
NEEDLESS = ("var/cache/apt", "var/lib/apt/lists", "usr/share/doc", "usr/share/man",
            "usr/share/locale", "usr/lib/sysctl.d")  # fmt: skip


def base_archive(progress: Progress = to_stderr) -> Path:
    """Return the root file system of the base for Dockerfiles where no registry is reachable."""
    return archive("base", BASE_PACKAGES, progress)


def archive(name: str, packages: Sequence[str], progress: Progress = to_stderr) -> Path:
    """Return the archive of a minimal Debian with these packages."""

    def fill(folder: Path) -> None:
        progress(f"making the Debian root file system `{name}` (once: it is cached)")
        root = folder / "root"
        _debootstrap(root, packages)
        pack(root, folder / "rootfs.tar")
        shutil.rmtree(root)

    return (
        entry("rootfs", f"{name}-{SUITE}-{digest([], *packages, *NEEDLESS)}", fill) / "rootfs.tar"
    )


def pack(root: Path, tar: Path) -> None:
    """Archive a root file system."""
    run("tar", "--numeric-owner", "-C", root, "-cf", tar, ".", timeout_s=TAR_TIMEOUT_S)


def unpack(tar: Path, root: Path) -> None:
    """Lay a root file system out again, with owners and devices."""
    root.mkdir()
    run("tar", "--numeric-owner", "-C", root, "-xpf", tar, timeout_s=TAR_TIMEOUT_S)


def _debootstrap(root: Path, packages: Sequence[str]) -> None:
    daemon.install_packages({} if shutil.which("debootstrap") else {"debootstrap": "debootstrap"})
    downloads = cache_root() / "debs"  # a second run, or one after an interruption, reuses these
    downloads.mkdir(parents=True, exist_ok=True)
    try:
        run(
            "debootstrap", "--variant=minbase", f"--cache-dir={downloads}",
            f"--include={','.join(packages)}", SUITE, root,
            timeout_s=DEBOOTSTRAP_TIMEOUT_S,
        )  # fmt: skip
    finally:  # interrupted, it leaves /proc and /sys mounted
        leftovers.unmount_below(root)
    for needless in NEEDLESS:
        shutil.rmtree(root / needless, ignore_errors=True)
