"""A runnable tritonserver on this machine, laid out exactly as in the light CPU image."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

from hack.images import cache
from hack.images.wheels import REPOSITORY, wheelhouse

IMAGE = REPOSITORY / "images" / "triton-cpu"
LOCK = REPOSITORY / "requirements" / "triton-cpu.lock"
ASSEMBLE_TIMEOUT_S = 600
LIBPYTHON = "libpython3.11.so.1.0"  # the stub links against it by this name


@dataclass(frozen=True)
class TritonTree:
    """Where the server lies, and the folder with the libpython that its stub embeds."""

    home: Path
    entrypoint: Path
    adapter: Path
    python_libraries: Path


def prepare() -> TritonTree:
    """Assemble the tree once per lock file (cached), and return it.

    The adapter in it may be older than the repository's: whoever serves takes `adapter`.
    """
    python, libraries = _python_with_library()
    key = cache.digest([LOCK, IMAGE / "assemble.py"], str(python))

    def fill(folder: Path) -> None:
        _assemble(python, folder / "tree")  # which must not exist yet, as `folder` does

    home = cache.entry("tritonserver", key, fill) / "tree"
    return TritonTree(home, IMAGE / "tritonserver", IMAGE / "onnxruntime", libraries)


def _assemble(python: Path, destination: Path) -> None:
    wheels = wheelhouse(LOCK)
    print(f"tritonserver: assembling from {wheels.name}", flush=True)
    subprocess.run(
        [python, IMAGE / "assemble.py", "--wheels", wheels, "--lock", LOCK, destination],
        check=True,
        timeout=ASSEMBLE_TIMEOUT_S,
    )


def _python_with_library() -> tuple[Path, Path]:
    """Find a Python 3.11 that has its shared library, which the stub embeds."""
    ours = Path(sys.base_prefix) / "bin" / "python3.11"
    libraries = Path(sysconfig.get_config_var("LIBDIR"))
    if (libraries / LIBPYTHON).exists() and ours.exists():
        return ours, libraries
    for folder in (Path("/usr/lib/x86_64-linux-gnu"), Path("/usr/lib64"), Path("/usr/local/lib")):
        python = Path("/usr/local/bin" if "local" in str(folder) else "/usr/bin") / "python3.11"
        if (folder / LIBPYTHON).exists() and python.exists():
            return python, folder
    raise RuntimeError(f"{LIBPYTHON} not found: install libpython3.11 and python3.11")
