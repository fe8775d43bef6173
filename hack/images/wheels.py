"""Wheelhouses: folders of wheels downloaded by lock file, every hash checked.

Image builds install from these with `--no-index`, so that a build needs no network.
"""

from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path

from hack.images import cache

DOWNLOAD_TIMEOUT_S = 900
REPOSITORY = Path(__file__).resolve().parents[2]

#: pip itself, for base images without it.
INSTALLER_LOCK = Path(__file__).with_name("installer.lock")


def wheelhouse(lock: Path) -> Path:
    """Return the cached folder with the wheels of `lock` and of the installer."""
    _check_platform()
    key = f"{lock.stem}-{cache.digest([lock, INSTALLER_LOCK])}"

    def fill(folder: Path) -> None:
        print(f"wheels: downloading those of {lock.name}", flush=True)
        for wanted in (lock, INSTALLER_LOCK):
            _download(wanted, folder)

    return cache.entry("wheels", key, fill)


def _check_platform() -> None:
    """Refuse where pip would choose wheels that the images cannot use."""
    here = (sys.version_info[:2], sys.platform, platform.machine())
    if here != ((3, 11), "linux", "x86_64"):
        raise RuntimeError(f"images are built with Python 3.11 on Linux x86_64, not {here}")


def _download(lock: Path, folder: Path) -> None:
    subprocess.run(
        [
            *(sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"),
            *("--no-deps", "--only-binary=:all:", "--require-hashes"),
            *("--requirement", lock, "--dest", folder),
        ],
        check=True,
        timeout=DOWNLOAD_TIMEOUT_S,
    )
