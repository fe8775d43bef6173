"""GET over HTTPS, and over nothing else: each redirect is looked at, and gets no credentials."""

import ssl
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final
from urllib.parse import urljoin, urlsplit

import urllib3
from urllib3.exceptions import HTTPError

from ferryman.core.fetching.report import Problem
from ferryman.fetch.credentials import Credentials
from ferryman.fetch.folder import Folder
from ferryman.fetch.problem import FetchError, of_connection, of_status

CHUNK_BYTES: Final = 1 << 20
_MAX_REDIRECTS: Final = 5
#: A server that is busy or restarts is asked again; after these pauses in seconds.
_PAUSES_S: Final = (1, 3)
_BUSY: Final = frozenset({429, 500, 502, 503, 504})
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_SUCCESS: Final = 200
_PART: Final = 206
#: So often a file is gone on with, where its connection broke.
_MAX_RESUMED: Final = 3
#: Of a length; what has more is no number that Python would read.
_MAX_DIGITS: Final = 30
_TIMEOUT: Final = urllib3.Timeout(connect=10, read=60)


class Web:
    """A client of one source."""

    def __init__(self, credentials: Credentials, headers: Mapping[str, str]) -> None:
        """Take who is trusted, and what servers of the first address alone are shown."""
        context = ssl.create_default_context(cadata=credentials.trusted())
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        self._headers = headers
        self._pool = urllib3.PoolManager(ssl_context=context, retries=False, timeout=_TIMEOUT)

    def fetch(self, url: str, what: str, folder: Folder, name: str) -> None:
        """Write what is at an address into a folder, under a name. Raises FetchError and OSError.

        Where the connection breaks, the rest is asked for, as long as the file is the same.
        """
        with self.get(url, what) as answer:
            folder.expect(length(answer))
            folder.write(name, self._to_the_end(answer, url, what))

    @contextmanager
    def get(self, url: str, what: str) -> Iterator[urllib3.BaseHTTPResponse]:
        """Yield a successful answer, whose body is not read yet. Raises FetchError.

        Also while the block reads the body: what breaks then is the connection's fault.
        """
        host = urlsplit(url).netloc
        try:
            answer = self._answer(url, what)
            try:
                yield answer
            finally:
                answer.release_conn()
        except HTTPError as error:
            raise of_connection(error, host) from error

    def _to_the_end(self, answer: urllib3.BaseHTTPResponse, url: str, what: str) -> Iterator[bytes]:
        tag, whole, got, left = _strong_tag(answer), length(answer), 0, _MAX_RESUMED
        while True:
            try:
                while chunk := answer.read(CHUNK_BYTES, decode_content=False):
                    got += len(chunk)
                    yield chunk
            except HTTPError:
                answer.close()
                if not tag or not whole or not left:
                    raise
                left -= 1
                time.sleep(_PAUSES_S[0])
                answer = self._answer(url, what, {"Range": f"bytes={got}-", "If-Range": tag})
                if not _continues(answer, tag, got, whole):
                    raise
            else:
                return

    def _answer(
        self, url: str, what: str, part: Mapping[str, str] | None = None
    ) -> urllib3.BaseHTTPResponse:
        first, part = origin(url), part or {}
        for _ in range(_MAX_REDIRECTS + 1):
            ours = self._headers if origin(url) == first else {}
            answer = self._asked(url, {**part, **ours})
            if answer.status == _SUCCESS or (part and answer.status == _PART):
                return answer
            location = answer.headers.get("Location")
            answer.close()  # whatever its body is, and however long
            if answer.status not in _REDIRECTS or not location:
                raise of_status(answer.status, what, with_credentials=bool(self._headers))
            url = _followed(url, location, what)
            if urlsplit(url).scheme != "https":
                words = f"the server leads away from https for {what}, which is not followed"
                raise FetchError(Problem.UNREACHABLE, words)
        raise FetchError(Problem.UNREACHABLE, f"the server leads in circles for {what}")

    def _asked(self, url: str, headers: Mapping[str, str]) -> urllib3.BaseHTTPResponse:
        plain = {"Accept-Encoding": "identity", "User-Agent": "ferryman-fetch", **headers}
        for pause_s in (*_PAUSES_S, None):
            answer = self._pool.request(
                "GET", url, headers=plain, redirect=False, preload_content=False
            )
            if answer.status not in _BUSY or pause_s is None:
                break
            answer.close()
            time.sleep(pause_s)
        return answer


def _strong_tag(answer: urllib3.BaseHTTPResponse) -> str:
    """Return what names these very bytes (RFC 9110, 8.8.3); "" where the server does not say."""
    tag = answer.headers.get("ETag", "")
    return tag if tag.startswith('"') else ""


def _continues(answer: urllib3.BaseHTTPResponse, tag: str, begin: int, whole: int) -> bool:
    """Whether an answer is the rest of a file of so many bytes, from this one on."""
    stated = answer.headers.get("Content-Range", "")
    rest = answer.status == _PART and stated == f"bytes {begin}-{whole - 1}/{whole}"
    return rest and length(answer) == whole - begin and _strong_tag(answer) == tag


def length(answer: urllib3.BaseHTTPResponse) -> int:
    """Return how many bytes a server announces; 0: it does not say."""
    stated = answer.headers.get("Content-Length", "")
    short = len(stated) <= _MAX_DIGITS
    return int(stated) if short and stated.isascii() and stated.isdigit() else 0


def _followed(url: str, location: str, what: str) -> str:
    try:
        found = urljoin(url, location)
        origin(found)
    except ValueError:
        words = f"the server leads to an address that is none for {what}"
        raise FetchError(Problem.UNREACHABLE, words) from None
    return found


def origin(url: str) -> tuple[str, str, int | None]:
    """Return which server an address is of. Raises ValueError where it is no address."""
    parts = urlsplit(url)
    return parts.scheme, parts.hostname or "", parts.port or 443
