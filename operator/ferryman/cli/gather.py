"""Gather one model's snapshot through the API server, with the user's own credentials.

It reads the same objects as the operator and turns them into a snapshot by the same functions;
only Triton itself is not asked.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from pydantic import ValidationError

from ferryman.api import names
from ferryman.api.inference_model import InferenceModel
from ferryman.api.node_profile import NodeProfile
from ferryman.api.resources import INFERENCE_MODEL, INFERENCE_RUNTIME, NODE_PROFILE
from ferryman.cli.errors import GatherError
from ferryman.clients.cluster import ApiServer, ApiServerError, NoCredentialsError
from ferryman.core.manifests import Manifest
from ferryman.core.placement.prices import NO_PRICES, published
from ferryman.core.snapshot import NodeView, Snapshot
from ferryman.handlers import cache, gather
from ferryman.handlers.gather import Nodes
from ferryman.handlers.reservations import Reservations

Trim = Callable[[Manifest], Manifest]

#: Where our own kinds are.
OURS: Final = f"/apis/{names.API_VERSION}"


def gather_snapshot(
    namespace: str | None,
    name: str,
    context: str | None,
    prices: Mapping[str, float] = NO_PRICES,
) -> Snapshot:
    """Return the snapshot of an InferenceModel.

    Without a namespace that of the kubeconfig's context is used; ``prices`` stand instead of
    those that the operator published. Raises GatherError when there is no such model, no cluster,
    or no permission.
    """
    server = connect(context)
    with asking():
        return snapshot(server, namespace or server.namespace, name, prices)


def gather_nodes(context: str | None) -> tuple[NodeView, ...]:
    """Return every node as placement sees it, with its profile and what all models reserve.

    Raises GatherError when there is no cluster, or no permission.
    """
    server = connect(context)
    with asking():
        indices = _common_indices(server)
    return _nodes(indices, NO_PRICES).views((), now_s=0.0)


def snapshot(server: ApiServer, namespace: str, name: str, prices: Mapping[str, float]) -> Snapshot:
    """Return the snapshot of a model. Raises ApiServerError, GatherError."""
    model = _model(server, namespace, name)
    deployments = f"/apis/apps/v1/namespaces/{namespace}/deployments"
    own = f"{names.LABEL_MODEL}={name}"
    indices = {
        **_common_indices(server),
        "models": {},
        "runtimes": _index(server.items(f"{OURS}/{INFERENCE_RUNTIME.plural}"), cache.trim_runtime),
        "deployments": _by_owner(server.items(deployments, own), cache.trim_deployment),
    }
    nodes = _nodes(indices, prices)
    serving = gather.serving(nodes.cache, model.key, {})
    return gather.snapshot(nodes.cache, model, nodes.views((model.key,), now_s=0.0), serving)


def _common_indices(server: ApiServer) -> dict[str, dict[Any, Any]]:
    """Return what is known of all nodes, and the pods of all models on them."""
    return {
        "profiles": _index(server.items(f"{OURS}/{NODE_PROFILE.plural}"), cache.trim_profile),
        "nodes": _index(server.items("/api/v1/nodes"), cache.trim_node),
        "pods": _by_owner(server.items("/api/v1/pods", names.LABEL_MODEL), cache.trim_pod),
    }


def _nodes(indices: dict[str, dict[Any, Any]], prices: Mapping[str, float]) -> Nodes:
    """Return the nodes with what all pods reserve, priced as the operator does or as told."""
    stored, reservations = cache.Cache(indices), Reservations()
    for key, own in indices["pods"].items():
        reservations.update(key, own)
    read = (stored.parse(NodeProfile, manifest) for manifest in stored.profiles())
    known = published(profile.status for profile in read if profile is not None)
    return Nodes(stored, reservations, {**known, **prices})


def _index(objects: Iterable[Manifest], trim: Trim) -> dict[Any, Any]:
    return {each["metadata"]["name"]: [trim(each)] for each in objects}


def _by_owner(objects: Iterable[Manifest], trim: Trim) -> dict[Any, Any]:
    found: defaultdict[Any, list[Manifest]] = defaultdict(list)
    for each in objects:
        found[cache.owner_key(each)].append(trim(each))
    return dict(found)


def connect(context: str | None) -> ApiServer:
    """Return the API server that kubectl would ask. Raises GatherError when there is none."""
    try:
        return ApiServer.as_kubectl(context)
    except NoCredentialsError as error:
        raise GatherError(
            f"no cluster: {error}; set KUBECONFIG or --context, or decide offline with --snapshot"
        ) from error


@contextmanager
def asking() -> Iterator[None]:
    """Turn a request that fails into words for a person. Raises GatherError."""
    try:
        yield
    except ApiServerError as error:
        silent = error.status is None
        words = f"the API server does not answer: {error}" if silent else str(error)
        raise GatherError(words) from error


def _model(server: ApiServer, namespace: str, name: str) -> InferenceModel:
    path = f"{OURS}/namespaces/{namespace}/{INFERENCE_MODEL.plural}/{name}"
    try:
        return InferenceModel.model_validate(server.get(path))
    except ValidationError as error:
        raise GatherError(f"InferenceModel {namespace}/{name} is malformed: {error}") from error
