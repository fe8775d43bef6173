"""Gather one model's snapshot through the API server, with the user's own credentials.

It reads the same objects as the operator and turns them into a snapshot by the same functions;
only Triton itself is not asked.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, Final, TypeVar

from pydantic import ValidationError

from ferryman.api import names
from ferryman.api.base import ApiType
from ferryman.api.inference_model import InferenceModel
from ferryman.api.node_profile import NodeProfile
from ferryman.api.pipelines.inference_pipeline import InferencePipeline
from ferryman.api.resources import (
    INFERENCE_MODEL,
    INFERENCE_PIPELINE,
    INFERENCE_RUNTIME,
    NODE_PROFILE,
    PLURALS,
    Key,
    model_key,
    owner_labels,
)
from ferryman.cli.errors import GatherError
from ferryman.cli.files import field_errors
from ferryman.clients.bounded.objects import UNREAD
from ferryman.clients.cluster import ApiServer, ApiServerError, NoCredentialsError
from ferryman.clients.triton import TritonServer
from ferryman.core.manifests import Manifest
from ferryman.core.pipelines.snapshot import PipelineSnapshot
from ferryman.core.placement.prices import NO_PRICES, published
from ferryman.core.snapshot import NodeView, Snapshot
from ferryman.core.status import unreadable
from ferryman.handlers import cache, gather
from ferryman.handlers.gather import Nodes
from ferryman.handlers.pipelines.gather import PipelineLooks
from ferryman.handlers.reservations import Reservations
from ferryman.handlers.servers import Servers
from ferryman.handlers.tenants.owners import controller

T = TypeVar("T", bound=ApiType)
Trim = Callable[[Manifest], Manifest]

#: Where our own kinds are.
OURS: Final = f"/apis/{names.API_VERSION}"
APPS: Final = "/apis/apps/v1"
OURS_LABEL: Final = f"{names.LABEL_MANAGED_BY}={names.MANAGED_BY}"


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


def gather_pipeline(
    namespace: str | None,
    name: str,
    context: str | None,
    prices: Mapping[str, float] = NO_PRICES,
) -> PipelineSnapshot:
    """Return the snapshot of an InferencePipeline, likewise. Raises GatherError."""
    server = connect(context)
    with asking():
        return pipeline_snapshot(server, namespace or server.namespace, name, prices)


def gather_object(kind: type[T], namespace: str | None, name: str, context: str | None) -> T:
    """Return one object of ours. Raises GatherError likewise."""
    server = connect(context)
    with asking():
        return _parsed(kind, _read(server, kind, namespace or server.namespace, name))


def gather_served(
    namespace: str | None, context: str | None
) -> tuple[list[InferenceModel], list[InferencePipeline]]:
    """Return all models and pipelines, or those of a namespace; those that can be read.

    Raises GatherError when there is no cluster, or no permission.
    """
    server = connect(context)
    where = f"{OURS}/namespaces/{namespace}" if namespace else OURS
    with asking():
        models = server.items(f"{where}/{INFERENCE_MODEL.plural}")
        pipelines = server.items(f"{where}/{INFERENCE_PIPELINE.plural}")
    return _readable(InferenceModel, models), _readable(InferencePipeline, pipelines)


def _readable(kind: type[T], manifests: Iterable[Manifest]) -> list[T]:
    found = []
    for manifest in manifests:
        with suppress(ValidationError):  # its condition says so
            found.append(kind.model_validate(manifest))
    return found


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
    manifest = _read(server, InferenceModel, namespace, name)
    model = _parsed(InferenceModel, manifest)
    nodes = _nodes(_indices_of(server, model.key, manifest), prices)
    _prove(server, nodes.cache, model.key)
    serving = gather.serving(nodes.cache, model.key, {})
    return gather.snapshot(nodes.cache, model, nodes.views((model.key,), now_s=0.0), serving)


def pipeline_snapshot(
    server: ApiServer, namespace: str, name: str, prices: Mapping[str, float]
) -> PipelineSnapshot:
    """Return the snapshot of a pipeline. Raises ApiServerError, GatherError."""
    manifest = _read(server, InferencePipeline, namespace, name)
    pipeline = _parsed(InferencePipeline, manifest)
    key, indices = pipeline.key, _indices_of(server, pipeline.key, manifest)
    models = f"{OURS}/namespaces/{namespace}/{INFERENCE_MODEL.plural}"
    indices["models"] = {
        model_key(namespace, each["metadata"]["name"]): [cache.trim_subject(each)]
        for each in server.items(models)
    }
    nodes = _nodes(indices, prices)
    _prove(server, nodes.cache, key)
    looks = PipelineLooks(nodes.cache, nodes, Servers(_not_asked))
    serving, views = gather.serving(nodes.cache, key, {}), nodes.views((key,), now_s=0.0)
    return looks.snapshot(pipeline, serving, {}, views)


def _not_asked(ip: str, model: str, _control_key: str) -> TritonServer:
    raise NotImplementedError(f"{model} on {ip} is not asked")


def _indices_of(server: ApiServer, key: Key, manifest: Manifest) -> dict[str, dict[Any, Any]]:
    """Return what is known of all nodes, of the runtimes, and of one object and what serves it."""
    deployments, own = f"{APPS}/namespaces/{key.namespace}/deployments", _selector(key)
    return {
        **_common_indices(server),
        **{index: {} for index in cache.SUBJECTS.values()},
        cache.SUBJECTS[key.kind]: {key: [cache.trim_subject(manifest)]},
        "runtimes": _index(server.items(f"{OURS}/{INFERENCE_RUNTIME.plural}"), cache.trim_runtime),
        "deployments": _by_owner(server.items(deployments, own), cache.trim_deployment),
    }


def _prove(server: ApiServer, stored: cache.Cache, key: Key) -> None:
    """Have the cache know which pods with an object's label are its Deployment's."""
    replica_sets = f"{APPS}/namespaces/{key.namespace}/replicasets"
    for each in server.items(replica_sets, _selector(key)):
        uid = str(each["metadata"].get("uid", ""))
        stored.chains.note(key, uid, str(controller(each).get("uid", "")))


def _selector(key: Key) -> str:
    return ",".join(f"{label}={value}" for label, value in owner_labels(key).items())


def _common_indices(server: ApiServer) -> dict[str, dict[Any, Any]]:
    """Return what is known of all nodes, and the pods of all models and pipelines on them."""
    return {
        "profiles": _index(server.items(f"{OURS}/{NODE_PROFILE.plural}"), cache.trim_profile),
        "nodes": _index(server.items("/api/v1/nodes"), cache.trim_node),
        "pods": _by_owner(server.items("/api/v1/pods", OURS_LABEL), cache.trim_pod),
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
        key = cache.owner_key(each)
        if key is not None:  # pods of benchmarks serve nobody
            found[key].append(trim(each))
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


def _read(server: ApiServer, kind: type[T], namespace: str, name: str) -> Manifest:
    return server.get(f"{OURS}/namespaces/{namespace}/{PLURALS[kind.__name__]}/{name}")


def _parsed(kind: type[T], manifest: Manifest) -> T:
    if UNREAD in manifest:
        where = "/".join(str(manifest["metadata"].get(field)) for field in ("namespace", "name"))
        raise GatherError(f"{kind.__name__} {where}: {unreadable.too_large(manifest[UNREAD])}")
    try:
        return kind.model_validate(manifest)
    except ValidationError as error:
        where = "/".join(str(manifest["metadata"].get(field)) for field in ("namespace", "name"))
        raise GatherError(
            field_errors.describe(f"{kind.__name__} {where} is malformed", error)
        ) from error
