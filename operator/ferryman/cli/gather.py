"""Gather one model's snapshot through the API server, with the user's own credentials.

It reads the same objects as the operator and turns them into a snapshot by the same functions;
only Triton itself is not asked.
"""

import json
from collections import defaultdict
from collections.abc import Callable
from typing import Any

from kubernetes import client, config
from kubernetes.client.exceptions import ApiException
from kubernetes.config.config_exception import ConfigException
from pydantic import ValidationError
from urllib3.exceptions import HTTPError

from ferryman.api import names
from ferryman.api.inference_model import InferenceModel
from ferryman.core.snapshot import Snapshot
from ferryman.handlers import cache, gather
from ferryman.handlers.ledger import Ledger

Manifest = dict[str, Any]
Trim = Callable[[cache.Manifest], cache.Manifest]

TIMEOUT_S = 10
_NOT_FOUND = 404


class GatherError(Exception):
    """The cluster cannot be read; the text says why and what may help."""


def gather_snapshot(namespace: str | None, name: str, context: str | None) -> Snapshot:
    """Return the snapshot of an InferenceModel.

    Without a namespace that of the kubeconfig's context is used. Raises GatherError when there
    is no such model, no cluster, or no permission.
    """
    cluster = _connect(context)
    namespace = namespace or _default_namespace(context)
    try:
        return _gather(cluster, namespace, name)
    except HTTPError as error:
        raise GatherError(f"the API server does not answer: {error}") from error


def _gather(cluster: "_Cluster", namespace: str, name: str) -> Snapshot:
    model = cluster.model(namespace, name)
    pods = cluster.pods()
    indices = {
        "models": {},
        "runtimes": _index(cluster.custom_objects("inferenceruntimes"), cache.trim_runtime),
        "profiles": _index(cluster.custom_objects("nodeprofiles"), cache.trim_profile),
        "nodes": _index(cluster.nodes(), cache.trim_node),
        "deployments": _by_model(cluster.deployments(namespace, name), cache.trim_deployment),
        "pods": _by_model(pods, cache.trim_pod),
    }
    ledger = Ledger()
    for key, own in indices["pods"].items():
        ledger.update(key, own)
    loads = ledger.loads(model.key, now_s=0.0)
    return gather.snapshot(cache.Cache(indices), model, loads, {})


def _index(objects: list[Manifest], trim: Trim) -> dict[Any, Any]:
    return {each["metadata"]["name"]: [trim(each)] for each in objects}


def _by_model(objects: list[Manifest], trim: Trim) -> dict[Any, Any]:
    found: defaultdict[Any, list[cache.Manifest]] = defaultdict(list)
    for each in objects:
        found[cache.model_key(each)].append(trim(each))
    return dict(found)


def _connect(context: str | None) -> "_Cluster":
    try:
        return _Cluster(config.new_client_from_config(context=context))  # type: ignore[no-untyped-call]
    except ConfigException as error:
        raise GatherError(
            f"no cluster: {error}; set KUBECONFIG or --context, or decide offline with --snapshot"
        ) from error


def _default_namespace(context: str | None) -> str:
    contexts, active = config.list_kube_config_contexts()  # type: ignore[no-untyped-call]
    chosen = next((each for each in contexts if each["name"] == context), active)
    return str(chosen.get("context", {}).get("namespace") or "default")


class _Cluster:
    """Reads objects, each as the JSON values that the API server sends."""

    def __init__(self, api: client.ApiClient) -> None:
        self._api = api
        self._custom = client.CustomObjectsApi(api)

    def model(self, namespace: str, name: str) -> InferenceModel:
        where = (names.GROUP, names.VERSION, namespace, "inferencemodels", name)
        manifest = self._ask(self._custom.get_namespaced_custom_object, *where)
        try:
            return InferenceModel.model_validate(manifest)
        except ValidationError as error:
            raise GatherError(f"InferenceModel {namespace}/{name} is malformed: {error}") from error

    def custom_objects(self, plural: str) -> list[Manifest]:
        where = (names.GROUP, names.VERSION, plural)
        return self._items(self._custom.list_cluster_custom_object, *where)

    def nodes(self) -> list[Manifest]:
        return self._items(client.CoreV1Api(self._api).list_node)

    def pods(self) -> list[Manifest]:
        """Return the pods of all models: what they reserve is not free for this one."""
        core = client.CoreV1Api(self._api)
        return self._items(core.list_pod_for_all_namespaces, label_selector=names.LABEL_MODEL)

    def deployments(self, namespace: str, model: str) -> list[Manifest]:
        selector = f"{names.LABEL_MODEL}={model}"
        apps = client.AppsV1Api(self._api)
        return self._items(apps.list_namespaced_deployment, namespace, label_selector=selector)

    def _items(self, ask: Callable[..., Any], *where: str, **query: str) -> list[Manifest]:
        return list(self._ask(ask, *where, **query)["items"])

    def _ask(self, ask: Callable[..., Any], *where: str, **query: str) -> Manifest:
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
