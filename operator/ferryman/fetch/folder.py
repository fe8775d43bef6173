"""The model's folder: what is written there is counted, and lies nowhere else."""

import hashlib
import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from ferryman.core.fetching.paths import safe_path
from ferryman.core.fetching.report import Problem
from ferryman.core.fetching.task import MAX_FILES
from ferryman.fetch.problem import FetchError

#: Archives wait here until they are unpacked. Triton's layout leaves hidden names out.
DOWNLOAD: Final = ".ferryman-download"
#: What a file or folder takes of a disk is a multiple of this: so does the kubelet count.
_BLOCK_BYTES: Final = 4096
_CREATE: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def clear(root: Path) -> None:
    """Remove everything in a folder. Raises OSError."""
    for entry in root.iterdir():
        remove(entry)


def remove(path: Path) -> None:
    """Remove a file, a link, or a folder with all that is in it. Raises OSError."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


def blocks(size_bytes: int) -> int:
    """Return how many bytes a file of this size takes of a disk."""
    return -(-size_bytes // _BLOCK_BYTES) * _BLOCK_BYTES


class Folder:
    """An empty folder that fills up: with at most so many bytes and files.

    Nothing in it is a link, since nothing makes one, so that paths cannot lead out of it.
    """

    def __init__(self, root: Path, max_bytes: int, max_files: int = MAX_FILES) -> None:
        self.root = root
        self.max_bytes = max_bytes
        self.max_files = max_files
        self._bytes = 0
        self._digests: dict[str, str] = {}
        clear(root)

    @property
    def names(self) -> tuple[str, ...]:
        """The paths of what was written."""
        return tuple(self._digests)

    @property
    def taken_bytes(self) -> int:
        """What it takes of the disk."""
        return self._bytes

    @property
    def files(self) -> int:
        """How many files were written."""
        return len(self._digests)

    def expect(self, size: int, files: int = 1) -> None:
        """Refuse what is announced and would not fit; what comes is counted all the same."""
        if self._bytes + size > self.max_bytes:
            words = f"the files have {self._bytes + size} bytes, the limit is {self.max_bytes}"
            raise FetchError(Problem.TOO_LARGE, words)
        if self.files + files > self.max_files:
            raise FetchError(Problem.TOO_LARGE, f"there are more than {self.max_files} files")

    def write(self, name: str, chunks: Iterable[bytes]) -> str:
        """Write a file; return its SHA-256. Raises FetchError, and OSError of the file system."""
        try:
            path = safe_path(name)
        except ValueError as error:
            raise FetchError(Problem.UNSAFE, f"the path {error}") from None
        if not path or path in self._digests:
            raise FetchError(
                Problem.UNSAFE, f"a file is there twice, or has no name: {name[:100]!r}"
            )
        self.expect(0)
        target = self.root / path
        self._make(target.parent)
        digest = hashlib.sha256()
        with os.fdopen(os.open(target, _CREATE, 0o644), "wb") as file:
            for chunk in chunks:
                self._count(len(chunk))
                digest.update(chunk)
                file.write(chunk)
            self._count(blocks(file.tell()) - file.tell())
        self._digests[path] = digest.hexdigest()
        return digest.hexdigest()

    def aside(self, name: str, other: str) -> Path:
        """Take a file that was written out of the way, and return where it is; it still counts."""
        del self._digests[name]
        return (self.root / name).rename(self.root / other)

    def digest_of(self, name: str) -> str:
        """Return the SHA-256 of a file that was written."""
        return self._digests[name]

    def digest(self) -> str:
        """Return the SHA-256 of the list of all files, as ``sha256sum`` prints it, by path."""
        lines = (f"{self._digests[path]}  {path}\n" for path in sorted(self._digests))
        return hashlib.sha256("".join(lines).encode()).hexdigest()

    def _make(self, folder: Path) -> None:
        if not folder.exists():
            self._make(folder.parent)
            folder.mkdir()
            self._count(_BLOCK_BYTES)

    def _count(self, size: int) -> None:
        self._bytes += size
        if self._bytes > self.max_bytes:
            raise FetchError(Problem.TOO_LARGE, f"there are more than {self.max_bytes} bytes")
