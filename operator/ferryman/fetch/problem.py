"""What keeps files from being fetched, as an exception that says whose fault it is."""

import errno
import socket
import ssl

from ferryman.core.fetching.report import Problem


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


def of_os(error: OSError) -> FetchError:
    """Return what an error of the file system says."""
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return FetchError(Problem.TOO_LARGE, "no space is left on the node's disk")
    if isinstance(error, FileExistsError | NotADirectoryError | IsADirectoryError):
        return FetchError(Problem.UNSAFE, "two of the files have one path")
    return FetchError(Problem.MISCONFIGURED, f"a file cannot be written: {error.strerror}")


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
