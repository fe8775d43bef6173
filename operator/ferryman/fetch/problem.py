"""What keeps files from being fetched, as an exception that says whose fault it is."""

import errno
import os
import socket
import ssl
from pathlib import Path
from typing import Final

from ferryman.core.fetching.report import Problem

_DISK: Final = {
    errno.ENOSPC: "no space is left on the node's disk",
    errno.EDQUOT: "the quota of the node's disk is used up",
    errno.EFBIG: "a file is larger than the node's disk takes",
}


class FetchError(Exception):
    """Fetching ends here: the text becomes a condition's message, and has no secret in it."""

    def __init__(self, problem: Problem, detail: str) -> None:
        super().__init__(detail)
        self.problem = problem


def of_status(status: int, what: str, *, with_credentials: bool) -> FetchError:
    """Return what an HTTP status other than success says of a request."""
    if status in {401, 403, 407}:
        words = "refuses the credentials" if with_credentials else "wants credentials"
        return FetchError(Problem.FORBIDDEN, f"the server {words} for {what} (HTTP {status})")
    if status in {404, 410}:
        return FetchError(Problem.NOT_FOUND, f"there is no {what} (HTTP {status})")
    return FetchError(Problem.UNREACHABLE, f"the server answers HTTP {status} for {what}")


def of_os(error: OSError, folder: Path) -> FetchError:
    """Return what an error of the file system says that this folder is on."""
    if isinstance(error, FileExistsError | NotADirectoryError | IsADirectoryError):
        return FetchError(Problem.UNSAFE, "two of the files have one path")
    if error.errno == errno.ENOSPC and _lacks_inodes(folder):
        words = "no more files fit on the node's disk: it has no inodes left"
    else:
        words = _DISK.get(error.errno or 0, f"a file cannot be written: {error.strerror}")
    return FetchError(Problem.NOT_STORED, words)


def _lacks_inodes(folder: Path) -> bool:
    """Whether a file system that counts files has room for bytes and for no file."""
    found = os.statvfs(folder)
    return found.f_bavail > 0 and found.f_files > 0 and found.f_favail == 0


def of_connection(error: BaseException, host: str) -> FetchError:
    """Return why a server was not reached: what is underneath says more than what wraps it."""
    cause: BaseException | None = error
    for _ in range(10):
        if isinstance(cause, ssl.SSLCertVerificationError):
            words = f"the certificate of {host} is not trusted: {cause.verify_message}"
            return FetchError(Problem.UNREACHABLE, words)
        if isinstance(cause, socket.gaierror):
            return FetchError(Problem.UNREACHABLE, f"the name {host} is not found")
        if isinstance(cause, ConnectionRefusedError):
            return FetchError(Problem.UNREACHABLE, f"{host} refuses the connection")
        if isinstance(cause, TimeoutError):
            return FetchError(Problem.UNREACHABLE, f"{host} does not answer")
        following = cause.__cause__ or cause.__context__ if cause else None
        cause = following or next(
            (each for each in getattr(cause, "args", ()) if isinstance(each, BaseException)),
            getattr(cause, "reason", None),
        )
        if not isinstance(cause, BaseException):
            break
    return FetchError(
        Problem.UNREACHABLE, f"the connection to {host} broke ({type(error).__name__})"
    )
