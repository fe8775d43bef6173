"""What the object stores' client says, in our words.

Where it lists, it tells every refusal of a server as a general error, with the status in its text
and the server's whole answer behind it. That answer is a server's, and may repeat anything of the
request: none of it is passed on but the code that the protocol has for people.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final
from urllib.parse import urlsplit

from obstore.exceptions import BaseError, InvalidPathError, PreconditionError

from ferryman.core.fetching.report import Problem
from ferryman.core.fetching.task import FetchTask
from ferryman.fetch.credentials import Credentials
from ferryman.fetch.problem import FetchError

_STATUS: Final = re.compile(r"non-2xx status code: (\d{3})")
_CODE: Final = re.compile(r"<Code>([A-Za-z0-9]{1,64})</Code>")
#: Marks in the account of an error's causes -> what they mean.
_CAUSES: Final = (
    ("dns error", "its name is not found"),
    ("ConnectionRefused", "it refuses the connection"),
    ("UnknownIssuer", "its certificate is not trusted"),
    ("InvalidCertificate", "its certificate is not valid"),
    ("InvalidListResponse", "its list of objects cannot be read"),
    ("TimedOut", "it does not answer"),
    ("Timeout", "it does not answer"),
)
_FORBIDDEN: Final = ("401", "403")


@contextmanager
def explained(task: FetchTask, credentials: Credentials) -> Iterator[None]:
    """Make the client's errors ours; the file system's pass, which have a number."""
    try:
        yield
    except PreconditionError as error:
        words = f"a file of {task.uri} changed while it was fetched"
        raise FetchError(Problem.MISMATCH, words) from error
    except InvalidPathError as error:
        words = f"{task.uri} has an object whose name no file can have: an empty, . or .. part"
        raise FetchError(Problem.UNSAFE, words) from error
    except BaseError as error:
        raise _of(str(error), task, credentials) from error
    except OSError as error:
        if error.errno is not None:
            raise
        # The client's own for what is not there, or may not be read.
        if isinstance(error, FileNotFoundError):
            raise FetchError(Problem.NOT_FOUND, f"there is no {task.uri}") from error
        raise _of(str(error), task, credentials) from error


def _of(text: str, task: FetchTask, credentials: Credentials) -> FetchError:
    where = urlsplit(task.endpoint).netloc or ("Google" if task.scheme == "gs" else "Amazon S3")
    status = _STATUS.search(text)
    code = _CODE.search(text)
    said = f" ({code[1]})" if code else ""
    if status and status[1] in _FORBIDDEN:
        words = "refuses the credentials" if credentials.entries else "wants credentials"
        return FetchError(Problem.FORBIDDEN, f"{where} {words} for {task.uri}{said}")
    if status and status[1] == "404":
        return FetchError(Problem.NOT_FOUND, f"there is no {task.uri}{said}")
    if status:
        words = f"{where} answers HTTP {status[1]} for {task.uri}{said}"
        return FetchError(Problem.UNREACHABLE, words)
    cause = next((words for mark, words in _CAUSES if mark in text), "the connection broke")
    return FetchError(Problem.UNREACHABLE, f"{task.uri} was not read from {where}: {cause}")
