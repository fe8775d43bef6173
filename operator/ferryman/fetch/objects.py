"""Files of an object store: Amazon's and those that speak its protocol, and Google's."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import timedelta
from typing import Any, Final, NamedTuple

import obstore
from obstore.exceptions import BaseError
from obstore.store import GCSStore, ObjectStore, S3Store

from ferryman.core.fetching.paths import relative_to
from ferryman.core.fetching.report import Problem
from ferryman.core.fetching.task import FetchTask
from ferryman.fetch.credentials import Credentials, has_aws_identity
from ferryman.fetch.folder import Folder
from ferryman.fetch.object_errors import explained
from ferryman.fetch.problem import FetchError

CHUNK_BYTES: Final = 1 << 20
#: What KServe calls the key of a Google service account in a Secret.
GOOGLE_KEY: Final = "gcloud-application-credentials.json"
_REGION: Final = "us-east-1"
_RETRIES: Final[Any] = {"max_retries": 3, "retry_timeout": timedelta(seconds=60)}


def fetch(
    task: FetchTask, credentials: Credentials, folder: Folder, environ: Mapping[str, str]
) -> str:
    """Fetch everything below a prefix, or one object of that name; return the object's name.

    The name is "" where there are several. Raises FetchError.
    """
    bucket, _, prefix = task.path.partition("/")
    store = _store(task, bucket, credentials, environ)
    with explained(task, credentials):
        found = dict(_listed(store, prefix, folder))
        if not found:
            if not prefix:
                raise FetchError(Problem.NOT_FOUND, f"{task.uri} has no objects")
            name = prefix.rpartition("/")[2]
            _get(store, prefix, name, folder)
            return name
        # A folder that a console made is an empty object of the folder's name.
        folders = {path.rpartition("/")[0] for path in found}
        for path, each in sorted(found.items()):
            if each.size_bytes or path not in folders:
                _get(store, each.key, path, folder, each.etag)
        return ""


class _Listed(NamedTuple):
    key: str
    etag: str | None
    size_bytes: int


def _listed(store: ObjectStore, prefix: str, folder: Folder) -> Iterator[tuple[str, _Listed]]:
    """Yield each object by its path, as far as all of them fit."""
    size, files = 0, 0
    for page in obstore.list(store, prefix or None):
        for each in page:
            path = relative_to(prefix, each["path"])
            if not path:
                continue
            size, files = size + each["size"], files + 1
            folder.expect(size, files)
            yield path, _Listed(each["path"], each["e_tag"], each["size"])


def _get(store: ObjectStore, key: str, path: str, folder: Folder, etag: str | None = None) -> None:
    """Write one object, which must be as it was when it was listed."""
    answer = obstore.get(store, key, options={"if_match": etag} if etag else None)
    folder.expect(answer.meta["size"])
    chunks: Iterable[Any] = answer.stream(min_chunk_size=CHUNK_BYTES)
    folder.write(path, map(bytes, chunks))


def _store(
    task: FetchTask, bucket: str, credentials: Credentials, environ: Mapping[str, str]
) -> ObjectStore:
    client: Any = {
        "timeout": timedelta(seconds=task.deadline_s),
        "connect_timeout": timedelta(seconds=10),
        "root_certificate": credentials.trusted(),
        "allow_http": task.endpoint.startswith("http://"),
        "user_agent": "ferryman-fetch",
    }
    common = {"client_options": client, "retry_config": _RETRIES}
    try:
        if task.scheme == "gs":
            return GCSStore(bucket, **_google(task, credentials), **common)
        return S3Store(bucket, **_amazon(task, credentials, environ), **common)
    except (BaseError, ValueError) as error:
        # The client's words may repeat what it was given.
        words = f"the Secret's entries for {task.scheme}:// cannot be used as they are"
        raise FetchError(Problem.MISCONFIGURED, words) from error


def _amazon(
    task: FetchTask, credentials: Credentials, environ: Mapping[str, str]
) -> dict[str, Any]:
    """Return how to sign: with the Secret's keys, the pod's own identity, or not at all.

    Never with what the node is allowed to do, which every pod of it could ask for.
    """
    stated = task.region or credentials.entries.get("AWS_REGION") or environ.get("AWS_REGION")
    found: dict[str, Any] = {"region": stated or _REGION}
    if task.endpoint:
        found |= {"endpoint": task.endpoint, "virtual_hosted_style_request": False}
    if credentials.has("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        found["access_key_id"] = credentials.entries["AWS_ACCESS_KEY_ID"]
        found["secret_access_key"] = credentials.entries["AWS_SECRET_ACCESS_KEY"]
        if credentials.has("AWS_SESSION_TOKEN"):
            found["session_token"] = credentials.entries["AWS_SESSION_TOKEN"]
    elif task.secret:
        words = "the Secret for s3:// has no AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        raise FetchError(Problem.MISCONFIGURED, words)
    elif not has_aws_identity(environ):
        found["skip_signature"] = True
    return found


def _google(task: FetchTask, credentials: Credentials) -> dict[str, Any]:
    """Return how to ask: with the Secret's key, as the pod's service account, or as anybody."""
    if credentials.has(GOOGLE_KEY):
        return {"service_account_key": credentials.entries[GOOGLE_KEY]}
    if task.secret:
        raise FetchError(Problem.MISCONFIGURED, f"the Secret for gs:// has no {GOOGLE_KEY}")
    return {} if task.identity else {"skip_signature": True}
