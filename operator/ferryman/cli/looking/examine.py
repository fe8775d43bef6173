"""One look at a cluster for ``ferryman doctor``: what can be read is read, the rest is said."""

from datetime import UTC, datetime
from typing import Final

from ferryman import __version__
from ferryman.cli.gather import asking, connect
from ferryman.clients.bounded.objects import UNREAD
from ferryman.clients.cluster import ApiServer, ApiServerError
from ferryman.core.doctor.facts import KINDS, RESOURCES, ClusterFacts, installed
from ferryman.core.doctor.fault import name
from ferryman.core.manifests import Manifest

_PAGES: Final = ("readyz", "metrics")
#: What the operator answers while it is not ready; the words are what is asked for.
_NOT_READY: Final = 503


def examine(context: str | None) -> ClusterFacts:
    """Return what a cluster says. Raises GatherError when it cannot be asked at all."""
    server = connect(context)
    with asking():
        version = str(server.get("/version").get("gitVersion") or "")
    return facts_of(server, version)


def facts_of(server: ApiServer, version: str) -> ClusterFacts:
    """Return what can be read of a cluster, and why the rest cannot."""
    objects: dict[str, tuple[Manifest, ...]] = {}
    unread: dict[str, str] = {}
    too_large: list[str] = []
    for kind, (path, selector) in KINDS.items():
        try:
            found = server.items(path, selector)
        except ApiServerError as error:
            unread[kind] = str(error)
            continue
        objects[kind] = tuple(each for each in found if UNREAD not in each)
        too_large += [f"{kind}: {name(each)}" for each in found if UNREAD in each]
    try:
        objects["resources"] = _resources(server)
    except ApiServerError as error:
        unread["resources"] = str(error)
    _keep_installed(objects, unread)
    pages: dict[str, str] = {}
    for page in _PAGES:
        if "operators" in unread:
            unread[page] = unread["operators"]
            continue
        try:
            pages[page] = _page(server, objects["operators"], page)
        except ApiServerError as error:
            unread[page] = str(error)
    now = datetime.now(UTC)
    return ClusterFacts(now, __version__, version, objects, unread, pages, tuple(too_large))


def _resources(server: ApiServer) -> tuple[Manifest, ...]:
    """Return what is served of our API; nothing where it is not known. Raises ApiServerError."""
    try:
        return tuple(server.get(RESOURCES)["resources"])
    except ApiServerError as error:
        if error.is_missing:
            return ()
        raise


def _keep_installed(objects: dict[str, tuple[Manifest, ...]], unread: dict[str, str]) -> None:
    """Keep the installation's own operators and agents; none where it is not known which."""
    for kind in ("operators", "agents"):
        if kind in unread:
            continue
        if "grants" in unread:
            unread[kind] = f"whose they are is not known: {unread['grants']}"
            del objects[kind]
        else:
            objects[kind] = installed(objects[kind], objects["grants"])


def _page(server: ApiServer, operators: tuple[Manifest, ...], page: str) -> str:
    """Return a page of the operator's, through the API server. Raises ApiServerError."""
    if not operators:
        raise ApiServerError(page, "there is no operator to ask")
    namespace = operators[0]["metadata"]["namespace"]
    service = f"/api/v1/namespaces/{namespace}/services/ferryman-operator:http"
    try:
        return server.text(f"{service}/proxy/{page}", ())
    except ApiServerError as error:
        if error.status == _NOT_READY and page == "readyz":
            return str(error)
        raise
