"""Lay out a runnable Triton Inference Server from a folder of downloaded wheels.

Used in two places, so that tests run what the image ships: by this folder's Dockerfile, and
by the loopback server of the integration tests. Standard library only, no network: the
wheels' hashes are checked against the lock file once more by pip.

    DESTINATION/bin/tritonserver            the server
    DESTINATION/lib/                        its libraries
    DESTINATION/backends/python/            the Python backend with the stub for this Python
    DESTINATION/backends/onnxruntime/       the ONNX Runtime adapter beside this script
    DESTINATION/python/                     virtual environment of the stub: numpy, onnxruntime
"""

from __future__ import annotations

import argparse
import compileall
import shutil
import subprocess
import sys
import venv
from pathlib import Path

INSTALL_TIMEOUT_S = 300

#: Parts of the installed packages that no model needs: tests, headers, training tools.
UNUSED = (
    "numpy/**/tests",
    "numpy/core/include",
    "numpy/f2py",
    "onnxruntime/datasets",
    "onnxruntime/quantization",
    "onnxruntime/tools",
    "onnxruntime/transformers",
    "google/protobuf/*_test*",
)


def main() -> None:
    """Assemble the tree named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--wheels", type=Path, required=True, help="folder of downloaded wheels")
    parser.add_argument("--lock", type=Path, required=True, help="requirements with hashes")
    parser.add_argument("destination", type=Path)
    options = parser.parse_args()
    assemble(options.wheels, options.lock, options.destination)


def assemble(wheels: Path, lock: Path, destination: Path) -> None:
    """Build the whole tree in `destination`, which must not exist yet."""
    site_packages = install(wheels, lock, destination / "python")
    place_server(site_packages, destination)
    adapter = Path(__file__).parent / "onnxruntime"
    shutil.copytree(
        adapter, destination / "backends" / "onnxruntime", ignore=shutil.ignore_patterns("__*")
    )
    remove_unused(site_packages)
    compileall.compile_dir(site_packages, quiet=1)
    compileall.compile_dir(destination / "backends", quiet=1)


def install(wheels: Path, lock: Path, environment: Path) -> Path:
    """Make a virtual environment with the locked wheels; return its site-packages."""
    venv.create(environment, symlinks=True, with_pip=False)
    pip = next(wheels.glob("pip-*.whl")) / "pip"  # a wheel is a zip file that Python can run
    options = ["--no-index", "--no-deps", "--require-hashes", "--no-compile", "--quiet"]
    subprocess.run(  # noqa: S603  our own interpreter and paths
        [
            *(sys.executable, pip, "--python", environment / "bin" / "python3", "install"),
            *(*options, "--disable-pip-version-check", "--find-links", wheels, "-r", lock),
        ],
        check=True,
        timeout=INSTALL_TIMEOUT_S,
    )
    return next(environment.glob("lib/python3*/site-packages"))


def place_server(site_packages: Path, destination: Path) -> None:
    """Take the server out of the nvidia-pytriton package and drop the rest of it."""
    server = site_packages / "pytriton" / "tritonserver"
    python = destination / "backends" / "python"
    shutil.move(server / "bin", destination / "bin")
    shutil.move(server / "backends", destination / "backends")
    shutil.move(site_packages / "nvidia_pytriton.libs", destination / "lib")
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    shutil.move(server / "python_backend_stubs" / version / "triton_python_backend_stub", python)
    for program in (destination / "bin" / "tritonserver", python / "triton_python_backend_stub"):
        program.chmod(0o755)
    for rest in (*site_packages.glob("pytriton*"), *site_packages.glob("nvidia_pytriton*")):
        shutil.rmtree(rest)


def remove_unused(site_packages: Path) -> None:
    """Delete what only developers need, and the library of the stub for another Python."""
    for pattern in UNUSED:
        for path in list(site_packages.glob(pattern)):
            shutil.rmtree(path, ignore_errors=True)
    for library in (site_packages.parents[3] / "lib").glob("libpython3-*"):
        library.unlink()


if __name__ == "__main__":
    main()
