#!/usr/bin/env python3
"""Run Ferryman's command line from an environment that is made of hashed locks at the first call.

What Ferryman needs is compiled for one platform and one Python, and krew's archives know of no
Python: so the archive holds Ferryman's wheel and its lock, and pip fetches the rest here.
"""

import fcntl
import hashlib
import os
import subprocess
import sys
import venv
from pathlib import Path

HERE = Path(__file__).resolve().parent
NAME = Path(sys.argv[0]).name
NEEDED = (3, 11)


def environment() -> Path:
    """Return where the environment is: another lock, wheel or Python has another one."""
    contents = b"".join(path.read_bytes() for path in (wheel(), HERE / "requirements.lock"))
    digest = hashlib.sha256(contents + sys.version.encode()).hexdigest()[:16]
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "kubectl-ferryman" / digest


def wheel() -> Path:
    """Return Ferryman's own wheel."""
    return next(HERE.glob("ferryman-*.whl"))


def prepare(folder: Path) -> None:
    """Make the environment, unless it is there: once, whoever else calls meanwhile."""
    ready = folder / "ready"
    if ready.exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    with (folder.parent / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if ready.exists():
            return
        print(f"{NAME}: fetching what Ferryman needs into {folder} (once)", file=sys.stderr)
        venv.create(folder, clear=True, with_pip=True)
        install(folder, "--require-hashes", "--requirement", str(HERE / "requirements.lock"))
        install(folder, "--no-deps", "--no-index", str(wheel()))
        ready.touch()


def install(folder: Path, *what: str) -> None:
    """Have pip install something; wheels alone, so that nothing of others' runs here."""
    options = ("--quiet", "--disable-pip-version-check", "--no-input", "--only-binary=:all:")
    pip = (str(folder / "bin" / "python"), "-m", "pip", "install", *options)
    subprocess.run((*pip, *what), check=True, stdout=sys.stderr)


def main() -> None:
    """Run the command of this file's name, or end with what keeps it from that."""
    if sys.version_info < NEEDED:
        wanted = ".".join(map(str, NEEDED))
        sys.exit(f"{NAME}: Python {wanted} or later is needed as python3, not {sys.version}")
    folder = environment()
    try:
        prepare(folder)
    except (OSError, subprocess.CalledProcessError) as error:
        sys.exit(
            f"{NAME}: {folder} could not be made: {error}\n"
            "It takes Python's venv (python3-venv), and a package index that pip reaches."
        )
    command = folder / "bin" / NAME
    os.execv(command, [str(command), *sys.argv[1:]])  # noqa: S606  the environment's own


if __name__ == "__main__":
    main()
