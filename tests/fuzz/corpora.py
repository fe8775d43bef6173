"""The committed inputs: a file for each target with an input on each line, escaped as in Python."""

from __future__ import annotations

import shutil
from hashlib import sha256
from pathlib import Path

from tests.fuzz.targets import TARGETS

FOLDER = Path(__file__).parent
#: Of a target, however many reach something of their own: the repository stays small.
MOST_INPUTS = 200
MOST_BYTES = 96 * 1024


def committed(name: str) -> tuple[bytes, ...]:
    """Return the inputs that long runs kept, since each reaches what no other one does."""
    path = FOLDER / "corpus" / f"{name}.txt"
    lines = path.read_text(encoding="ascii").splitlines() if path.exists() else []
    return tuple(line.encode().decode("unicode_escape").encode("latin-1") for line in lines)


def regressions(name: str) -> dict[str, bytes]:
    """Return the inputs that once found a fault, by what they showed."""
    folder = FOLDER / "regressions" / name
    return {path.name: path.read_bytes() for path in sorted(folder.glob("*"))}


def everything(name: str) -> tuple[bytes, ...]:
    """Return all inputs that there are of a target."""
    return (*TARGETS[name].seeds(), *committed(name), *regressions(name).values())


def unpack(name: str, folder: Path) -> None:
    """Lay out the inputs as the engine wants them, beside those of earlier runs."""
    folder.mkdir(parents=True, exist_ok=True)
    for data in everything(name):
        (folder / sha256(data).hexdigest()[:20]).write_bytes(data)


def pack(name: str, folder: Path) -> int:
    """Commit the smallest inputs of a folder, which goes; return how many there are."""
    inputs = sorted((path.read_bytes() for path in folder.iterdir()), key=lambda d: (len(d), d))
    kept, size = [], 0
    for data in inputs[:MOST_INPUTS]:
        line = data.decode("latin-1").encode("unicode_escape").decode()
        size += len(line) + 1
        if size <= MOST_BYTES:
            kept.append(line)
    target = FOLDER / "corpus" / f"{name}.txt"
    target.parent.mkdir(exist_ok=True)
    target.write_text("".join(f"{line}\n" for line in kept), encoding="ascii")
    shutil.rmtree(folder)
    return len(kept)
