"""Fetch one model after the other, say what came of it, and end: in time, whatever hangs."""

import os
import signal
import sys
import threading
import time
import traceback
from base64 import b64encode
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final, NoReturn

from ferryman.core.fetching.paths import archive_kind
from ferryman.core.fetching.report import Fetched, FetchReport, Problem, encode_report
from ferryman.core.fetching.task import TASKS_ENV, FetchTask, decode
from ferryman.fetch import archives, credentials, hub, objects
from ferryman.fetch.cache import Cache
from ferryman.fetch.credentials import Credentials
from ferryman.fetch.folder import DOWNLOAD, Folder, clear
from ferryman.fetch.problem import FetchError, of_os
from ferryman.fetch.web import Web

#: Where the kubelet looks for a container's last words; tests look elsewhere.
TERMINATION_LOG: Final = "/dev/termination-log"
TERMINATION_LOG_ENV: Final = "FERRYMAN_TERMINATION_LOG"
_TERMINATED: Final = 143


def main(environ: Mapping[str, str]) -> int:
    """Fetch everything that the environment says; return the exit status."""
    # The first process of a container ignores what it does not handle.
    signal.signal(signal.SIGTERM, lambda *_: os._exit(_TERMINATED))
    log = Path(environ.get(TERMINATION_LOG_ENV, TERMINATION_LOG))
    fetched: tuple[Fetched, ...] = ()
    for task in decode(environ[TASKS_ENV]):
        watch = threading.Timer(task.deadline_s, _too_late, (task, log))
        watch.daemon = True
        watch.start()
        try:
            fetched = (*fetched, fetch(task, environ))
        except FetchError as error:
            return _failed(log, error.problem, str(error))
        finally:
            watch.cancel()
        print(f"fetched {task.uri}: {fetched[-1].digest}", flush=True)  # noqa: T201  its log
    _tell(log, FetchReport(fetched))
    return 0


def fetch(task: FetchTask, environ: Mapping[str, str]) -> Fetched:
    """Fetch one model's files into its folder. Raises FetchError."""
    ends_s = time.monotonic() + task.deadline_s
    found = credentials.read(task)
    root = Path(task.into)
    try:
        return _bring(task, found, ends_s, environ)
    except FetchError as error:
        _remove(root)
        # Nothing puts a secret into a message; this holds if something does some day.
        raise FetchError(error.problem, found.scrubbed(str(error))) from error
    except OSError as error:
        failure = of_os(error, root)
        _remove(root)
        raise failure from error
    except Exception:  # noqa: BLE001  whatever it is
        _remove(root)
        # A fault of the program: what it was about to send may stand in the traceback.
        print(found.scrubbed(traceback.format_exc()), file=sys.stderr, flush=True)  # noqa: T201
        sys.exit(1)


def _remove(root: Path) -> None:
    """Free the disk at once, which may be full: what is there is part of something, or wrong."""
    with suppress(OSError):
        clear(root)


def _bring(
    task: FetchTask, found: Credentials, ends_s: float, environ: Mapping[str, str]
) -> Fetched:
    """Bring a model's files into its folder, from the cache or from their source."""
    cache = Cache(task, ends_s) if task.cache and task.sha256 else None
    folder = _folder(task)
    single = cache.take(folder) if cache else None
    result = Fetched(task.into, f"sha256:{task.sha256}")
    if single is None:
        folder = _folder(task)
        single, result = _fetched(task, found, folder, environ)
        if cache:
            cache.put(folder, single)
    if archive_kind(single):
        _unpacked(single, folder)
    return result


def _folder(task: FetchTask) -> Folder:
    return Folder(Path(task.into), task.max_bytes)


def _fetched(
    task: FetchTask, found: Credentials, folder: Folder, environ: Mapping[str, str]
) -> tuple[str, Fetched]:
    """Fetch from the source; return the single file's name, "" where there are several."""
    revision = ""
    if task.scheme == "https":
        single = _download(task, found, folder)
    elif task.scheme == "hf":
        revision, single = hub.fetch(task, found, folder)
    else:
        single = objects.fetch(task, found, folder, environ)
    digest = folder.digest() if not single else folder.digest_of(single)
    if task.sha256 and digest != task.sha256:
        words = f"{task.uri} has the digest {digest}, and fetch.sha256 is {task.sha256}"
        raise FetchError(Problem.MISMATCH, words)
    return single, Fetched(task.into, f"sha256:{digest}", revision)


def _unpacked(name: str, folder: Folder) -> None:
    """Put what an archive holds in its place."""
    aside = folder.aside(name, DOWNLOAD)
    archives.unpack(aside, name, archive_kind(name), folder)
    aside.unlink()
    archives.raise_top(folder.root)


def _download(task: FetchTask, found: Credentials, folder: Folder) -> str:
    """Fetch the one file of an https:// address; return its name."""
    Web(found, _authorization(found, task)).fetch(task.uri, task.uri, folder, task.name)
    return task.name


def _authorization(found: Credentials, task: FetchTask) -> dict[str, str]:
    entries = found.entries
    if found.has("token"):
        return {"Authorization": f"Bearer {entries['token']}"}
    if found.has("username", "password"):
        pair = f"{entries['username']}:{entries['password']}".encode()
        return {"Authorization": f"Basic {b64encode(pair).decode()}"}
    if task.secret:
        words = "the Secret for https:// has neither token nor username and password"
        raise FetchError(Problem.MISCONFIGURED, words)
    return {}


def _failed(log: Path, problem: Problem, detail: str) -> int:
    print(f"{problem}: {detail}", file=sys.stderr, flush=True)  # noqa: T201  its log
    _tell(log, FetchReport(problem=problem, detail=detail))
    return 1


def _tell(log: Path, report: FetchReport) -> None:
    """Leave the report; a disk that does not take it is no reason not to serve."""
    try:
        log.write_text(encode_report(report))
    except OSError as error:
        print(f"the report cannot be written: {error}", file=sys.stderr, flush=True)  # noqa: T201


def _too_late(task: FetchTask, log: Path) -> NoReturn:
    """End from beside: whatever waits for a server cannot be told to stop."""
    words = f"{task.uri} was not fetched within {task.deadline_s} s"
    os._exit(_failed(log, Problem.TOO_SLOW, words))
