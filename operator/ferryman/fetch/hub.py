"""Files of Hugging Face's hub, by the two addresses of it that have been the same for years.

One tells a revision's commit and files, the other leads to a file. What is named by a branch is
fetched by the commit that the branch had at the beginning.
"""

import json
import re
from typing import Any, Final

from ferryman.core.fetching.paths import relative_to
from ferryman.core.fetching.report import Problem
from ferryman.core.fetching.task import FetchTask
from ferryman.fetch.credentials import Credentials
from ferryman.fetch.folder import Folder
from ferryman.fetch.problem import FetchError
from ferryman.fetch.web import Web

HUB: Final = "https://huggingface.co"
#: Of 10,000 files, with long names; Python makes up to 25 bytes of one.
_LISTING_BYTES: Final = 4 << 20
_COMMIT: Final = re.compile(r"[0-9a-f]{40,64}")
_PATH: Final = re.compile(r"[^?#%\s]{1,1024}")


def fetch(task: FetchTask, credentials: Credentials, folder: Folder) -> tuple[str, str]:
    """Fetch a repository, or a folder or file of it; return the commit, and the single file's name.

    The name is "" where there are several. Raises FetchError.
    """
    repository, revision, inner = _parts(task.path)
    token = credentials.entries.get("HF_TOKEN", "")
    if task.secret and not token:
        raise FetchError(Problem.MISCONFIGURED, "the Secret for hf:// has no HF_TOKEN")
    web = Web(credentials, {"Authorization": f"Bearer {token}"} if token else {})
    hub = task.endpoint or HUB
    listing = _listing(web, f"{hub}/api/models/{repository}/revision/{revision}", task.uri)
    commit, names = _commit(listing, task.uri), _names(listing)
    wanted = {relative_to(inner, name): name for name in names if relative_to(inner, name)}
    single = ""
    if not wanted and inner in names:
        single = inner.rpartition("/")[2]
        wanted = {single: inner}
    if not wanted:
        raise FetchError(Problem.NOT_FOUND, f"there is no {task.uri}")
    folder.expect(0, len(wanted))
    for path, name in sorted(wanted.items()):
        if not _PATH.fullmatch(name):
            raise FetchError(Problem.UNSAFE, f"the path {name[:100]!r} has odd characters")
        url = f"{hub}/{repository}/resolve/{commit}/{name}"
        web.fetch(url, f"{task.uri}, {name}", folder, path)
    return commit, single


def _parts(path: str) -> tuple[str, str, str]:
    """Return repository, revision and the path within it: ORG/REPO@REVISION/PATH."""
    org, _, rest = path.partition("/")
    named, _, inner = rest.partition("/")
    name, _, revision = named.partition("@")
    return f"{org}/{name}", revision or "main", inner


def _listing(web: Web, url: str, what: str) -> Any:  # noqa: ANN401  somebody's JSON
    with web.get(url, what) as answer:
        text = answer.read(_LISTING_BYTES, decode_content=False)
        if len(text) == _LISTING_BYTES:
            raise FetchError(Problem.TOO_LARGE, f"the list of files of {what} is too long")
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        words = f"the server's list of files of {what} is no JSON"
        raise FetchError(Problem.UNREACHABLE, words) from None


def _commit(listing: Any, what: str) -> str:  # noqa: ANN401  likewise
    commit = listing.get("sha") if isinstance(listing, dict) else None
    if not isinstance(commit, str) or not _COMMIT.fullmatch(commit):
        raise FetchError(Problem.UNREACHABLE, f"the server tells no commit of {what}")
    return commit


def _names(listing: dict[str, Any]) -> list[str]:
    siblings = listing.get("siblings")
    entries = siblings if isinstance(siblings, list) else []
    found = (each.get("rfilename") for each in entries if isinstance(each, dict))
    return [name for name in found if isinstance(name, str)]
