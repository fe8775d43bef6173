"""The cache outside the repository, shared by all clones on one machine.

An entry is filled in a scratch folder beside it and renamed when complete, under a lock:
an interrupted or concurrent run never leaves or sees half of one.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

LOCK_TIMEOUT_S = 2100  # longer than the longest build that another process may be at
LOCK_POLL_S = 0.2


def cache_root() -> Path:
    """Return the cache folder: FERRYMAN_CACHE, else under XDG_CACHE_HOME or ~/.cache."""
    if own := os.environ.get("FERRYMAN_CACHE"):
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ferryman"


def entry(kind: str, key: str, fill: Callable[[Path], None]) -> Path:
    """Return the cached folder `kind`/`key`, letting `fill` write it the first time."""
    place = cache_root() / kind / key
    if place.is_dir():
        return place
    place.parent.mkdir(parents=True, exist_ok=True)
    with locked(place.with_name(f".{key}.lock")):
        if not place.is_dir():
            _fill_atomically(place, fill)
    return place


def _fill_atomically(place: Path, fill: Callable[[Path], None]) -> None:
    scratch = Path(tempfile.mkdtemp(prefix=f".{place.name}.", dir=place.parent))
    try:
        fill(scratch)
        scratch.chmod(0o755)
        scratch.rename(place)
    except BaseException:
        shutil.rmtree(scratch, ignore_errors=True)
        raise


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock on `path` between processes; give up after LOCK_TIMEOUT_S."""
    path.parent.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + LOCK_TIMEOUT_S
    with path.open("w") as handle:
        while not _try_lock(handle.fileno()):
            if time.monotonic() > deadline:
                raise TimeoutError(f"another process has held {path} for {LOCK_TIMEOUT_S} s")
            time.sleep(LOCK_POLL_S)
        yield


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def digest(paths: Iterable[Path], *extra: str) -> str:
    """Digest the names, run bits and contents of files and folders, and some words."""
    state = hashlib.sha256()
    for word in extra:
        state.update(f"word {word}\0".encode())
    for path in paths:
        for file in sorted(_files(path)):
            name = file.relative_to(path) if path.is_dir() else file.name
            run = file.stat().st_mode & 0o100
            state.update(f"file {path.name} {name} {run}\0".encode())
            state.update(hashlib.sha256(file.read_bytes()).digest())
    return state.hexdigest()[:16]


def _files(path: Path) -> Iterator[Path]:
    """Yield what counts as a source: no byte code, hidden files or packaging leftovers."""
    if path.is_file():
        yield path
        return
    for file in path.rglob("*"):
        parts = file.relative_to(path).parts
        skipped = any(p == "__pycache__" or p.startswith(".") or ".egg-info" in p for p in parts)
        if file.is_file() and not skipped:
            yield file
