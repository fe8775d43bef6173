"""What a pod is told to fetch: one task for each of its models."""

from dataclasses import dataclass
from typing import Final

from pydantic import TypeAdapter

from ferryman.api import quantity
from ferryman.api.model_fetch import FetchCache, FetchSpec

#: In which the container finds its tasks.
TASKS_ENV: Final = "FERRYMAN_FETCH"
#: Files of one model. Triton's own repositories have dozens, the largest of the hub some thousands.
MAX_FILES: Final = 10_000
_SCHEMES: Final = frozenset({"s3", "gs", "hf", "https"})
_PORTS: Final = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class FetchTask:
    """The files of one model, and within which bounds they are fetched."""

    uri: str
    into: str
    """The folder, which is emptied first."""
    max_bytes: int
    """What may be on disk at a time, an archive and what it unpacks to together."""
    deadline_s: int
    sha256: str = ""
    """What must have been fetched; "": anything may."""
    endpoint: str = ""
    region: str = ""
    secret: str = ""
    """The folder with the Secret's entries; "": there is none."""
    ca: str = ""
    """The file of further authorities; "": there is none."""
    identity: bool = False
    """Whether the pod has a service account of its own, by which a cloud may know it."""
    cache: str = ""
    """The folder of what was fetched before; "": there is none."""
    cache_bytes: int = 0
    """What may be in it."""

    @property
    def scheme(self) -> str:
        """Of the URI: s3, gs, hf or https."""
        return self.uri.partition("://")[0]

    @property
    def name(self) -> str:
        """What a single file is called: how the path ends."""
        return self.path.rpartition("/")[2]

    @property
    def path(self) -> str:
        """The URI without its scheme, and without a slash at its end."""
        return self.uri.partition("://")[2].rstrip("/")


_TASKS: Final = TypeAdapter(tuple[FetchTask, ...])


def is_fetched(storage_uri: str | None) -> bool:
    """Whether a pod fetches these files itself, rather than mount them."""
    return storage_uri is not None and storage_uri.partition("://")[0] in _SCHEMES


def size_limit_bytes(spec: FetchSpec | FetchCache) -> int:
    """Return the bound of what is fetched, or kept."""
    return quantity.to_units(spec.size_limit)


def port(storage_uri: str, spec: FetchSpec) -> int:
    """Return the TCP port on which the server of the files listens."""
    address = spec.endpoint or storage_uri
    scheme, _, rest = address.partition("://")
    _, colon, stated = rest.partition("/")[0].partition(":")
    if colon and scheme in _PORTS:
        return int(stated)
    return _PORTS.get(scheme, 443)


def encode(tasks: tuple[FetchTask, ...]) -> str:
    """Return the tasks as the container's environment has them."""
    return _TASKS.dump_json(tasks).decode()


def decode(text: str) -> tuple[FetchTask, ...]:
    """Read what ``encode`` wrote. Raises ValueError."""
    return _TASKS.validate_json(text)
