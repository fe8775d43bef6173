"""The Kubernetes objects that serve a model, as manifests for server-side apply.

The same input gives the same manifests: an apply that changes nothing writes nothing.
"""

import base64
import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from ferryman.api import names
from ferryman.api.inference_model import InferenceModel
from ferryman.api.inference_runtime import RuntimeLiveCap, RuntimeProcessor
from ferryman.api.model_source import ModelSource, TritonConfig
from ferryman.api.pod_settings import ModelPodSettings, PodSettings
from ferryman.api.resources import owner_reference
from ferryman.core.manifests import Manifest
from ferryman.core.placement import taints
from ferryman.core.render import apart, ending, live_cap, network, pod, settings

EncodeConfig = Callable[[Mapping[str, Any]], str]

#: On the pod template: pods roll when the configuration changes apart from what is tuned live.
ANNOTATION_CONFIG_HASH: Final = f"{names.GROUP}/config-hash"


@dataclass(frozen=True)
class Serving:
    """What is to be served, where, and with which configuration."""

    model: InferenceModel
    source: ModelSource
    entry: RuntimeProcessor
    node_type: str
    preferred_node: str | None
    pull_policy: str
    config: TritonConfig
    untuned_config: TritonConfig
    control_key: str
    operator_namespace: str
    live_cap: RuntimeLiveCap | None = None
    """What pods are made for, whether the configuration uses it or not."""
    runtime_pod: PodSettings = field(default_factory=PodSettings)
    """What the runtime's owner adds to pods."""


def object_name(model: InferenceModel) -> str:
    """Return the name of every object that serves the model."""
    return f"{model.metadata.name}-triton"


def selector(model: InferenceModel) -> dict[str, str]:
    """Return the labels that select the model's pods."""
    return {names.LABEL_MODEL: model.metadata.name}


def url(model: InferenceModel) -> str:
    """Return the address of the model inside the cluster (KServe v2 protocol over HTTP)."""
    host = f"{object_name(model)}.{model.metadata.namespace}.svc"
    return f"http://{host}:{names.PORT_HTTP}/v2/models/{model.triton_name}"


def render(serving: Serving, encode: EncodeConfig) -> tuple[Manifest, ...]:
    """Return the serving objects in the order in which to apply them.

    What a pod needs to start comes before the Deployment. Raises RejectedError for a
    storageUri that cannot be mounted, and what ``encode`` raises.
    """
    model = serving.model
    select = selector(model)
    key = base64.b64encode(serving.control_key.encode()).decode()
    policy = network.network_policy_spec(select, serving.operator_namespace)
    return (
        _object(model, "v1", "Secret", type="Opaque", data={pod.CONTROL_KEY_ENTRY: key}),
        _object(model, "v1", "ConfigMap", data={names.CONFIG_FILE: encode(serving.config)}),
        _object(model, "networking.k8s.io/v1", "NetworkPolicy", spec=policy),
        _object(model, "v1", "Service", spec=network.service_spec(select)),
        _object(model, "apps/v1", "Deployment", spec=_deployment_spec(serving)),
    )


def config_hash(serving: Serving) -> str:
    """Return what names the configuration that pods are made for, without what is tuned."""
    text = json.dumps(serving.untuned_config, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _object(model: InferenceModel, api_version: str, kind: str, **body: Any) -> Manifest:  # noqa: ANN401
    return {
        "apiVersion": api_version,
        "kind": kind,
        "metadata": {
            "name": object_name(model),
            "namespace": model.metadata.namespace,
            "labels": _labels(model),
            "ownerReferences": [owner_reference(model.key, model.metadata.uid)],
        },
        **body,
    }


def _labels(model: InferenceModel) -> dict[str, str]:
    return {
        names.LABEL_NAME: model.metadata.name,
        names.LABEL_MANAGED_BY: names.MANAGED_BY,
        **selector(model),
    }


def _deployment_spec(serving: Serving) -> Manifest:
    model = serving.model
    chosen = settings.merged(serving.runtime_pod, model.spec.pod)
    return {
        "replicas": model.spec.replicas,
        "revisionHistoryLimit": 2,
        "progressDeadlineSeconds": model.spec.progress_deadline_seconds,
        "strategy": {
            "type": "RollingUpdate",
            "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1},
        },
        "selector": {"matchLabels": selector(model)},
        "template": {
            "metadata": settings.metadata(
                chosen, _labels(model), {ANNOTATION_CONFIG_HASH: config_hash(serving)}
            ),
            "spec": _pod_spec(serving, chosen),
        },
    }


def _pod_spec(serving: Serving, chosen: ModelPodSettings) -> Manifest:
    model, uri = serving.model, serving.source.storage_uri
    name = object_name(model)
    common: dict[str, Any] = {
        "storage_uri": uri,
        "resources": model.spec.resources,
        "pull_policy": serving.pull_policy,
    }
    entry = serving.entry.with_(env=settings.environment(serving.entry.env, chosen.env))
    triton = pod.triton_container(model.triton_name, entry, control_secret=name, **common)
    spec = {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": pod.pod_security(chosen.security_context),
        **settings.identity(chosen),
        **_on_linux(model),
        "affinity": {
            "nodeAffinity": _node_affinity(serving),
            "podAntiAffinity": apart.anti_affinity(selector(model)),
        },
        **pod.tolerations(apart.tolerations(taints.tolerations(model, serving.entry))),
        "topologySpreadConstraints": [apart.spread(selector(model))],
        "initContainers": [pod.layout_container(model.triton_name, serving.entry, **common)],
        "containers": [triton],
        "volumes": pod.volumes(uri, pull_policy=serving.pull_policy, config_map=name),
    }
    drain = serving.entry.drain
    times = ending.ending(drain, model.spec.longest_request_seconds)
    return ending.add(live_cap.add(spec, serving.live_cap, model.triton_name), drain, times)


def _on_linux(model: InferenceModel) -> Manifest:
    """Keep pods off nodes of other systems, unless the owner has a word on systems."""
    placement = model.spec.placement
    stated = {*placement.node_selector, *(each.key for each in placement.node_affinity)}
    return {} if names.LABEL_OS in stated else {"nodeSelector": {names.LABEL_OS: names.OS}}


def _node_affinity(serving: Serving) -> Manifest:
    placement = serving.model.spec.placement
    expressions = [
        _is_in(names.LABEL_NODE_TYPE, serving.node_type),
        *(_is_in(key, value) for key, value in placement.node_selector.items()),
        *(requirement.as_dict() for requirement in placement.node_affinity),
    ]
    required = {"nodeSelectorTerms": [{"matchExpressions": expressions}]}
    affinity: dict[str, Any] = {"requiredDuringSchedulingIgnoredDuringExecution": required}
    if serving.preferred_node is not None:
        # By its name: the label kubernetes.io/hostname need not agree with it.
        preference = {"matchFields": [_is_in("metadata.name", serving.preferred_node)]}
        affinity["preferredDuringSchedulingIgnoredDuringExecution"] = [
            {"weight": 50, "preference": preference}
        ]
    return affinity


def _is_in(key: str, value: str) -> Manifest:
    return {"key": key, "operator": "In", "values": [value]}
