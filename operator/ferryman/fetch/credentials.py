"""What the Secret holds, as the kubelet mounted it; and that none of it is ever said."""

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import certifi

from ferryman.core.fetching.report import Problem
from ferryman.core.fetching.task import FetchTask
from ferryman.fetch.problem import FetchError

_MAX_BYTES: Final = 1 << 20
#: What is shorter may stand in any text.
_SHORTEST_SECRET: Final = 6
#: Entries that become part of a header as they are.
_SHOWN: Final = ("token", "HF_TOKEN", "AWS_ACCESS_KEY_ID", "AWS_SESSION_TOKEN", "AWS_REGION")
#: By which AWS knows a pod, once its service account has a role: IRSA, and EKS' pod identity.
_AWS_IDENTITY: Final = ("AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_CREDENTIALS_FULL_URI")


@dataclass(frozen=True, slots=True)
class Credentials:
    """The entries of a Secret. Their representation shows none of them."""

    entries: Mapping[str, str] = field(default_factory=dict, repr=False)
    ca: str = ""
    """Further authorities, as PEM."""

    def has(self, *names: str) -> bool:
        """Whether all of these entries are there."""
        return all(self.entries.get(name) for name in names)

    def scrubbed(self, text: str) -> str:
        """Return a text without any of the entries."""
        for value in sorted(self.entries.values(), key=len, reverse=True):
            for part in (value, *value.split()):
                if len(part) >= _SHORTEST_SECRET:
                    text = text.replace(part, "***")
        return text

    def trusted(self) -> str:
        """Return all authorities that servers may show, as PEM: the public ones, and further."""
        return Path(certifi.where()).read_text() + self.ca


def read(task: FetchTask) -> Credentials:
    """Read what is mounted. Raises FetchError where what was stated is not there."""
    entries = _entries(Path(task.secret)) if task.secret else {}
    if task.secret and not entries:
        words = "the Secret that fetch.secretName names does not exist, or is empty"
        raise FetchError(Problem.MISCONFIGURED, words)
    return Credentials(entries, _authorities(Path(task.ca)) if task.ca else "")


def has_aws_identity(environ: Mapping[str, str]) -> bool:
    """Whether AWS gave the pod an identity."""
    return any(environ.get(name) for name in _AWS_IDENTITY)


def _entries(folder: Path) -> dict[str, str]:
    """Read the files of a mounted Secret; the kubelet's own begin with two dots."""
    found = {}
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if path.name.startswith("..") or not path.is_file() or path.stat().st_size > _MAX_BYTES:
            continue
        try:
            found[path.name] = path.read_text().strip()
        except UnicodeDecodeError:
            words = f"the Secret's entry {path.name} is no text"
            raise FetchError(Problem.MISCONFIGURED, words) from None
        if path.name in _SHOWN and not _fits_header(found[path.name]):
            words = f"the Secret's entry {path.name} has several lines, or characters beyond ASCII"
            raise FetchError(Problem.MISCONFIGURED, words)
    return found


def _fits_header(value: str) -> bool:
    return value.isascii() and value.isprintable()


def _authorities(path: Path) -> str:
    if not path.is_file():
        words = "the ConfigMap that fetch.caConfigMapName names does not exist, or has no ca.crt"
        raise FetchError(Problem.MISCONFIGURED, words)
    try:
        text = path.read_text()
        ssl.create_default_context(cadata=text)
    except (ValueError, ssl.SSLError):
        words = "ca.crt of the ConfigMap that fetch.caConfigMapName names is no certificate in PEM"
        raise FetchError(Problem.MISCONFIGURED, words) from None
    return text
