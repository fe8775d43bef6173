"""Unpacking: plain files alone, within bounds, whatever the archive says.

An archive is verified before it is opened, if there is a digest to verify it by. Its metadata is
read through ``_Bounded``, because a header may claim any length, and compressed nothing is small.
"""

import bz2
import gzip
import lzma
import os
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, Final

from ferryman.core.fetching.paths import safe_path, top_folder
from ferryman.core.fetching.report import Problem
from ferryman.fetch.folder import DOWNLOAD, Folder
from ferryman.fetch.problem import FetchError

_CHUNK_BYTES: Final = 1 << 20
#: A zip's directory of 10,000 files has about one million bytes; a tar's header, far fewer.
_MAX_READ_BYTES: Final = 4 << 20
#: A tar has blocks between files, which count for nothing else.
_PADDING: Final = 64 << 20
#: ``xz -9`` needs 65 MiB; of the container's 512 the rest is Python's.
_XZ_MEMORY_BYTES: Final = 256 << 20
_XZ_HEADERS_BYTES: Final = 4096
_OPENERS: Final[dict[str, Callable[..., Any]]] = {
    ".gz": gzip.open,
    ".tgz": gzip.open,
    ".bz2": bz2.open,
    ".xz": lzma.open,
}
_BROKEN: Final = (
    tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, gzip.BadGzipFile, EOFError,
    NotImplementedError, RuntimeError, UnicodeError, OverflowError, ValueError, MemoryError,
)  # fmt: skip
_ENCRYPTED: Final = 0x1


class _Bounded:
    """A file to read from: no more at a time than metadata has, and no further than the limit."""

    def __init__(self, file: IO[bytes], end: int) -> None:
        self._file, self._end = file, end

    def read(self, size: int = -1) -> bytes:
        # zipfile reads the end of a file without saying how much that is.
        found = self._file.read(_MAX_READ_BYTES + 1 if size < 0 else min(size, _MAX_READ_BYTES + 1))
        if len(found) > _MAX_READ_BYTES:
            raise FetchError(Problem.UNSAFE, "the archive has a header or a listing of many bytes")
        self._check()
        return found

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        found = self._file.seek(offset, whence)
        self._check()
        return found

    def tell(self) -> int:
        return self._file.tell()

    def seekable(self) -> bool:
        return True

    def close(self) -> None:
        self._file.close()

    def _check(self) -> None:
        if self._file.tell() > self._end:
            raise FetchError(
                Problem.TOO_LARGE, f"the archive unpacks to more than {self._end} bytes"
            )


def unpack(archive: Path, name: str, kind: str, folder: Folder) -> None:
    """Unpack an archive of this name into a folder. Raises FetchError, and OSError of the disk."""
    try:
        if kind == "zip":
            _unpack_zip(archive, folder)
        else:
            _unpack_tar(archive, name, folder)
    except _BROKEN as error:
        raise FetchError(
            Problem.UNSAFE,
            f"the archive cannot be read: {str(error)[:100] or type(error).__name__}",
        ) from error


def raise_top(root: Path) -> None:
    """Put what a single folder on top holds in its place, where it is the model's folder."""
    entries = [each.name for each in root.iterdir()]
    top = root / entries[0] if len(entries) == 1 else root
    below = [each.name for each in top.iterdir() if each.is_dir()] if top.is_dir() else []
    if not top_folder(entries, below):
        return
    aside = root / DOWNLOAD
    top.rename(aside)
    for entry in aside.iterdir():
        entry.rename(root / entry.name)
    shutil.rmtree(aside)


def _unpack_tar(archive: Path, name: str, folder: Folder) -> None:
    opener = _OPENERS.get(Path(name.lower()).suffix, open)
    if opener is lzma.open:
        _check_dictionary(archive)
    with opener(archive, "rb") as file:
        bounded = _Bounded(file, folder.max_bytes + _PADDING)
        # mypy: tarfile asks for less than its type says.
        with tarfile.open(fileobj=bounded, mode="r:") as tar:  # type: ignore[call-overload]
            for count, member in enumerate(tar):
                _count(count, folder)
                tar.members = []  # it keeps what it saw
                if member.isdir():
                    _check(member.name)
                    continue
                source = tar.extractfile(member) if member.isreg() else None
                if source is None:
                    raise FetchError(Problem.UNSAFE, _no_file(member.name))
                folder.expect(member.size)
                folder.write(member.name, _read(source))


def _check_dictionary(archive: Path) -> None:
    """Raise LZMAError where unpacking takes more memory than the container has.

    Of the first block, which says it for all that ``xz`` packs.
    """
    with archive.open("rb") as file:
        decompressor = lzma.LZMADecompressor(memlimit=_XZ_MEMORY_BYTES)
        decompressor.decompress(file.read(_XZ_HEADERS_BYTES), max_length=1)


def _unpack_zip(archive: Path, folder: Folder) -> None:
    with archive.open("rb") as file:
        bounded = _Bounded(file, archive.stat().st_size)
        with zipfile.ZipFile(bounded) as packed:
            for count, info in enumerate(packed.infolist()):
                _count(count, folder)
                if info.filename.endswith("/"):
                    _check(info.filename)
                    continue
                if stat.S_IFMT(info.external_attr >> 16) not in {0, stat.S_IFREG}:
                    raise FetchError(Problem.UNSAFE, _no_file(info.filename))
                if info.flag_bits & _ENCRYPTED:
                    raise FetchError(Problem.UNSAFE, "the archive is encrypted")
                if info.compress_type == zipfile.ZIP_LZMA:
                    words = "the zip is packed by LZMA, for which any memory may be needed"
                    raise FetchError(Problem.UNSAFE, words)
                folder.expect(info.file_size)
                with packed.open(info) as source:
                    folder.write(info.filename, _read(source))


def _count(count: int, folder: Folder) -> None:
    """Folders count as files do: an archive of nothing else has an end, too."""
    if count > 2 * folder.max_files:
        raise FetchError(Problem.TOO_LARGE, f"the archive has more than {folder.max_files} files")


def _check(name: str) -> None:
    try:
        safe_path(name)
    except ValueError as error:
        raise FetchError(Problem.UNSAFE, f"the path {error}") from None


def _no_file(name: str) -> str:
    return f"the archive has a link or a device, {name[:100]!r}, of which none is unpacked"


def _read(source: IO[bytes]) -> Iterator[bytes]:
    while chunk := source.read(_CHUNK_BYTES):
        yield chunk
