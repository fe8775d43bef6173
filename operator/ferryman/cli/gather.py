"""Gather one model's snapshot through the API server, with the user's own credentials.

It reads the same objects as the operator and turns them into a snapshot by the same functions;
only Triton itself is not asked.
"""

import json
from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Any

from kubernetes import client, config
from kubernetes.client.exceptions import ApiException
from kubernetes.config.config_exception import ConfigException
from pydantic import ValidationError
from urllib3.exceptions import HTTPError

from ferryman.api import names
from ferryman.api.inference_model import InferenceModel
from ferryman.api.node_profile import NodeProfile
from ferryman.cli.errors import GatherError
from ferryman.core import manifests
from ferryman.core.placement.prices import NO_PRICES, published
from ferryman.core.snapshot import NodeView, Snapshot
from ferryman.handlers import cache, gather
from ferryman.handlers.gather import Nodes
from ferryman.handlers.reservations import Reservations

Manifest = dict[str, Any]
Trim = Callable[[manifests.Manifest], manifests.Manifest]

TIMEOUT_S = 10
_NOT_FOUND = 404


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
    cluster = connect(context)
    namespace = namespace or _default_namespace(context)
    try:
        return _gather(cluster, namespace, name, prices)
    except HTTPError as error:
        raise GatherError(f"the API server does not answer: {error}") from error


def gather_nodes(context: str | None) -> tuple[NodeView, ...]:
    """Return every node as placement sees it, with its profile and what all models reserve.

    Raises GatherError when there is no cluster, or no permission.
    """
    cluster = connect(context)
    try:
        indices = _common_indices(cluster)
    except HTTPError as error:
        raise GatherError(f"the API server does not answer: {error}") from error
    return _nodes(indices, NO_PRICES).views((), now_s=0.0)


def _gather(cluster: "Cluster", namespace: str, name: str, prices: Mapping[str, float]) -> Snapshot:
    model = cluster.model(namespace, name)
    indices = {
        **_common_indices(cluster),
        "models": {},
        "runtimes": _index(cluster.custom_objects("inferenceruntimes"), cache.trim_runtime),
        "deployments": _by_model(cluster.deployments(namespace, name), cache.trim_deployment),
    }
    nodes = _nodes(indices, prices)
    serving = gather.serving(nodes.cache, model.key, {})
    return gather.snapshot(nodes.cache, model, nodes.views((model.key,), now_s=0.0), serving)


def _common_indices(cluster: "Cluster") -> dict[str, dict[Any, Any]]:
    """Return what is known of all nodes, and the pods of all models on them."""
    return {
        "profiles": _index(cluster.custom_objects("nodeprofiles"), cache.trim_profile),
        "nodes": _index(cluster.nodes(), cache.trim_node),
        "pods": _by_model(cluster.pods(), cache.trim_pod),
    }


def _nodes(indices: dict[str, dict[Any, Any]], prices: Mapping[str, float]) -> Nodes:
    """Return the nodes with what all pods reserve, priced as the operator does or as told."""
    stored, reservations = cache.Cache(indices), Reservations()
    for key, own in indices["pods"].items():
        reservations.update(key, own)
    read = (stored.parse(NodeProfile, manifest) for manifest in stored.profiles())
    known = published(profile.status for profile in read if profile is not None)
    return Nodes(stored, reservations, {**known, **prices})


def _index(objects: list[Manifest], trim: Trim) -> dict[Any, Any]:
    return {each["metadata"]["name"]: [trim(each)] for each in objects}


def _by_model(objects: list[Manifest], trim: Trim) -> dict[Any, Any]:
    found: defaultdict[Any, list[manifests.Manifest]] = defaultdict(list)
    for each in objects:
        found[cache.model_key(each)].append(trim(each))
    return dict(found)


def connect(context: str | None) -> "Cluster":
    """Return the cluster that kubectl would use. Raises GatherError when there is none."""
    try:
        return Cluster(config.new_client_from_config(context=context))  # type: ignore[no-untyped-call]
    except ConfigException as error:
        raise GatherError(
            f"no cluster: {error}; set KUBECONFIG or --context, or decide offline with --snapshot"
        ) from error


def _default_namespace(context: str | None) -> str:
    contexts, active = config.list_kube_config_contexts()  # type: ignore[no-untyped-call]
    chosen = next((each for each in contexts if each["name"] == context), active)
    return str(chosen.get("context", {}).get("namespace") or "default")


class Cluster:
    """Reads objects, each as the JSON values that the API server sends.

    Every method raises GatherError when the API server refuses, and HTTPError when it is silent.
    """

    def __init__(self, api: client.ApiClient) -> None:
        self._api = api
        self._custom = client.CustomObjectsApi(api)

    def model(self, namespace: str, name: str) -> InferenceModel:
        """Return one InferenceModel."""
        where = (names.GROUP, names.VERSION, namespace, "inferencemodels", name)
        manifest = self._ask(self._custom.get_namespaced_custom_object, *where)
        try:
            return InferenceModel.model_validate(manifest)
        except ValidationError as error:
            raise GatherError(f"InferenceModel {namespace}/{name} is malformed: {error}") from error

    def custom_objects(self, plural: str) -> list[Manifest]:
        """Return all objects of one of our cluster-scoped kinds."""
        where = (names.GROUP, names.VERSION, plural)
        return self._items(self._custom.list_cluster_custom_object, *where)

    def custom_object(self, plural: str, name: str) -> Manifest:
        """Return an object of one of our cluster-scoped kinds."""
        where = (names.GROUP, names.VERSION, plural, name)
        return self._ask(self._custom.get_cluster_custom_object, *where)

    def annotate(self, plural: str, name: str, annotations: dict[str, str]) -> None:
        """Set annotations of an object of one of our cluster-scoped kinds."""
        body = {"metadata": {"annotations": annotations}}
        where = (names.GROUP, names.VERSION, plural, name, body)
        self._ask(self._custom.patch_cluster_custom_object, *where)

    def jobs(self, namespace: str, selector: str) -> list[Manifest]:
        """Return the Jobs with these labels."""
        batch = client.BatchV1Api(self._api)
        return self._items(batch.list_namespaced_job, namespace, label_selector=selector)

    def pods_of(self, namespace: str, selector: str) -> list[Manifest]:
        """Return the pods with these labels."""
        core = client.CoreV1Api(self._api)
        return self._items(core.list_namespaced_pod, namespace, label_selector=selector)

    def log(self, namespace: str, pod: str, container: str) -> str:
        """Return what a container has said so far."""
        core = client.CoreV1Api(self._api)
        # The client would take text for JSON, or bytes for their Python notation.
        raw: dict[str, Any] = {"_preload_content": False, "_request_timeout": TIMEOUT_S}
        try:
            answer: Any = core.read_namespaced_pod_log(pod, namespace, container=container, **raw)
        except ApiException as error:
            raise GatherError(_refusal(error)) from error
        return bytes(answer.data).decode(errors="replace")

    def nodes(self) -> list[Manifest]:
        """Return all Nodes."""
        return self._items(client.CoreV1Api(self._api).list_node)

    def pods(self) -> list[Manifest]:
        """Return the pods of all models: what they reserve is not free for this one."""
        core = client.CoreV1Api(self._api)
        return self._items(core.list_pod_for_all_namespaces, label_selector=names.LABEL_MODEL)

    def deployments(self, namespace: str, model: str) -> list[Manifest]:
        """Return the Deployments that serve a model."""
        selector = f"{names.LABEL_MODEL}={model}"
        apps = client.AppsV1Api(self._api)
        return self._items(apps.list_namespaced_deployment, namespace, label_selector=selector)

    def _items(self, ask: Callable[..., Any], *where: str, **query: str) -> list[Manifest]:
        return list(self._ask(ask, *where, **query)["items"])

    def _ask(self, ask: Callable[..., Any], *where: object, **query: str) -> Manifest:
        try:
            answer = ask(*where, **query, _request_timeout=TIMEOUT_S)
        except ApiException as error:
            raise GatherError(_refusal(error)) from error
        content: Manifest = self._api.sanitize_for_serialization(answer)  # type: ignore[no-untyped-call]
        return content


def _refusal(error: ApiException) -> str:
    """Return the API server's own words, which name the object or the missing permission."""
    try:
        return str(json.loads(error.body or "")["message"])
    except (TypeError, ValueError, KeyError):
        message = f"the API server answers {error.status} {error.reason}"
    # It has words for an object that is missing, but none for a kind that is.
    return f"{message}: are Ferryman's CRDs installed?" if error.status == _NOT_FOUND else message
