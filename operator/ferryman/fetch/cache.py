"""Files that were fetched before, on a volume that other pods write as well.

Nothing in it is believed: what is taken is copied and counted as if it came from the source, and
compared with the digest afterwards. Nothing in it is needed: what fails costs the time to fetch.
"""

import errno
import os
import shutil
import stat
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from secrets import token_hex
from tempfile import mkdtemp
from typing import Final

from ferryman.core.fetching import cache
from ferryman.core.fetching.cache import FILE, FILES, Entry
from ferryman.core.fetching.task import FetchTask
from ferryman.fetch.folder import Folder, blocks, remove
from ferryman.fetch.problem import FetchError

_CHUNK_BYTES: Final = 1 << 20
#: Pods of other users and one group may use what is kept, and remove it.
_UMASK: Final = 0o002
#: Of a link, a file or nothing where something else should be.
_OTHERWISE: Final = frozenset({errno.ELOOP, errno.ENOTDIR, errno.ENOENT})
#: A pipe is not waited for, and a link leads nowhere.
_OPEN: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class Cache:
    """What a task may find, or leave for others; each takes half of the time that is left."""

    def __init__(self, task: FetchTask, ends_s: float) -> None:
        """Take the task, and when it must be over, by the monotonic clock."""
        self._root, self._limit_bytes = Path(task.cache), task.cache_bytes
        self._digest, self._name = task.sha256, task.name
        self._entry = self._root / cache.entry_name(task.sha256)
        self._ends_s, self._until_s = ends_s, ends_s

    def take(self, folder: Folder) -> str | None:
        """Copy what has the digest into an empty folder; return the single file's name.

        It is "" where there are several; None: nothing was found, whatever is in the folder now.
        """
        self._begin()
        if not os.path.lexists(self._entry):
            return None
        try:
            single = self._copied(folder)
            right = (folder.digest_of(single) if single else folder.digest()) == self._digest
        except FetchError:
            right = False
        except OSError as error:
            if error.errno not in _OTHERWISE:
                _say(f"the cache's {self._entry.name} is of no use: {error}")
                return None
            right = False
        if not right:
            _say(f"the cache's {self._entry.name} is not what it should be, and goes")
            with suppress(OSError):
                self._remove(self._entry.name)
            return None
        with suppress(OSError):
            os.utime(self._entry)
        _say(f"found {self._entry.name} in the cache")
        return single

    def put(self, folder: Folder, single: str) -> None:
        """Keep what was fetched, in place of what was not used for longest."""
        self._begin()
        try:
            if not os.path.lexists(self._entry) and self._makes_room(folder.taken_bytes):
                self._keep(folder, single)
        except OSError as error:
            _say(f"the cache keeps nothing: {error}")

    def _begin(self) -> None:
        now_s = time.monotonic()
        self._until_s = now_s + (self._ends_s - now_s) / 2

    def _copied(self, folder: Folder) -> str:
        if (self._entry / FILE).exists():
            folder.write(self._name, self._read(self._entry / FILE))
            return self._name
        several = self._entry / FILES
        for path in _below(several):
            folder.write(str(path.relative_to(several)), self._read(path))
        return ""

    def _read(self, path: Path) -> Iterator[bytes]:
        with os.fdopen(os.open(path, _OPEN), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise OSError(errno.ELOOP, f"{path.name} is no file")
            while chunk := file.read(_CHUNK_BYTES):
                if time.monotonic() > self._until_s:
                    raise TimeoutError("it is too slow")
                yield chunk

    def _keep(self, folder: Folder, single: str) -> None:
        """Copy aside, then rename: who looks meanwhile finds all of it, or nothing."""
        aside = Path(mkdtemp(prefix=cache.NEW, dir=self._root))
        before = os.umask(_UMASK)
        try:
            names = {single: FILE} if single else {name: f"{FILES}/{name}" for name in folder.names}
            for name, there in names.items():
                target = aside / there
                target.parent.mkdir(parents=True, exist_ok=True)
                with target.open("xb") as file:
                    file.writelines(self._read(folder.root / name))
            aside.chmod(0o777 & ~_UMASK)
            aside.rename(self._entry)
        finally:
            os.umask(before)
            shutil.rmtree(aside, ignore_errors=True)

    def _makes_room(self, needed_bytes: int) -> bool:
        free_bytes = shutil.disk_usage(self._root).free
        gone = cache.evicted(
            self._entries(), needed_bytes, limit_bytes=self._limit_bytes, free_bytes=free_bytes
        )
        if gone is None:
            _say(f"the cache has no room for {needed_bytes} bytes")
            return False
        for name in gone:
            self._remove(name)
        return True

    def _entries(self) -> Iterator[Entry]:
        """Yield the entries; what others left behind goes."""
        now_s = time.time()
        for path in self._root.iterdir():
            with suppress(FileNotFoundError):  # another pod was first
                changed_s = path.lstat().st_mtime
                if cache.is_abandoned(path.name, changed_s, now_s):
                    _delete(path)
                elif cache.is_entry(path.name):
                    sizes = (each.lstat().st_size for each in _below(path))
                    yield Entry(path.name, sum(map(blocks, sizes)), changed_s)

    def _remove(self, name: str) -> None:
        """Rename, which a full disk lets one do, then remove: nobody finds a part."""
        gone = self._root / f"{cache.GONE}{token_hex(8)}"
        (self._root / name).rename(gone)
        _delete(gone)


def _delete(path: Path) -> None:
    """Remove what nobody looks for any more, as far as it lets itself be removed."""
    with suppress(OSError):
        remove(path)


def _below(folder: Path) -> list[Path]:
    """Return the files in a folder. Raises OSError where it cannot be read."""

    def refuse(error: OSError) -> None:
        raise error

    found = os.walk(folder, onerror=refuse)
    return sorted(Path(parent, name) for parent, _, names in found for name in names)


def _say(words: str) -> None:
    print(words, file=sys.stderr, flush=True)  # noqa: T201  its log
